#pragma once

#include <nlohmann/json_fwd.hpp>

#include <map>
#include <string>
#include <string_view>
#include <vector>

// The golden files of the wire contract, and what docs/contract.md says of it.
namespace pgpulse::support {

/// The text of tests/golden/<name>.json; throws std::runtime_error where there is none.
std::string golden(std::string_view name);

/// The names of all golden files, without `.json`.
std::vector<std::string> golden_names();

/// The examples of docs/contract.md: blocks fenced with ```json <name>, by name. Throws std::runtime_error
/// on a block without a name and on two of one name.
std::map<std::string, std::string> documented_examples();

/// The rows of the first table below the heading with this text, without head and rule; each cell as it is
/// written, without blanks at its ends. Throws std::runtime_error where there is no such table.
std::vector<std::vector<std::string>> documented_table(std::string_view heading);

/// One row of a table of fields: `| field | type | required | meaning |`.
struct DocumentedField {
    std::string name;
    std::string type;
    bool required = false;
};
std::vector<DocumentedField> documented_fields(std::string_view heading);

/// Values that a field of this documented type must refuse.
std::vector<nlohmann::json> mistyped_values(std::string_view type);

/// "`port`" without the backquotes; anything else as it is.
std::string without_backquotes(std::string_view cell);

}  // namespace pgpulse::support
