#pragma once

#include <optional>
#include <string>

namespace CLI {
class App;
}

// Pure: what --help says, as a manual page (man(7)).
namespace pgpulse::runtime {

/// The page of the program, in this section of the manual, or of one of its commands; nullopt: there is no such command.
std::optional<std::string> manual_page(const CLI::App& app, const std::string& command, int section,
                                       const std::string& see_also);

}  // namespace pgpulse::runtime
