#include "common/runtime/config_file.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

namespace pgpulse::runtime {
namespace {

/// CLI11 takes a line that is a key alone for `key = true`. The number of the first such line; leaves the
/// file at its beginning.
std::optional<int> line_without_value(std::istream& file) {
    std::optional<int> found;
    int number = 0;
    for (std::string line; !found && std::getline(file, line);) {
        ++number;
        const auto first = line.find_first_not_of(" \t\r");
        if (first == std::string::npos || line[first] == '#' || line[first] == '[') continue;
        if (line.find('=') == std::string::npos) found = number;
    }
    file.clear();
    file.seekg(0);
    return found;
}

std::string trimmed(const std::string& text) {
    const char* const around = " \t\r\"'";
    const auto first = text.find_first_not_of(around);
    if (first == std::string::npos) return {};
    return text.substr(first, text.find_last_not_of(around) - first + 1);
}

/// The line of each key, and of each section by its name in brackets, which CLI11 does not tell. Of several the last
/// counts, as its value does. Leaves the file at its beginning.
std::map<std::string, int> lines_of(std::istream& file) {
    std::map<std::string, int> lines;
    int number = 0;
    for (std::string line; std::getline(file, line);) {
        ++number;
        const std::string text = trimmed(line);
        if (text.starts_with('[')) lines.emplace(text.substr(0, text.find(']') + 1), number);
        const auto equals = line.find('=');
        if (!text.starts_with('#') && equals != std::string::npos)
            lines[trimmed(line.substr(0, equals))] = number;
    }
    file.clear();
    file.seekg(0);
    return lines;
}

}  // namespace

tl::expected<std::map<std::string, ConfigValue>, std::string> read_config_file(
    const std::string& path, const std::map<std::string, ConfigKey>& keys) {
    std::ifstream file{path};
    if (!file || std::filesystem::is_directory(path))
        return tl::unexpected("--config: cannot read '" + path + "'");
    if (const auto number = line_without_value(file))
        return tl::unexpected(path + ":" + std::to_string(*number) + ": expected KEY = VALUE");
    const auto lines = lines_of(file);
    const auto place = [&](const std::string& name) {
        const auto line = lines.find(name);
        return path + ":" + (line == lines.end() ? "" : std::to_string(line->second) + ":");
    };
    std::vector<CLI::ConfigItem> items;
    try {
        items = CLI::ConfigTOML{}.from_config(file);
    } catch (const CLI::Error& error) {
        std::string what = error.what();
        std::ranges::replace(what, '\n', ' ');
        return tl::unexpected(path + ": " + what);
    }
    std::map<std::string, ConfigValue> values;
    for (const CLI::ConfigItem& item : items) {
        if (!item.parents.empty()) {
            const std::string& section = item.parents.front();
            return tl::unexpected(
                fmt::format("{} section '{}': there are no sections", place("[" + section + "]"), section));
        }
        const std::string name = item.fullname();
        const auto key = keys.find(name);
        if (key == keys.end()) return tl::unexpected(fmt::format("{} unknown key '{}'", place(name), name));
        ConfigValue value{item.inputs, fmt::format("{} key '{}'", place(name), name)};
        if (item.inputs.size() != 1 && !key->second.is_list)
            return tl::unexpected(value.place + ": expected one value");
        values[name] = std::move(value);
    }
    return values;
}

}  // namespace pgpulse::runtime
