#include "consul-bridge/webhook/cursor.hpp"

#include <nlohmann/json.hpp>

#include <tuple>

namespace pgpulse::consul_bridge::webhook {
namespace {

using contract::to_rfc3339;
using nlohmann::json;

std::optional<contract::WallTime> time_of(const json& object, const char* key) {
    const auto it = object.find(key);
    if (it == object.end() || !it->is_string()) return std::nullopt;
    return contract::parse_rfc3339(it->get_ref<const std::string&>());
}

std::optional<std::uint64_t> number_of(const json& object, const char* key) {
    const auto it = object.find(key);
    if (it == object.end() || !it->is_number_unsigned()) return std::nullopt;
    return it->get<std::uint64_t>();
}

std::string text_of(const json& object, const char* key) {
    const auto it = object.find(key);
    return it != object.end() && it->is_string() ? it->get<std::string>() : std::string{};
}

/// The message is a copy of a revision that was copied at the cursor's or before it.
bool is_covered(const Place& message, const Place& cursor) {
    if (message.epoch != cursor.epoch) return message.epoch < cursor.epoch;
    return message.revision <= cursor.revision && message.stored_at <= cursor.stored_at;
}

}  // namespace

std::string encode(const Cursor& cursor) {
    nlohmann::ordered_json object{{"v", 1},
                                  {"endpoint", cursor.endpoint},
                                  {"history", to_rfc3339(cursor.history)},
                                  {"sequence", cursor.at.sequence}};
    if (cursor.at.revision != 0) {
        object["epoch"] = to_rfc3339(cursor.at.epoch);
        object["revision"] = cursor.at.revision;
        object["stored_at"] = to_rfc3339(cursor.at.stored_at);
    }
    object["written_by"] = cursor.written_by;
    return object.dump();
}

std::optional<Cursor> decode_cursor(std::string_view value) {
    const json object = json::parse(value, nullptr, false);
    if (!object.is_object() || number_of(object, "v") != 1U) return std::nullopt;
    const auto history = time_of(object, "history");
    const auto sequence = number_of(object, "sequence");
    if (!history || !sequence) return std::nullopt;
    Cursor cursor{
        text_of(object, "endpoint"), *history, {*sequence, {}, 0, {}}, text_of(object, "written_by")};
    const auto epoch = time_of(object, "epoch");
    const auto revision = number_of(object, "revision");
    const auto stored_at = time_of(object, "stored_at");
    if (epoch && revision && stored_at) cursor.at = {*sequence, *epoch, *revision, *stored_at};
    return cursor;
}

std::optional<Cursor> further(const std::optional<Cursor>& one, const std::optional<Cursor>& other,
                              contract::WallTime history) {
    if (!one || !other) return one ? one : other;
    const auto rank = [&](const Cursor& cursor) {
        return std::tuple{cursor.history == history, cursor.history, cursor.at.sequence};
    };
    return rank(*one) < rank(*other) ? other : one;
}

Resumption::Resumption(const std::optional<Cursor>& cursor, contract::WallTime history, std::uint64_t last,
                       bool absent_before)
    : cursor_(cursor ? cursor->at : Place{}), last_(last) {
    if (!cursor) {
        kind_ = absent_before ? Kind::from_all : Kind::next;
    } else {
        kind_ = cursor->history == history && cursor->at.sequence <= last ? Kind::behind : Kind::anew;
    }
}

std::uint64_t Resumption::first() const {
    switch (kind_) {
        case Kind::next:
            return last_ + 1;
        case Kind::behind:
            return cursor_.revision == 0 ? cursor_.sequence + 1 : cursor_.sequence;
        case Kind::from_all:
        case Kind::anew:
            break;
    }
    return 1;
}

std::optional<Place> Resumption::known_up_to() const {
    switch (kind_) {
        case Kind::next:
            return Place{last_, {}, 0, {}};
        case Kind::from_all:
            return Place{};
        case Kind::behind:
            return cursor_;
        case Kind::anew:
            break;
    }
    return std::nullopt;
}

Resumption::Fate Resumption::read(const Place& message) {
    if (kind_ == Kind::anew) {
        return message.revision != 0 && cursor_.revision != 0 && is_covered(message, cursor_) ? Fate::known
                                                                                              : Fate::news;
    }
    const bool is_the_cursors = !checked_ && kind_ == Kind::behind && message.sequence == cursor_.sequence;
    checked_ = true;
    if (!is_the_cursors) return Fate::news;
    return message == cursor_ || cursor_.revision == 0 ? Fate::known : Fate::other;
}

}  // namespace pgpulse::consul_bridge::webhook
