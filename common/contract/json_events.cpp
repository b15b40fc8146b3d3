#include "common/contract/json_events.hpp"

#include <nlohmann/json.hpp>

namespace pgpulse::contract {
namespace {

using nlohmann::json;

class JsonSax final : public nlohmann::json_sax<json> {
  public:
    explicit JsonSax(JsonEvents& events) : events_(events) {}

    bool null() override { return events_.null(); }
    bool boolean(bool value) override { return events_.boolean(value); }
    bool number_integer(number_integer_t value) override { return events_.negative_number(value); }
    bool number_unsigned(number_unsigned_t value) override { return events_.whole_number(value); }
    bool number_float(number_float_t, const string_t&) override { return events_.fraction(); }
    bool string(string_t& value) override { return events_.text(value); }
    bool binary(binary_t&) override { return false; }  // none in JSON
    bool start_object(std::size_t) override { return events_.start_object(); }
    bool end_object() override { return events_.end_object(); }
    bool start_array(std::size_t) override { return events_.start_array(); }
    bool end_array() override { return events_.end_array(); }
    bool key(string_t& name) override { return events_.name(name); }
    bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
        events_.no_json();
        return false;
    }

  private:
    JsonEvents& events_;
};

}  // namespace

void read_any_json(std::string_view text, JsonEvents& events) {
    JsonSax sax{events};
    json::sax_parse(text.begin(), text.end(), &sax);
}

}  // namespace pgpulse::contract
