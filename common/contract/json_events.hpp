#pragma once

#include <cstdint>
#include <string_view>

namespace pgpulse::contract {

/// What a document consists of, in its order, as nlohmann::json_sax tells it. Whoever returns false hears no more.
class JsonEvents {
  public:
    JsonEvents() = default;
    JsonEvents(const JsonEvents&) = default;
    JsonEvents(JsonEvents&&) = default;
    JsonEvents& operator=(const JsonEvents&) = default;
    JsonEvents& operator=(JsonEvents&&) = default;
    virtual ~JsonEvents() = default;

    virtual bool null() = 0;
    virtual bool boolean(bool value) = 0;
    virtual bool whole_number(std::uint64_t value) = 0;
    virtual bool negative_number(std::int64_t value) = 0;
    virtual bool fraction() = 0;
    /// The text is the parser's: a copy of it takes no more than its length, which what it was read into may.
    virtual bool text(std::string_view value) = 0;
    virtual bool start_object() = 0;
    virtual bool name(std::string_view name) = 0;
    virtual bool end_object() = 0;
    virtual bool start_array() = 0;
    virtual bool end_array() = 0;
    /// It is no JSON from here on.
    virtual void no_json() = 0;
};

/// Reads any JSON document, by nlohmann::json.
void read_any_json(std::string_view text, JsonEvents& events);

}  // namespace pgpulse::contract
