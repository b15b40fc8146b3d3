#pragma once

#include <concepts>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Small JSON documents written straight as text, which takes a quarter of the time of a document tree. Pure.
namespace pgpulse::consul_bridge::json_text {

/// A JSON string. Bytes that are no UTF-8 are replaced (U+FFFD).
std::string value(std::string_view text);
std::string value(const std::vector<std::string>& texts);
/// A JSON object, sorted by key.
std::string value(const std::map<std::string, std::string>& texts);
std::string value(std::unsigned_integral auto number) { return std::to_string(number); }

/// A JSON object. The values are JSON; the names are written as they are.
std::string object(std::initializer_list<std::pair<std::string_view, std::string>> members);

}  // namespace pgpulse::consul_bridge::json_text
