#pragma once

#include "consul-bridge/webhook/poster.hpp"

#include <tl/expected.hpp>

#include <string>
#include <vector>

namespace pgpulse::consul_bridge::webhook {

/// What stands on the command line.
struct Options {
    std::vector<std::string> urls;  // --webhook
    std::vector<std::string>
        header_files;     // --webhook-header-file: one for each URL, in their order, or none at all
    std::string ca_file;  // --webhook-ca-file
};

/// Error: one line that names the flag and what was expected, and quotes no URL.
tl::expected<std::vector<Endpoint>, std::string> to_endpoints(const Options& options);

}  // namespace pgpulse::consul_bridge::webhook
