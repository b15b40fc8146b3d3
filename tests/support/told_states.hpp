#pragma once

#include "common/contract/state.hpp"
#include "common/nats/subscription.hpp"

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

// What was told of all targets' states, once by the bucket `health` and once by the messages that the server makes of
// it.
namespace pgpulse::support {

/// One entry of the bucket, or one message on `health.state.<target>`.
struct ToldState {
    std::string target;
    std::uint64_t revision = 0;
    std::optional<contract::State> state;  // none: a delete marker
    contract::WallTime stored_at{};        // by the server's clock; of the bucket's entries alone
};

/// Every message on `health.state.>`, as a subscriber gets them.
class ToldStates {
  public:
    explicit ToldStates(nats::Connection& connection);

    /// In the order in which they came.
    [[nodiscard]] std::vector<ToldState> all() const;
    /// How many came.
    [[nodiscard]] std::size_t count() const;
    /// The newest of the target; nullopt where none came, or a delete marker came last.
    [[nodiscard]] std::optional<contract::State> newest(const std::string& target) const;

  private:
    mutable std::mutex mutex_;
    std::vector<ToldState> told_;
    std::unique_ptr<nats::Subscription> subscription_;

    void take(const nats::Message& message);
};

/// Everything that the bucket `health` holds with all its history, by revision, read from its stream message by
/// message. Throws std::runtime_error where the server does not answer.
std::vector<ToldState> stored_states(nats::Connection& connection);

/// What was told of one target, for comparison and for messages: "1 up, 2 up -> down, deleted", each with its counter
/// and the state before it.
std::string course_of(const std::vector<ToldState>& told, const std::string& target);

/// The same of the states that a target takes one after the other from its first transition on.
std::string course_of(const std::vector<contract::Health>& states);

/// Whether the revision of each of the target's entries is above the one before it. Between targets the server keeps no
/// order of its messages.
bool in_order_of_revisions(const std::vector<ToldState>& told, const std::string& target);

}  // namespace pgpulse::support
