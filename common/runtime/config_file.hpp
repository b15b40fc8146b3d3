#pragma once

#include <tl/expected.hpp>

#include <map>
#include <string>
#include <vector>

namespace pgpulse::runtime {

/// The keys that a program's configuration file may have.
struct ConfigKey {
    bool is_list = false;  // takes an array; others take one value
};

/// What the file says of a key.
struct ConfigValue {
    std::vector<std::string> items;
    std::string place;  // "probe.toml:3: key 'replicas'", for a fault
};

/// A TOML file's keys with their values as text. The fault is one line that names the file, the line and the key:
/// it cannot be read, is no TOML, has a section, a key that is not among `keys`, or several values where one
/// is expected.
tl::expected<std::map<std::string, ConfigValue>, std::string> read_config_file(
    const std::string& path, const std::map<std::string, ConfigKey>& keys);

}  // namespace pgpulse::runtime
