#include "aggregator/history_copy.hpp"

#include "common/cluster/rendezvous.hpp"
#include "common/contract/hash.hpp"
#include "common/contract/names.hpp"
#include "common/contract/state.hpp"

#include <algorithm>
#include <utility>

namespace pgpulse::aggregator {
namespace {

using contract::WallTime;

std::string id_of(const HistoryMark& mark) {
    return contract::to_rfc3339(mark.epoch) + '/' + std::to_string(mark.revision);
}

}  // namespace

Headers headers_of(const HistoryMessage& message) {
    const HistoryMark& mark = message.mark;
    Headers headers{{"Nats-Msg-Id", id_of(mark)},
                    {"Nats-Expected-Last-Sequence", std::to_string(message.expected_last)},
                    {contract::kHistoryEpoch, contract::to_rfc3339(mark.epoch)},
                    {contract::kHistoryRevision, std::to_string(mark.revision)},
                    {contract::kHistoryStoredAt, contract::to_rfc3339(mark.stored_at)},
                    {contract::kHistoryTransition, std::to_string(mark.transition)},
                    {contract::kHistoryDecidedAt, contract::to_rfc3339(mark.decided_at)}};
    if (!message.expected_last_id.empty())
        headers.emplace_back("Nats-Expected-Last-Msg-Id", message.expected_last_id);
    if (mark.removal) headers.emplace_back(contract::kHistoryOperation, message.operation);
    return headers;
}

bool copies_history(std::string_view id, const std::vector<std::string>& serving) {
    return cluster::Rendezvous{serving}.owns(id, "history", 1);
}

void HistoryCopy::history_opened(std::uint64_t last_sequence, bool replicated) {
    replicated_ = replicated;
    last_.clear();
    end_.reset();
    anchor_.reset();
    next_expected_ = last_sequence;
    read_ = 0;
    reread_until_ = 0;
    in_flight_ = 0;
    broken_ = false;
}

void HistoryCopy::history_entry(const std::string& target, std::uint64_t sequence,
                                const std::optional<HistoryMark>& mark) {
    next_expected_ = std::max(next_expected_, sequence);
    if (!mark) return;
    last_.insert_or_assign(contract::fnv1a(target),
                           Last{mark->transition, mark->decided_at, mark->stored_at, mark->removal});
    end_ = mark;
}

std::uint64_t HistoryCopy::bucket_opened(WallTime epoch, std::uint64_t last_revision) {
    epoch_ = epoch;
    const bool same = end_ && end_->epoch == epoch;
    if (same && !rewound_ && end_->revision <= last_revision) {
        // It is read once more, so that a bucket that was rewound is known by what stands there.
        anchor_ = end_;
        read_ = end_->revision - 1;
        return end_->revision;
    }
    if (same) reread_until_ = std::max(last_revision, end_->revision);
    rewound_ = false;
    return 1;
}

bool HistoryCopy::is_news(const BucketRevision& value, const Last& last, std::uint64_t transition,
                          WallTime decided_at) const {
    if (value.revision <= reread_until_) return decided_at > last.decided_at;
    if (last.removed) return transition != last.transition || decided_at != last.decided_at;
    return transition > last.transition || decided_at > last.decided_at;
}

std::optional<HistoryMessage> HistoryCopy::revision(BucketRevision&& revision) {
    if (anchor_) {
        const bool is_anchor = revision.revision == anchor_->revision;
        const bool as_copied = revision.stored_at == anchor_->stored_at;
        anchor_.reset();
        if (is_anchor && !as_copied) rewound_ = broken_ = true;
        if (is_anchor) {
            read_ = revision.revision;
            return std::nullopt;
        }
    }
    read_ = revision.revision;
    if (!contract::is_target_name(revision.target)) return std::nullopt;

    const std::uint64_t name = contract::fnv1a(revision.target);
    const auto known = last_.find(name);
    HistoryMark mark{epoch_, revision.revision, revision.stored_at, 0, {}, !revision.operation.empty()};
    if (mark.removal) {
        if (known != last_.end()) {
            const Last& last = known->second;
            if (last.removed) return std::nullopt;
            if (revision.revision <= reread_until_ && revision.stored_at <= last.stored_at)
                return std::nullopt;
            mark.transition = last.transition;
            mark.decided_at = last.decided_at;
        }
        revision.value.clear();
    } else {
        if (!revision.compare_and_set) return std::nullopt;
        const auto state = contract::decode_state(revision.target, revision.value);
        if (!state) return std::nullopt;
        if (known != last_.end() && !is_news(revision, known->second, state->transition, state->decided_at))
            return std::nullopt;
        mark.transition = state->transition;
        mark.decided_at = state->decided_at;
    }
    last_.insert_or_assign(name, Last{mark.transition, mark.decided_at, mark.stored_at, mark.removal});
    HistoryMessage message{std::move(revision.target), mark,           std::move(revision.operation),
                           std::move(revision.value),  next_expected_, {}};
    std::string id = id_of(mark);
    if (in_flight_ > 0 && !replicated_) message.expected_last_id = std::exchange(last_id_, {});
    last_id_ = std::move(id);
    ++in_flight_;
    ++next_expected_;
    return message;
}

void HistoryCopy::stored(std::uint64_t expected_last, std::uint64_t sequence) {
    if (in_flight_ > 0) --in_flight_;
    if (sequence != expected_last + 1) broken_ = true;
}

void HistoryCopy::failed() {
    if (in_flight_ > 0) --in_flight_;
    broken_ = true;
}

}  // namespace pgpulse::aggregator
