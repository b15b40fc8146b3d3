#pragma once

#include "common/runtime/options.hpp"
#include "consul-bridge/consul_options.hpp"
#include "consul-bridge/documents.hpp"
#include "consul-bridge/webhook/poster.hpp"

#include <tl/expected.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace pgpulse::consul_bridge {

struct Options {
    runtime::CommonOptions common;
    ConsulOptions consul;
    std::string kv_prefix = "health/";
    std::chrono::milliseconds reconcile_interval{60'000};
    Compat compat = Compat::none;
    bool keep_removed = false;
    std::vector<webhook::Endpoint> webhooks;
    std::string self_service = "pgpulse-consul-bridge";  // empty: not registered
    std::chrono::seconds stale_after{0};                 // 0: never
};

/// Reads the command line, the environment and the configuration file. The program ends with the code where
/// there is one.
std::optional<int> read_options(int argc, char** argv, Options& options);

/// A Consul address as users write it ("127.0.0.1:8500", "https://consul.example:8501", "unix:///run/consul.sock")
/// as a URL without a path. `tls`: what an address without a scheme means. Error: what was expected.
tl::expected<std::string, std::string> to_consul_url(const std::string& address, bool tls);

/// The value of --compat; empty text is none. Error: what was expected.
tl::expected<Compat, std::string> to_compat(const std::string& word);

/// Empty, or what is expected of --kv-prefix.
std::optional<std::string> fault_of_prefix(const std::string& prefix);

}  // namespace pgpulse::consul_bridge
