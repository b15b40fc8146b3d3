#include "tests/support/bucket_ledger.hpp"

#include "common/contract/names.hpp"

#include <stdexcept>

namespace pgpulse::support {

BucketLedger::BucketLedger(nats::Connection& connection)
    : watch_(connection, std::string{contract::kStateBucket},
             [this](const nats::BucketEvent& event) { take(event); }) {}

void BucketLedger::take(const nats::BucketEvent& event) {
    const std::lock_guard lock{mutex_};
    switch (event.kind) {
        case nats::BucketEvent::Kind::opened:
            loaded_ = false;
            present_.clear();
            return;
        case nats::BucketEvent::Kind::loaded:
            loaded_ = true;
            return;
        case nats::BucketEvent::Kind::removed:
            present_[event.key] = false;
            return;
        case nats::BucketEvent::Kind::value:
            break;
    }
    auto state = contract::decode_state(event.key, event.value);
    if (!state) return;  // tests put such values there on purpose
    present_[event.key] = true;
    states_[event.key][event.revision] = std::move(*state);
}

std::optional<BucketLedger::Entry> BucketLedger::newest(const std::string& target) const {
    const std::lock_guard lock{mutex_};
    const auto present = present_.find(target);
    if (present == present_.end() || !present->second) return std::nullopt;
    const auto& [revision, state] = *states_.at(target).rbegin();
    return Entry{state, revision};
}

std::vector<BucketLedger::Entry> BucketLedger::history(const std::string& target) const {
    const std::lock_guard lock{mutex_};
    std::vector<Entry> all;
    const auto states = states_.find(target);
    if (states == states_.end()) return all;
    for (const auto& [revision, state] : states->second) all.push_back({state, revision});
    return all;
}

bool BucketLedger::loaded() const {
    const std::lock_guard lock{mutex_};
    return loaded_;
}

}  // namespace pgpulse::support
