#include "common/contract/json_text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

namespace pgpulse::contract::json_text {
namespace {

/// What stands for itself in a JSON string.
bool is_plain(char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

void append(std::string& json, std::string_view text) {
    if (!std::ranges::all_of(text, is_plain)) {
        json += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
        return;
    }
    json += '"';
    json += text;
    json += '"';
}

/// The beginning of a member, for its value to follow.
void append_name(std::string& json, std::string_view name) {
    json += json.empty() ? '{' : ',';
    json += '"';
    json += name;
    json += "\":";
}

}  // namespace

std::string value(std::string_view text) {
    std::string json;
    json.reserve(text.size() + 2);
    append(json, text);
    return json;
}

std::string value(const std::vector<std::string>& texts) {
    std::string json = "[";
    for (const std::string& text : texts) {
        if (json.size() > 1) json += ',';
        json += value(text);
    }
    json += ']';
    return json;
}

std::string value(const std::map<std::string, std::string>& texts) {
    std::string json = "{";
    for (const auto& [name, text] : texts) {
        if (json.size() > 1) json += ',';
        json += value(name);
        json += ':';
        json += value(text);
    }
    json += '}';
    return json;
}

void Object::text(std::string_view name, std::string_view text) {
    append_name(json_, name);
    append(json_, text);
}

void Object::json(std::string_view name, std::string_view json) {
    append_name(json_, name);
    json_ += json;
}

std::string Object::finish() && {
    json_ += json_.empty() ? "{}" : "}";
    return std::move(json_);
}

std::string object(std::initializer_list<std::pair<std::string_view, std::string>> members) {
    std::size_t size = 2;
    for (const auto& [name, value] : members) size += name.size() + value.size() + 4;
    Object json{size};
    for (const auto& [name, value] : members) json.json(name, value);
    return std::move(json).finish();
}

}  // namespace pgpulse::contract::json_text
