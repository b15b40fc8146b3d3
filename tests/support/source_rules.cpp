#include "tests/support/source_rules.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>

namespace pgpulse::support {
namespace {

/// Headers, or folders of headers, that a pure file has no business with.
constexpr std::array<std::string_view, 38> kImpureHeaders{
    "nats.h",   "nats/",      "libpq-fe.h", "libpq/",        "postgresql/",  "curl/",
    "asio.hpp", "asio/",      "spdlog/",    "fmt/ostream.h", "httplib.h",    "prometheus/",
    "CLI/",     "gtest/",     "thread",     "mutex",         "shared_mutex", "condition_variable",
    "future",   "atomic",     "random",     "fstream",       "iostream",     "cstdio",
    "stdio.h",  "filesystem", "ctime",      "time.h",        "sys/",         "unistd.h",
    "netinet/", "arpa/",      "poll.h",     "netdb.h",       "pthread.h",    "csignal",
    "cstdlib",  "stdlib.h"};

struct Forbidden {
    const char* pattern;
    const char* what;
};
constexpr std::array kImpureCalls{
    Forbidden{R"(::\s*now\s*\()", "reads a clock"},
    Forbidden{R"((^|[^A-Za-z0-9_.>:])(std\s*::\s*|::\s*)?(time|clock)\s*\(\s*(\)|0|NULL|nullptr|&))",
              "reads a clock"},
    Forbidden{R"(\b(gettimeofday|clock_gettime|timespec_get)\b)", "reads a clock"},
    Forbidden{
        R"(\b(random_device|mt19937|mt19937_64|default_random_engine)\b|(^|[^A-Za-z0-9_.>])(s?rand|random)\s*\()",
        "draws random numbers"},
    Forbidden{R"(\bgetenv\b)", "reads the environment"},
    Forbidden{R"(\b(sleep_for|sleep_until|nanosleep|usleep)\b)", "sleeps"},
    Forbidden{R"(\b(cout|cerr|clog|printf|fopen|ifstream|ofstream)\b)", "does I/O"},
};

bool names(std::string_view header, std::string_view forbidden) {
    return forbidden.ends_with('/') ? header.starts_with(forbidden) : header == forbidden;
}

std::string text_of(const std::filesystem::path& path) {
    std::ifstream file{path};
    return {std::istreambuf_iterator<char>{file}, {}};
}

}  // namespace

std::vector<SourceFile> read_sources(const std::filesystem::path& root,
                                     const std::vector<std::string>& folders) {
    std::vector<SourceFile> files;
    for (const std::string& folder : folders) {
        for (const auto& entry : std::filesystem::recursive_directory_iterator{root / folder}) {
            const auto extension = entry.path().extension();
            if (!entry.is_regular_file() || (extension != ".hpp" && extension != ".cpp")) continue;
            files.push_back({entry.path().lexically_relative(root).generic_string(), text_of(entry.path())});
        }
    }
    std::ranges::sort(files, {}, &SourceFile::path);
    return files;
}

std::string without_comments_and_strings(std::string_view text) {
    enum class In { code, line_comment, block_comment, string, character, raw_string };
    std::string code;
    std::string raw_end;
    In in = In::code;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const std::string_view rest = text.substr(i);
        switch (in) {
            case In::code:
                if (rest.starts_with("//")) {
                    in = In::line_comment;
                } else if (rest.starts_with("/*")) {
                    in = In::block_comment;
                    ++i;
                } else if (rest.starts_with("R\"")) {
                    const auto open = rest.find('(');
                    if (open == std::string_view::npos) return code;
                    raw_end = ")" + std::string{rest.substr(2, open - 2)} + "\"";
                    in = In::raw_string;
                    code += "\"\"";
                    i += open;
                } else {
                    code += c;
                    if (c == '"') in = In::string;
                    // A quote between digits separates thousands: 86'400.
                    const bool separator =
                        i > 0 && std::isalnum(static_cast<unsigned char>(text[i - 1])) != 0;
                    if (c == '\'' && !separator) in = In::character;
                }
                break;
            case In::line_comment:
                if (c == '\n') {
                    code += c;
                    in = In::code;
                }
                break;
            case In::block_comment:
                if (c == '\n') code += c;
                if (rest.starts_with("*/")) {
                    in = In::code;
                    code += ' ';
                    ++i;
                }
                break;
            case In::string:
            case In::character:
                if (c == '\\') {
                    ++i;
                } else if (c == (in == In::string ? '"' : '\'')) {
                    code += c;
                    in = In::code;
                }
                break;
            case In::raw_string:
                if (rest.starts_with(raw_end)) {
                    i += raw_end.size() - 1;
                    in = In::code;
                }
                break;
        }
    }
    return code;
}

std::vector<Include> includes_of(std::string_view text) {
    static const std::regex kInclude{R"rx(^\s*#\s*include\s*(?:"([^"]*)"|<([^>]*)>))rx"};
    std::vector<Include> includes;
    std::istringstream lines{std::string{text}};
    for (std::string line; std::getline(lines, line);) {
        std::smatch match;
        if (!std::regex_search(line, match, kInclude)) continue;
        const bool quoted = match[1].matched;
        includes.push_back({match[quoted ? 1 : 2].str(), quoted});
    }
    return includes;
}

std::vector<std::string> impurities(const SourceFile& file, const std::vector<std::string>& pure) {
    std::vector<std::string> faults;
    for (const Include& include : includes_of(file.text)) {
        if (include.quoted) {
            if (!is_listed(include.name, pure)) {
                faults.push_back(file.path + ": includes \"" + include.name + "\", which is not pure");
            }
        } else if (std::ranges::any_of(kImpureHeaders, [&](std::string_view header) {
                       return names(include.name, header);
                   })) {
            faults.push_back(file.path + ": includes <" + include.name + ">");
        }
    }
    static const std::vector<std::pair<std::regex, const char*>> kPatterns = [] {
        std::vector<std::pair<std::regex, const char*>> patterns;
        patterns.reserve(kImpureCalls.size());
        for (const Forbidden& forbidden : kImpureCalls) {
            patterns.emplace_back(std::regex{forbidden.pattern}, forbidden.what);
        }
        return patterns;
    }();
    std::istringstream lines{without_comments_and_strings(file.text)};
    int number = 0;
    for (std::string line; std::getline(lines, line);) {
        ++number;
        for (const auto& [pattern, what] : kPatterns) {
            if (std::regex_search(line, pattern)) {
                faults.push_back(file.path + ":" + std::to_string(number) + ": " + what);
            }
        }
    }
    return faults;
}

bool is_listed(std::string_view path, const std::vector<std::string>& list) {
    const std::string_view stem = path.substr(0, path.rfind('.'));
    return std::ranges::any_of(list, [&](const std::string& entry) {
        return entry.ends_with('/') ? path.starts_with(entry) : stem == entry;
    });
}

}  // namespace pgpulse::support
