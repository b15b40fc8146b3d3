#include "common/runtime/manual_page.hpp"

#include "common/runtime/options.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <sstream>
#include <vector>

namespace pgpulse::runtime {
namespace {

/// Text as roff has it: a hyphen that is typed, a backslash, and no line that begins with a command.
std::string roff(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == '\\')
            out += "\\e";
        else if (c == '-')
            out += "\\-";
        else
            out += c;
    }
    if (out.starts_with('.') || out.starts_with('\'')) out.insert(0, "\\&");
    return out;
}

std::string heading(const char* name) { return std::string{".SH "} + name + "\n"; }

std::string options_of_page(const CLI::App& app) {
    std::string text;
    for (const CLI::Option* option : app.get_options()) {
        if (option->get_positional() || option->get_group().empty()) continue;
        std::string names;
        for (const std::string& name : option->get_snames()) names += (names.empty() ? "-" : ", -") + name;
        for (const std::string& name : option->get_lnames()) names += (names.empty() ? "--" : ", --") + name;
        text += ".TP\n\\fB" + roff(names) + "\\fR";
        if (option->get_items_expected_max() > 0 && !option->get_type_name().empty())
            text += " \\fI" + roff(option->get_type_name()) + "\\fR";
        text += "\n" + roff(option->get_description()) + "\n";
    }
    return text;
}

std::string arguments_of(const CLI::App& app) {
    std::string text;
    for (const CLI::Option* option : app.get_options()) {
        if (!option->get_positional()) continue;
        const std::string name = option->get_name(true) + (option->get_items_expected_max() > 1 ? "..." : "");
        text += option->get_required() ? " " + name : " [" + name + "]";
    }
    return text;
}

/// The text below the options: what is said of exit codes, examples and the environment has sections of its own.
std::string footer_of_page(const CLI::App& app) {
    std::string notes;
    std::string exits;
    std::string examples;
    std::string environment;
    std::string* current = &notes;
    std::istringstream lines{app.get_footer()};
    for (std::string line; std::getline(lines, line);) {
        if (line == "Examples:") {
            current = &examples;
            continue;
        }
        if (line.starts_with("Exit code")) current = &exits;
        if (line.starts_with("Environment: ")) {
            current = &environment;
            line.erase(0, std::string{"Environment: "}.size());
        }
        *current += roff(line) + "\n";
    }
    std::string text;
    if (!notes.empty()) text += heading("NOTES") + notes;
    if (!exits.empty()) text += heading("EXIT STATUS") + exits;
    if (!examples.empty()) text += heading("EXAMPLES") + ".nf\n" + examples + ".fi\n";
    if (!environment.empty()) text += heading("ENVIRONMENT") + environment;
    return text;
}

}  // namespace

std::optional<std::string> manual_page(const CLI::App& app, const std::string& command, int section,
                                       const std::string& see_also) {
    const CLI::App* shown = &app;
    std::string name = app.get_name();
    std::string usage = name;
    if (!command.empty()) {
        const auto all = app.get_subcommands([](const CLI::App*) { return true; });
        const auto found =
            std::ranges::find(all, command, [](const CLI::App* one) { return one->get_name(); });
        if (found == all.end()) return std::nullopt;
        shown = *found;
        name += "-" + command;
        usage += " " + command;
    }
    std::string page = ".TH \"" + name + "\" \"" + std::to_string(section) + "\" \"\" \"pgpulse " +
                       program_version() + "\" \"pgpulse\"\n";
    page += heading("NAME") + roff(name) + " \\- " + roff(shown->get_description()) + "\n";
    page += heading("SYNOPSIS") + "\\fB" + roff(usage) + "\\fR [\\fIOPTIONS\\fR]";
    const auto commands = shown->get_subcommands([](const CLI::App*) { return true; });
    page += commands.empty() ? roff(arguments_of(*shown)) : " \\fICOMMAND\\fR";
    page += "\n" + heading("OPTIONS") + options_of_page(*shown);
    if (!commands.empty()) {
        page += heading("COMMANDS");
        for (const CLI::App* one : commands)
            page += ".TP\n\\fB" + roff(one->get_name()) + "\\fR" + roff(arguments_of(*one)) + "\n" +
                    roff(one->get_description()) + "\n" + options_of_page(*one);
    }
    page += footer_of_page(*shown);
    std::string others = see_also;
    for (const CLI::App* one : commands)
        others += (others.empty() ? "" : ", ") + roff(name + "-" + one->get_name()) + "(1)";
    page += heading("SEE ALSO") + others + "\n";
    return page;
}

}  // namespace pgpulse::runtime
