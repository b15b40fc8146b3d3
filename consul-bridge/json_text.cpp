#include "consul-bridge/json_text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace pgpulse::consul_bridge::json_text {
namespace {

/// What stands for itself in a JSON string.
bool is_plain(char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

}  // namespace

std::string value(std::string_view text) {
    if (!std::ranges::all_of(text, is_plain)) {
        return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
    std::string json;
    json.reserve(text.size() + 2);
    json += '"';
    json += text;
    json += '"';
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

std::string object(std::initializer_list<std::pair<std::string_view, std::string>> members) {
    std::size_t size = 2;
    for (const auto& [name, value] : members) size += name.size() + value.size() + 4;
    std::string json;
    json.reserve(size);
    json += '{';
    for (const auto& [name, value] : members) {
        if (json.size() > 1) json += ',';
        json += '"';
        json += name;
        json += "\":";
        json += value;
    }
    json += '}';
    return json;
}

}  // namespace pgpulse::consul_bridge::json_text
