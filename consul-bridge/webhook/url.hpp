#pragma once

#include <tl/expected.hpp>

#include <string>

// Pure: the address of an endpoint. Its path, query and user part may be secrets.
namespace pgpulse::consul_bridge::webhook {

struct Url {
    std::string whole;  // a secret
    std::string shown;  // for logs and metrics: "https://hooks.example.com:8443"
    /// By which bridges and the bucket of cursors know the endpoint: 16 hexadecimal digits, the hash of the URL without
    /// its user part, so that nobody can try passwords on it.
    std::string key;
};

/// Reads an absolute http or https URL. Error: what was expected; quotes nothing of the text.
tl::expected<Url, std::string> parse_url(const std::string& text);

}  // namespace pgpulse::consul_bridge::webhook
