#pragma once

#include <string>

namespace pgpulse::consul_bridge {

/// How to reach Consul. Names follow the environment variables users know; empty means not given.
struct ConsulOptions {
    std::string url = "http://127.0.0.1:8500";  // http or https, no path
    std::string token;                          // CONSUL_HTTP_TOKEN
    std::string token_file;                     // CONSUL_HTTP_TOKEN_FILE; read before every request
    std::string ca_file;                        // CONSUL_CACERT
    std::string certificate_file;               // CONSUL_CLIENT_CERT
    std::string key_file;                       // CONSUL_CLIENT_KEY
    bool verify = true;                         // CONSUL_HTTP_SSL_VERIFY
    std::string server_name;                    // CONSUL_TLS_SERVER_NAME
    std::string name_space;                     // CONSUL_NAMESPACE
};

}  // namespace pgpulse::consul_bridge
