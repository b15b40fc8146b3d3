#include "consul-bridge/mirror.hpp"

#include <algorithm>
#include <utility>

// Whose the targets are, and whether what NATS says of them is to be believed.
namespace pgpulse::consul_bridge {
namespace {

constexpr std::chrono::milliseconds kQuestionInterval{1000};

}  // namespace

void Mirror::members(std::vector<std::string> bridges, Mono now) {
    bridges_ = cluster::Rendezvous{std::move(bridges)};
    bool gained = false;
    for (auto& [name, t] : targets_) {
        const bool own = owns(name);
        if (own == t.own) continue;
        t.own = own;
        if (t.definition) counters_.owned += own ? 1 : std::size_t{0} - 1;
        if (!own) {
            // Its next owner's to write, and to say what is in the way.
            t.obstacle = Obstacle::none;
            t.refusals = 0;
            continue;
        }
        gained = true;
        t.hearsay = true;
        // A first read under way counts all the same: nothing is known without it, and it is followed by another.
        if (read_once_) t.touched = last_request_;
        examine(t);
    }
    // What was read last may be a whole interval old.
    if (gained) read_soon(now);
}

void Mirror::hear(bool itself, Mono now) {
    if (hears_itself_ == itself) return;
    hears_itself_ = itself;
    // What others wrote meanwhile is not known.
    if (itself) read_soon(now);
}

void Mirror::mark_stale(std::optional<Stale> stale, Mono now) {
    if (stale_ == stale) return;
    stale_ = std::move(stale);
    for (auto& [name, t] : targets_) {
        if (!t.unsent_since) t.unsent_since = now;
        examine(t);
    }
}

void Mirror::read_soon(Mono now) {
    read_again_ = everything_.has_value();
    if (read_once_) reconcile_at_ = std::min(reconcile_at_, now);
}

void Mirror::ask_bucket(Mono now) {
    if (doubtful_.empty() || question_ || !hears_itself_ || now < ask_at_) return;
    ask_at_ = now + kQuestionInterval;
    question_ = Question{++last_request_, std::exchange(doubtful_, {})};
    actions_.emplace_back(AskBucket{question_->id});
}

void Mirror::bucket_is(RequestId id, const std::optional<BucketState>& bucket, Mono now) {
    if (!question_ || question_->id != id) return;
    const std::vector<Target*> about = std::move(question_->about);
    question_.reset();
    ask_at_ = now + kQuestionInterval;
    for (Target* t : about) {
        t->asked_about = false;
        if (!bucket) {
            note_obstacle(*t, t->obstacle);
            continue;
        }
        const bool ours = t->state && t->stamp.epoch == bucket->created;
        if (ours && t->held.value && t->held.value->stamp) {
            const Stamp& there = *t->held.value->stamp;
            if (there.epoch != bucket->created || there.revision > bucket->last_revision) t->outlived = there;
        }
        examine(*t);
    }
}

std::optional<Mono> Mirror::oldest_pending() const {
    std::optional<Mono> oldest;
    for (const auto& [name, t] : targets_) {
        if (t.phase == Phase::settled) continue;
        for (const auto& since : {t.unsent_since, t.sent_since}) {
            if (since) oldest = oldest ? std::min(*oldest, *since) : *since;
        }
    }
    return oldest;
}

}  // namespace pgpulse::consul_bridge
