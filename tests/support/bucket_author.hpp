#pragma once

#include "common/contract/state.hpp"
#include "common/contract/target.hpp"
#include "common/nats/connection.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace pgpulse::support {

/// Writes the buckets `health` and `health_targets` as the probe and the aggregator do, for tests of those
/// that only read them. Makes both buckets. Throws std::runtime_error where NATS does not do as asked.
class BucketAuthor {
  public:
    explicit BucketAuthor(const std::string& nats_url);
    /// As a user who may create both.
    explicit BucketAuthor(std::unique_ptr<nats::Connection> connection);

    /// Makes a bucket that keeps its values. Nothing to do where it is there.
    void make(const std::string& bucket);
    void define(const contract::TargetDefinition& definition);
    /// Leaves a delete marker.
    void undefine(const std::string& target);
    /// Stores the state; returns its revision.
    std::uint64_t state(const contract::State& state);
    /// Leaves a delete marker; returns its revision.
    std::uint64_t remove_state(const std::string& target);
    /// Any value of a key of the bucket; returns its revision.
    std::uint64_t put(const std::string& bucket, const std::string& key, std::string_view value);
    /// Removes the bucket's stream with all it holds and makes a new one.
    void recreate(const std::string& bucket);
    /// When the stream of the bucket was created.
    [[nodiscard]] contract::WallTime epoch(const std::string& bucket);

    [[nodiscard]] nats::Connection& connection() { return *connection_; }

  private:
    std::unique_ptr<nats::Connection> connection_;
    nats::JetStreamHandle js_;

    std::uint64_t publish(const std::string& bucket, const std::string& key, std::string_view value,
                          bool remove);
};

/// A definition of a server at 127.0.0.1 whose service has the target's own name.
contract::TargetDefinition a_definition(const std::string& target);

/// The `transition`th state of a target, decided by one observer; times are made of `transition`.
contract::State a_state(const std::string& target, contract::Health health, std::uint64_t transition = 1);

}  // namespace pgpulse::support
