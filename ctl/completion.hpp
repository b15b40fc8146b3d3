#pragma once

#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

// Pure: what a shell offers after the words typed so far.
namespace pgpulse::ctl {

struct Completion {
    std::vector<std::string> words;  // that begin with what was typed of the last one
    bool targets = false;            // a target's name may stand here
};

/// `typed` are the words after the program's name; the last one is being typed and may be empty.
Completion complete(const CLI::App& app, const std::vector<std::string>& typed);

/// What makes a shell ask this program: for "bash", "zsh" or "fish"; nullopt for any other.
std::optional<std::string> completion_script(const std::string& shell);

}  // namespace pgpulse::ctl
