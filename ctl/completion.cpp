#include "ctl/completion.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace pgpulse::ctl {
namespace {

constexpr const char* kBash =
    "# pgpulse completion bash > /etc/bash_completion.d/pgpulse\n"
    "_pgpulse() {\n"
    "    local IFS=$'\\n'\n"
    "    COMPREPLY=($(pgpulse complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null))\n"
    "}\n"
    "complete -o default -F _pgpulse pgpulse\n";

constexpr const char* kZsh =
    "#compdef pgpulse\n"
    "# pgpulse completion zsh > \"${fpath[1]}/_pgpulse\"\n"
    "local -a found\n"
    "found=(\"${(@f)$(pgpulse complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
    "if [[ -n $found[1] ]]; then compadd -a found; else _files; fi\n";

constexpr const char* kFish =
    "# pgpulse completion fish > ~/.config/fish/completions/pgpulse.fish\n"
    "complete -c pgpulse -f -a '(pgpulse complete -- (commandline -opc)[2..-1] (commandline -ct) "
    "2>/dev/null)'\n"
    "complete -c pgpulse -s f -l file -r -F\n";

/// Words that an option takes, where there are only a few.
std::vector<std::string> values_of(const CLI::Option& option) {
    if (option.check_lname("state")) return {"up", "down", "unknown"};
    return {};
}

/// The option that this word names here, or further up where a command lets it through.
const CLI::Option* option_named(const CLI::App& command, const std::string& word) {
    for (const CLI::App* app = &command; app != nullptr; app = app->get_parent()) {
        for (const CLI::Option* option : app->get_options()) {
            if (option->check_name(word)) return option;
        }
    }
    return nullptr;
}

bool takes_value(const CLI::Option* option) {
    return option != nullptr && option->get_items_expected_max() > 0;
}

const CLI::App* command_named(const CLI::App& app, const std::string& word) {
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
        if (command->get_name() == word) return command;
    }
    return nullptr;
}

std::vector<std::string> options_of(const CLI::App& command) {
    std::vector<std::string> words;
    for (const CLI::App* app = &command; app != nullptr; app = app->get_parent()) {
        for (const CLI::Option* option : app->get_options()) {
            for (const std::string& name : option->get_lnames()) {
                const std::string word = "--" + name;
                if (std::ranges::find(words, word) == words.end()) words.push_back(word);
            }
        }
    }
    return words;
}

bool takes_targets(const CLI::App& command) {
    return std::ranges::any_of(command.get_options(), [](const CLI::Option* option) {
        return option->get_positional() && option->get_name(true) == "TARGET";
    });
}

}  // namespace

Completion complete(const CLI::App& app, const std::vector<std::string>& typed) {
    const std::string last = typed.empty() ? "" : typed.back();
    const CLI::App* command = &app;
    const CLI::Option* wanting = nullptr;  // the option whose value the next word is
    for (std::size_t i = 0; i + 1 < typed.size(); ++i) {
        if (std::exchange(wanting, nullptr) != nullptr) continue;
        if (typed[i].starts_with('-')) {
            const CLI::Option* option = option_named(*command, typed[i]);
            if (takes_value(option)) wanting = option;
        } else if (const CLI::App* next = command_named(*command, typed[i])) {
            command = next;
        }
    }
    Completion completion;
    if (wanting != nullptr) {
        completion.words = values_of(*wanting);
    } else if (last.starts_with('-')) {
        completion.words = options_of(*command);
    } else {
        for (const CLI::App* next : command->get_subcommands([](const CLI::App*) { return true; }))
            completion.words.push_back(next->get_name());
        completion.targets = takes_targets(*command);
    }
    std::erase_if(completion.words, [&last](const std::string& word) { return !word.starts_with(last); });
    return completion;
}

std::optional<std::string> completion_script(const std::string& shell) {
    static constexpr std::array<std::pair<const char*, const char*>, 3> kScripts{
        {{"bash", kBash}, {"zsh", kZsh}, {"fish", kFish}}};
    for (const auto& [name, script] : kScripts) {
        if (shell == name) return script;
    }
    return std::nullopt;
}

}  // namespace pgpulse::ctl
