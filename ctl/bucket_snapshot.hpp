#pragma once

#include "common/nats/bucket.hpp"

#include <tl/expected.hpp>

#include <chrono>
#include <map>
#include <string>

namespace pgpulse::ctl {

/// The newest event of each key, by key.
using Values = std::map<std::string, nats::BucketEvent>;

/// The newest value of each key; keys under a delete marker are left out. Reads the bucket to its end, waiting at most `timeout` for NATS, the bucket and its content. Error: one line
/// that says what is missing.
tl::expected<Values, std::string> read_bucket(nats::Connection& connection, std::string_view bucket,
                                              std::chrono::milliseconds timeout);

/// Keys under a delete marker as well, of the kind `removed`.
tl::expected<Values, std::string> read_bucket_with_markers(nats::Connection& connection,
                                                           std::string_view bucket,
                                                           std::chrono::milliseconds timeout);

}  // namespace pgpulse::ctl
