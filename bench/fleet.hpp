#pragma once

#include "common/contract/target.hpp"
#include "common/nats/connection.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

// The targets that the benches make up, and what is needed to follow a daemon at work on them.
namespace pgpulse::bench {

/// "bench-0000", "bench-0001", ...
std::string target_name(std::size_t index);

/// "bench-worker-0", "bench-worker-1", ...
std::string worker_name(std::size_t index);

/// A value of the bucket `health`. Odd transitions are to `up`, even ones to `down`; so many of the workers saw it.
std::string state_value(const std::string& target, std::uint64_t transition, std::size_t observers);

/// A connection that is up, or the end of the program with one line.
std::unique_ptr<nats::Connection> connect(const std::string& url, const char* program);

/// Publishes values into a JetStream bucket without waiting for one another. Ends the program with one line
/// where a value is not stored.
class BucketFiller {
  public:
    BucketFiller(nats::Connection& connection, std::string_view bucket);

    void put(const std::string& key, std::string_view value);
    /// Waits until all are stored.
    void finish();

  private:
    std::string prefix_;
    nats::JetStreamHandle js_;
};

/// The newest value of a key; nullopt where there is none. Ends the program with one line where the bucket cannot be read.
std::optional<std::string> stored_value(nats::Connection& connection, std::string_view bucket,
                                        const std::string& key);

/// Reads a daemon's /metrics over one connection that is kept.
class MetricsReader {
  public:
    explicit MetricsReader(std::string url);
    MetricsReader(const MetricsReader&) = delete;
    MetricsReader& operator=(const MetricsReader&) = delete;
    ~MetricsReader();

    /// The sum of a metric's values over all of its labels; 0 where there is none.
    double sum(std::string_view metric);

  private:
    std::string url_;
    void* curl_;
    std::string body_;
};

}  // namespace pgpulse::bench
