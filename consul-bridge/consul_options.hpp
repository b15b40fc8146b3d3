#pragma once

#include <memory>
#include <string>

namespace pgpulse::consul_bridge {

class TokenFile;

/// How to reach Consul. Names follow the environment variables users know; empty means not given.
struct ConsulOptions {
    std::string url = "http://127.0.0.1:8500";  // http or https without a path, or unix://SOCKET
    bool tls = false;                           // CONSUL_HTTP_SSL; at a socket nothing else says so
    std::string token;                          // CONSUL_HTTP_TOKEN
    std::shared_ptr<TokenFile> token_file;      // CONSUL_HTTP_TOKEN_FILE; goes before `token`
    std::string ca_file;                        // CONSUL_CACERT
    std::string ca_path;           // CONSUL_CAPATH: a folder of PEM files, where there is no file
    std::string certificate_file;  // CONSUL_CLIENT_CERT
    std::string key_file;          // CONSUL_CLIENT_KEY
    bool verify = true;            // CONSUL_HTTP_SSL_VERIFY
    std::string server_name;       // CONSUL_TLS_SERVER_NAME
    std::string name_space;        // CONSUL_NAMESPACE

    [[nodiscard]] bool is_socket() const { return url.starts_with("unix://"); }
    [[nodiscard]] bool is_encrypted() const { return is_socket() ? tls : url.starts_with("https://"); }
};

}  // namespace pgpulse::consul_bridge
