#pragma once

#include <tl/expected.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace pgpulse::consul_bridge {

/// The token in a file's text, without the white space around it. Error: what was expected, never what the
/// file has.
tl::expected<std::string, std::string> parse_token(std::string_view text);

/// A file with Consul's token, which may be another at any time.
class TokenFile {
  public:
    /// Error: one line that names the file and what was expected.
    static tl::expected<std::shared_ptr<TokenFile>, std::string> open(const std::string& path);

    /// What the file has now. Where it cannot be used, the last token: that is logged once, and again when it is
    /// over. From any thread.
    std::string token();

  private:
    TokenFile(std::string path, std::string token) : path_(std::move(path)), last_(std::move(token)) {}

    const std::string path_;
    std::mutex mutex_;
    std::string last_;
    bool told_ = false;
};

}  // namespace pgpulse::consul_bridge
