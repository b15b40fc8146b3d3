#include "consul-bridge/token_file.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <utility>

namespace pgpulse::consul_bridge {
namespace {

constexpr std::size_t kMostBytes = 4096;

tl::expected<std::string, std::string> read_token(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    std::array<char, kMostBytes + 1> text{};
    if (!file.read(text.data(), text.size()) && !file.eof())
        return tl::unexpected("cannot read '" + path + "'");
    auto token = parse_token({text.data(), static_cast<std::size_t>(file.gcount())});
    if (!token) return tl::unexpected("'" + path + "': " + token.error());
    return token;
}

}  // namespace

tl::expected<std::string, std::string> parse_token(std::string_view text) {
    constexpr std::string_view kSpace = " \t\r\n";
    const auto first = text.find_first_not_of(kSpace);
    if (first == std::string_view::npos)
        return tl::unexpected(std::string{"expected a token, found nothing"});
    text = text.substr(first, text.find_last_not_of(kSpace) - first + 1);
    // Anything else could end the header that it is sent in.
    const bool one_word = std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
    if (!one_word || text.size() >= kMostBytes) {
        return tl::unexpected(std::string{"expected a token: one word of visible characters"});
    }
    return std::string{text};
}

tl::expected<std::shared_ptr<TokenFile>, std::string> TokenFile::open(const std::string& path) {
    auto token = read_token(path);
    if (!token) return tl::unexpected(token.error());
    return std::shared_ptr<TokenFile>{new TokenFile{path, std::move(*token)}};
}

std::string TokenFile::token() {
    const std::lock_guard lock{mutex_};
    auto token = read_token(path_);
    if (!token) {
        if (!std::exchange(told_, true))
            spdlog::warn("token file: {}: the last token stays in use", token.error());
        return last_;
    }
    const bool returned = std::exchange(told_, false);
    if (*token != last_) {
        spdlog::info("token file '{}': a new token is in use", path_);
        last_ = std::move(*token);
    } else if (returned) {
        spdlog::info("token file '{}' can be read again", path_);
    }
    return last_;
}

}  // namespace pgpulse::consul_bridge
