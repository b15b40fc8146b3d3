#include "ctl/replica_copy.hpp"

#include "common/contract/history_mark.hpp"

#include <algorithm>

namespace pgpulse::ctl {
namespace {

std::string id_of(const ReplicaMessage& message) {
    std::string id = contract::to_rfc3339(message.mark.epoch) + '/' + std::to_string(message.mark.revision);
    // Several may be as of one revision.
    if (message.vanished) id += '/' + message.key;
    // What is to stand elsewhere as well, after somebody overwrote it, is no duplicate.
    return id + '@' + std::to_string(message.expected_last);
}

}  // namespace

ReplicaHeaders headers_of(const ReplicaMessage& message) {
    ReplicaHeaders headers{{"Nats-Msg-Id", id_of(message)},
                           {"Nats-Expected-Last-Sequence", std::to_string(message.expected_last)},
                           {contract::kHistoryEpoch, contract::to_rfc3339(message.mark.epoch)},
                           {contract::kHistoryRevision, std::to_string(message.mark.revision)},
                           {contract::kHistoryStoredAt, contract::to_rfc3339(message.mark.stored_at)}};
    if (!message.expected_last_id.empty())
        headers.emplace_back("Nats-Expected-Last-Msg-Id", message.expected_last_id);
    if (!message.operation.empty()) headers.emplace_back(contract::kHistoryOperation, message.operation);
    return headers;
}

void ReplicaCopy::copy_opened(std::uint64_t last_sequence, bool replicated) {
    const bool rewound = rewound_;
    *this = {};
    rewound_ = rewound;
    replicated_ = replicated;
    next_expected_ = last_sequence;
}

void ReplicaCopy::copy_entry(const std::string& key, std::uint64_t sequence,
                             const std::optional<ReplicaMark>& mark, bool removal) {
    next_expected_ = std::max(next_expected_, sequence);
    last_.insert_or_assign(key, Last{mark, removal});
    end_ = mark;
}

std::optional<std::uint64_t> ReplicaCopy::source_opened(contract::WallTime epoch,
                                                        std::uint64_t last_revision) {
    epoch_ = epoch;
    opened_last_ = last_revision;
    const bool all_of_it = std::ranges::all_of(last_, [&](const auto& entry) {
        return entry.second.mark && (entry.second.removed || entry.second.mark->epoch == epoch);
    });
    const bool goes_on =
        all_of_it && !rewound_ && end_ && end_->epoch == epoch && end_->revision <= last_revision;
    rewound_ = false;
    every_key_is_read_ = !goes_on;
    if (!goes_on) {
        whole_ = last_revision == 0;
        return std::nullopt;
    }
    // It is read once more, so that a source that was rewound is known by what stands there.
    anchor_ = end_;
    read_ = end_->revision - 1;
    return end_->revision;
}

std::optional<ReplicaMessage> ReplicaCopy::message(SourceMessage&& message) {
    const ReplicaMark mark{epoch_, message.revision, message.stored_at};
    if (anchor_) {
        const bool is_anchor = mark.revision == anchor_->revision;
        const bool as_copied = mark == *anchor_;
        anchor_.reset();
        if (is_anchor && !as_copied) {
            rewound_ = broken_ = true;
            return std::nullopt;
        }
    }
    read_ = message.revision;
    read_stored_at_ = message.stored_at;
    if (read_ >= opened_last_) whole_ = true;
    const bool removal = !message.operation.empty();
    if (!removal) source_has_values_ = true;

    const auto known = last_.find(message.key);
    if (known != last_.end() && known->second.mark == mark) return std::nullopt;
    if (removal && (known == last_.end() || known->second.removed)) return std::nullopt;
    return give_out({std::move(message.key),
                     mark,
                     std::move(message.operation),
                     removal ? std::string{} : std::move(message.value),
                     0,
                     {},
                     false});
}

void ReplicaCopy::source_read() { whole_ = true; }

std::vector<std::string> ReplicaCopy::vanished() const {
    std::vector<std::string> keys;
    if (!whole_ || !every_key_is_read_ || !source_has_values_) return keys;
    for (const auto& [key, last] : last_) {
        if (!last.removed && (!last.mark || last.mark->epoch != epoch_)) keys.push_back(key);
    }
    return keys;
}

ReplicaMessage ReplicaCopy::removal(const std::string& key) {
    return give_out({key, {epoch_, read_, read_stored_at_}, "DEL", {}, 0, {}, true});
}

ReplicaMessage ReplicaCopy::give_out(ReplicaMessage&& message) {
    last_.insert_or_assign(message.key, Last{message.mark, !message.operation.empty()});
    message.expected_last = next_expected_;
    std::string id = id_of(message);
    if (in_flight_ > 0 && !replicated_) message.expected_last_id = std::exchange(last_id_, {});
    last_id_ = std::move(id);
    ++in_flight_;
    ++next_expected_;
    return std::move(message);
}

void ReplicaCopy::stored(std::uint64_t expected_last, std::uint64_t sequence) {
    if (in_flight_ > 0) --in_flight_;
    if (sequence != expected_last + 1) broken_ = true;
}

void ReplicaCopy::failed() {
    if (in_flight_ > 0) --in_flight_;
    broken_ = true;
}

}  // namespace pgpulse::ctl
