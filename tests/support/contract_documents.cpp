#include "tests/support/contract_documents.hpp"

#include "tests/support/folders.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

namespace pgpulse::support {
namespace {

std::string read_file(const std::filesystem::path& path) {
    std::ifstream file{path};
    if (!file) throw std::runtime_error{"cannot read " + path.string()};
    return {std::istreambuf_iterator<char>{file}, {}};
}

std::vector<std::string> document_lines() {
    std::istringstream text{read_file(source_folder() / "docs" / "contract.md")};
    std::vector<std::string> lines;
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
}

std::string trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(' ');
    if (first == std::string_view::npos) return {};
    return std::string{text.substr(first, text.find_last_not_of(' ') - first + 1)};
}

std::vector<std::string> cells_of(std::string_view row) {
    std::vector<std::string> cells;
    std::size_t at = 1;
    for (std::size_t bar = row.find('|', at); bar != std::string_view::npos; bar = row.find('|', at)) {
        cells.push_back(trimmed(row.substr(at, bar - at)));
        at = bar + 1;
    }
    return cells;
}

/// The level of a heading, 0 for any other line.
std::size_t heading_level(const std::string& line) {
    const auto level = line.find_first_not_of('#');
    return level != std::string::npos && line[level] == ' ' ? level : 0;
}

}  // namespace

std::string golden(std::string_view name) {
    return read_file(source_folder() / "tests" / "golden" / (std::string{name} + ".json"));
}

std::vector<std::string> golden_names() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator{source_folder() / "tests" / "golden"}) {
        if (entry.path().extension() == ".json") names.push_back(entry.path().stem());
    }
    std::ranges::sort(names);
    return names;
}

std::map<std::string, std::string> documented_examples() {
    constexpr std::string_view kFence = "```json";
    std::map<std::string, std::string> examples;
    std::string* open = nullptr;
    for (const std::string& line : document_lines()) {
        if (open != nullptr) {
            if (line == "```")
                open = nullptr;
            else
                *open += line + '\n';
        } else if (line.starts_with(kFence)) {
            const std::string name = trimmed(std::string_view{line}.substr(kFence.size()));
            const auto [at, fresh] = examples.try_emplace(name);
            if (name.empty() || !fresh) {
                throw std::runtime_error{"docs/contract.md: example without a name, or a second '" + name +
                                         "'"};
            }
            open = &at->second;
        }
    }
    return examples;
}

std::vector<std::vector<std::string>> documented_table(std::string_view heading) {
    std::vector<std::vector<std::string>> rows;
    bool below = false;
    for (const std::string& line : document_lines()) {
        if (const std::size_t level = heading_level(line); level != 0) {
            if (below) break;
            below = line.substr(level + 1) == heading;
        } else if (below && line.starts_with('|')) {
            rows.push_back(cells_of(line));
        } else if (!rows.empty()) {
            break;
        }
    }
    constexpr std::size_t kHeadAndRule = 2;
    if (rows.size() <= kHeadAndRule) {
        throw std::runtime_error{"docs/contract.md: no table below '" + std::string{heading} + "'"};
    }
    rows.erase(rows.begin(), rows.begin() + kHeadAndRule);
    return rows;
}

std::vector<DocumentedField> documented_fields(std::string_view heading) {
    std::vector<DocumentedField> fields;
    for (const auto& row : documented_table(heading)) {
        if (row.size() != 4 || (row[2] != "yes" && row[2] != "no")) {
            throw std::runtime_error{"docs/contract.md: not a row of a table of fields: " + row.front()};
        }
        fields.push_back({without_backquotes(row[0]), row[1], row[2] == "yes"});
    }
    return fields;
}

std::vector<nlohmann::json> mistyped_values(std::string_view type) {
    using nlohmann::json;
    const json list = json::array({1});
    const json object = json::object({{"a", 1}});
    if (type == "integer") return {"1", 1.5, -1, true, list, object};
    if (type == "string") return {1, false, list, object};
    if (type == "word") return {1, false, "no_such_word", "", list, object};
    if (type == "time") return {1, false, "2026-01-02 03:04:05Z", "", list, object};
    if (type == "boolean") return {1, "true", list, object};
    if (type == "array of strings" || type == "array of objects") return {1, "a", list, object};
    if (type == "object of strings") return {1, "a", list, object};
    throw std::runtime_error{"docs/contract.md: unknown type '" + std::string{type} + "'"};
}

std::string without_backquotes(std::string_view cell) {
    if (cell.size() >= 2 && cell.starts_with('`') && cell.ends_with('`')) {
        cell = cell.substr(1, cell.size() - 2);
    }
    return std::string{cell};
}

}  // namespace pgpulse::support
