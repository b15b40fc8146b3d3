#include "common/runtime/config_file.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>

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

}  // namespace

tl::expected<std::map<std::string, std::vector<std::string>>, std::string> read_config_file(
    const std::string& path, const std::map<std::string, ConfigKey>& keys) {
    std::ifstream file{path};
    if (!file || std::filesystem::is_directory(path))
        return tl::unexpected("--config: cannot read '" + path + "'");
    if (const auto number = line_without_value(file))
        return tl::unexpected(path + ":" + std::to_string(*number) + ": expected KEY = VALUE");
    std::vector<CLI::ConfigItem> items;
    try {
        items = CLI::ConfigTOML{}.from_config(file);
    } catch (const CLI::Error& error) {
        std::string what = error.what();
        std::ranges::replace(what, '\n', ' ');
        return tl::unexpected(path + ": " + what);
    }
    std::map<std::string, std::vector<std::string>> values;
    for (const CLI::ConfigItem& item : items) {
        if (!item.parents.empty()) {
            return tl::unexpected(path + ": section '" + item.parents.front() + "': there are no sections");
        }
        const auto key = keys.find(item.fullname());
        if (key == keys.end()) return tl::unexpected(path + ": unknown key '" + item.fullname() + "'");
        if (item.inputs.size() != 1 && !key->second.is_list)
            return tl::unexpected(path + ": key '" + item.fullname() + "': expected one value");
        values[item.fullname()] = item.inputs;
    }
    return values;
}

}  // namespace pgpulse::runtime
