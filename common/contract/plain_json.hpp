#pragma once

#include "common/contract/json_events.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pgpulse::contract {

/// Reads a JSON document of the plain kind that `encode` writes: ASCII without escapes, whole numbers of up to 18
/// digits without a sign. `Reader`: a JsonEvents, by its own type, so that calls cost nothing. Any other document is
/// left to read_any_json(), which takes several times as long (docs/benchmarks.md).
template <typename Reader>
class PlainJson {
  public:
    enum class Outcome {
        read,
        refused,    // by the reader
        not_plain,  // or no JSON: the reader is in the middle of something and of no more use
    };

    PlainJson(std::string_view text, Reader& reader)
        : at_(text.data()), end_(text.data() + text.size()), reader_(reader) {}

    Outcome read() {
        value(0);
        skip_space();
        if (outcome_ == Outcome::read && at_ != end_) outcome_ = Outcome::not_plain;
        return outcome_;
    }

  private:
    static constexpr int kDeepest = 8;
    static constexpr std::size_t kMostDigits = 18;

    const char* at_;
    const char* end_;
    Reader& reader_;
    Outcome outcome_ = Outcome::read;
    std::string_view token_;  // of the document

    bool not_plain() {
        outcome_ = Outcome::not_plain;
        return false;
    }

    /// What the reader says of an event.
    bool goes_on(bool taken) {
        if (!taken) outcome_ = Outcome::refused;
        return taken;
    }

    void skip_space() {
        while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
    }

    /// The next character that is no space; 0 at the end.
    char next() {
        skip_space();
        return at_ == end_ ? '\0' : *at_;
    }

    bool takes(char c) {
        if (next() != c) return false;
        ++at_;
        return true;
    }

    bool text() {
        const char* const begin = ++at_;
        while (at_ != end_ && *at_ >= ' ' && *at_ <= '~' && *at_ != '"' && *at_ != '\\') ++at_;
        if (at_ == end_ || *at_ != '"') return not_plain();
        token_ = {begin, at_};
        ++at_;
        return true;
    }

    bool word(std::string_view word) {
        if (!std::string_view{at_, end_}.starts_with(word)) return not_plain();
        at_ += word.size();
        return true;
    }

    bool number() {
        const char* const begin = at_;
        std::uint64_t value = 0;
        while (at_ != end_ && *at_ >= '0' && *at_ <= '9')
            value = value * 10 + static_cast<std::uint64_t>(*at_++ - '0');
        const auto digits = static_cast<std::size_t>(at_ - begin);
        if (digits == 0 || digits > kMostDigits || (*begin == '0' && digits > 1)) return not_plain();
        if (at_ != end_ && (*at_ == '.' || *at_ == 'e' || *at_ == 'E')) return not_plain();
        return goes_on(reader_.whole_number(value));
    }

    bool value(int depth) {
        switch (next()) {
            case '{':
                return depth < kDeepest ? object(depth) : not_plain();
            case '[':
                return depth < kDeepest ? array(depth) : not_plain();
            case '"':
                return text() && goes_on(reader_.text(token_));
            case 't':
                return word("true") && goes_on(reader_.boolean(true));
            case 'f':
                return word("false") && goes_on(reader_.boolean(false));
            case 'n':
                return word("null") && goes_on(reader_.null());
            default:
                return number();
        }
    }

    bool object(int depth) {
        ++at_;
        if (!goes_on(reader_.start_object())) return false;
        if (takes('}')) return goes_on(reader_.end_object());
        do {
            if (next() != '"') return not_plain();
            if (!text() || !goes_on(reader_.name(token_))) return false;
            if (!takes(':')) return not_plain();
            if (!value(depth + 1)) return false;
        } while (takes(','));
        return takes('}') ? goes_on(reader_.end_object()) : not_plain();
    }

    bool array(int depth) {
        ++at_;
        if (!goes_on(reader_.start_array())) return false;
        if (takes(']')) return goes_on(reader_.end_array());
        do {
            if (!value(depth + 1)) return false;
        } while (takes(','));
        return takes(']') ? goes_on(reader_.end_array()) : not_plain();
    }
};

/// A reader that has heard a document, of the plain kind or not, up to what it refused.
template <typename Reader>
Reader read_json(std::string_view text) {
    using Plain = PlainJson<Reader>;
    Reader reader;
    if (Plain{text, reader}.read() != Plain::Outcome::not_plain) return reader;
    reader = Reader{};
    read_any_json(text, reader);
    return reader;
}

}  // namespace pgpulse::contract
