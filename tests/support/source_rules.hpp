#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

// What a source file includes and calls, read from its text.
namespace pgpulse::support {

/// A file of the repository: its path from the root with '/' between folders, and its text.
struct SourceFile {
    std::string path;
    std::string text;
};

/// Every .hpp and .cpp below these folders of the root, by path.
std::vector<SourceFile> read_sources(const std::filesystem::path& root,
                                     const std::vector<std::string>& folders);

/// The text without comments and without the insides of string and character literals; lines stay lines.
std::string without_comments_and_strings(std::string_view text);

/// One `#include`: what stands between the quotes or angle brackets.
struct Include {
    std::string name;
    bool quoted = false;
};
std::vector<Include> includes_of(std::string_view text);

/// What a pure file must not have, one line each: an include of anything that does I/O, keeps threads or
/// reads a clock, a quoted include that is not in `pure` (paths without extension, or folders that end with
/// '/'), a call that reads a clock, the environment or a random device.
std::vector<std::string> impurities(const SourceFile& file, const std::vector<std::string>& pure);

/// True when the path, without its extension, is an entry of the list or below a folder of it.
bool is_listed(std::string_view path, const std::vector<std::string>& list);

}  // namespace pgpulse::support
