#include "common/contract/targets_file.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_map>

namespace pgpulse::contract {
namespace {

using nlohmann::json;
using Definitions = std::vector<TargetDefinition>;

/// The parser's words without what its library puts before them: "syntax error while parsing ...".
std::string syntax_fault(const json::parse_error& error) {
    std::string what = error.what();
    const auto position = what.find("parse error at line ");
    if (position == std::string::npos) return what;
    const auto words = what.find(": ", position);
    return words == std::string::npos ? what : what.substr(words + 2);
}

std::size_t line_of(std::string_view text, std::size_t byte) {
    const auto end = text.begin() + static_cast<std::ptrdiff_t>(std::min(byte, text.size()));
    return 1 + static_cast<std::size_t>(std::count(text.begin(), end, '\n'));
}

/// Watches the parser for an object that holds one key twice, which JSON's readers pass over in silence.
class DuplicateKeys {
  public:
    void see(json::parse_event_t event, const json& parsed) {
        switch (event) {
            case json::parse_event_t::object_start:
            case json::parse_event_t::array_start:
                enter(event == json::parse_event_t::object_start);
                break;
            case json::parse_event_t::object_end:
            case json::parse_event_t::array_end:
                open_.pop_back();
                break;
            case json::parse_event_t::key:
                key(parsed.get_ref<const std::string&>());
                break;
            case json::parse_event_t::value:
                element();
                break;
        }
    }

    [[nodiscard]] const std::optional<std::string>& fault() const { return fault_; }

  private:
    struct Container {
        bool object = false;
        std::string path;
        std::string key;             // of an object: the one being read
        std::set<std::string> keys;  // of an object
        std::size_t elements = 0;    // of an array, so far
    };

    std::vector<Container> open_;
    std::optional<std::string> fault_;

    void element() {
        if (!open_.empty() && !open_.back().object) ++open_.back().elements;
    }

    void enter(bool object) {
        Container container;
        container.object = object;
        if (!open_.empty()) {
            const Container& in = open_.back();
            container.path = in.object ? (in.path.empty() ? "" : in.path + ".") + in.key
                                       : in.path + "[" + std::to_string(in.elements) + "]";
        }
        element();
        open_.push_back(std::move(container));
    }

    void key(const std::string& name) {
        Container& in = open_.back();
        in.key = name;
        if (in.keys.insert(name).second || fault_) return;
        fault_ = (in.path.empty() ? "" : in.path + ": ") + "key '" + name + "' appears twice";
    }
};

std::optional<std::string> fault_of_defaults(const json& defaults) {
    if (!defaults.is_object()) return "defaults: expected an object";
    if (defaults.contains("name")) return "defaults.name: a name belongs to one target; expected none here";
    json complete = defaults;
    complete["name"] = "name";
    if (!complete.contains("address")) complete["address"] = "address";
    const auto read = read_definition(complete, "defaults", UnknownKeys::refuse);
    return read ? std::nullopt : std::optional{read.error()};
}

tl::expected<Definitions, std::string> read_document(const json& document) {
    if (!document.is_object())
        return tl::unexpected<std::string>("expected an object with the key 'targets'");
    for (const auto& [key, value] : document.items()) {
        if (key != "defaults" && key != "targets")
            return tl::unexpected("unknown key '" + key + "'; expected 'defaults' or 'targets'");
    }
    const json defaults = document.value("defaults", json::object());
    if (auto fault = fault_of_defaults(defaults)) return tl::unexpected(std::move(*fault));
    const auto targets = document.find("targets");
    if (targets == document.end())
        return tl::unexpected<std::string>("key 'targets' is missing: expected an array of targets");
    if (!targets->is_array()) return tl::unexpected<std::string>("targets: expected an array of targets");

    Definitions definitions;
    std::unordered_map<std::string, std::size_t> entries;
    for (const json& entry : *targets) {
        const std::string where = "targets[" + std::to_string(definitions.size()) + "]";
        json merged = entry;
        if (entry.is_object()) {
            merged = defaults;
            merged.update(entry);
        }
        auto definition = read_definition(merged, where, UnknownKeys::refuse);
        if (!definition) return tl::unexpected(definition.error());
        const auto [first, fresh] = entries.emplace(definition->name, definitions.size());
        if (!fresh) {
            return tl::unexpected(where + ".name: '" + definition->name +
                                  "' is already the name of targets[" + std::to_string(first->second) +
                                  "]; expected names that differ");
        }
        definitions.push_back(std::move(*definition));
    }
    return definitions;
}

}  // namespace

tl::expected<Definitions, std::string> parse_targets(std::string_view file, std::string_view text) {
    const std::string name{file};
    DuplicateKeys duplicates;
    json document;
    try {
        document = json::parse(
            text,
            [&duplicates](int, json::parse_event_t event, const json& parsed) {
                duplicates.see(event, parsed);
                return true;
            },
            true, true);
    } catch (const json::parse_error& error) {
        const std::size_t line = line_of(text, error.byte == 0 ? 0 : error.byte - 1);
        return tl::unexpected(name + ":" + std::to_string(line) + ": " + syntax_fault(error));
    }
    if (const auto& fault = duplicates.fault()) return tl::unexpected(name + ": " + *fault);
    return read_document(document).map_error(
        [&name](const std::string& fault) { return name + ": " + fault; });
}

}  // namespace pgpulse::contract
