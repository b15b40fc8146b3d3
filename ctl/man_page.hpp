#pragma once

#include <optional>
#include <string>

namespace CLI {
class App;
}

// Pure: what --help says, as a manual page (man(7)).
namespace pgpulse::ctl {

/// The page of the program, or of one of its commands; nullopt: there is no such command.
std::optional<std::string> man_page(const CLI::App& app, const std::string& command,
                                    const std::string& version);

}  // namespace pgpulse::ctl
