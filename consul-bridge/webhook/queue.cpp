#include "consul-bridge/webhook/queue.hpp"

#include <algorithm>

namespace pgpulse::consul_bridge::webhook {

using std::chrono::milliseconds;

void Queue::begin(const std::optional<Place>& known) {
    lanes_.clear();
    ready_.clear();
    held_.clear();
    in_flight_.clear();
    failing_.clear();
    trouble_.reset();
    delivered_ = known;
    pending_ = bytes_ = 0;
    full_ = false;
}

void Queue::add(Event event) {
    const std::uint64_t sequence = event.place.sequence;
    bytes_ += event.body.size();
    ++pending_;
    held_.push_back({event.place, event.stored, false});
    Lane& lane = lanes_[event.target];
    lane.events.push_back({sequence, std::make_shared<const std::string>(std::move(event.body))});
    if (lane.events.size() == 1) ready_.emplace(Turn{lane.due, sequence}, std::move(event.target));
    full_ = held_.size() >= settings_.ahead || bytes_ >= settings_.ahead_bytes;
}

std::vector<Queue::Post> Queue::step(Mono now) {
    std::vector<Post> posts;
    if (trouble_) {
        if (in_flight_.empty() && !ready_.empty() && now >= trouble_->next_try) posts.push_back(post());
        return posts;
    }
    while (in_flight_.size() < settings_.in_flight && !ready_.empty() && ready_.begin()->first.first <= now)
        posts.push_back(post());
    return posts;
}

std::optional<Queue::Mono> Queue::next_step() const {
    if (ready_.empty()) return std::nullopt;
    if (trouble_) return in_flight_.empty() ? std::optional{trouble_->next_try} : std::nullopt;
    if (in_flight_.size() >= settings_.in_flight) return std::nullopt;
    return ready_.begin()->first.first;
}

/// The first event of the lane whose turn it is.
Queue::Post Queue::post() {
    std::string target = std::move(ready_.begin()->second);
    ready_.erase(ready_.begin());
    const Waiting& first = lanes_.at(target).events.front();
    in_flight_.emplace(++last_id_, Flight{std::move(target), trouble_.has_value()});
    return {last_id_, first.body};
}

std::optional<Queue::Ended> Queue::ended(PostId id, const Answer& answer, double jitter, Mono now) {
    const auto flight = in_flight_.find(id);
    if (flight == in_flight_.end()) return std::nullopt;
    const bool trial = flight->second.trial;
    Ended ended{meaning_of(answer), Ended::Line::none, std::move(flight->second.target), {}};
    in_flight_.erase(flight);
    Lane& lane = lanes_.at(ended.target);

    switch (ended.meaning) {
        case Meaning::taken:
        case Meaning::dropped:
            if (ended.meaning == Meaning::dropped) ended.line = Ended::Line::event_dropped;
            is_back(now, ended);
            leaves(ended.target, lane);
            break;
        case Meaning::unsettled:
            if (lane.failures == 0 && !trouble_) ended.line = Ended::Line::target_fails;
            lane.due = now + pause(lane.failures++, answer, jitter);
            wait_again(ended.target, lane);
            failing_.insert(ended.target);
            if (trouble_ || failing_.size() >= kFailingTargets) fails(answer, trial, jitter, now, ended);
            break;
        case Meaning::away:
        case Meaning::gone:
            wait_again(ended.target, lane);
            fails(answer, trial, jitter, now, ended);
            break;
    }
    return ended;
}

/// The lane's first event is to be posted again.
void Queue::wait_again(const std::string& target, const Lane& lane) {
    ready_.emplace(Turn{lane.due, lane.events.front().sequence}, target);
}

/// The lane's first event is settled.
void Queue::leaves(const std::string& target, Lane& lane) {
    const Waiting& first = lane.events.front();
    const auto held = std::ranges::lower_bound(held_, first.sequence, {},
                                               [](const Held& each) { return each.place.sequence; });
    held->done = true;
    bytes_ -= first.body->size();
    --pending_;
    lane.events.pop_front();
    lane.failures = 0;
    lane.due = {};
    if (lane.events.empty()) {
        lanes_.erase(target);
    } else {
        wait_again(target, lane);
    }
    while (!held_.empty() && held_.front().done) {
        delivered_ = held_.front().place;
        held_.pop_front();
    }
    if (held_.size() <= settings_.ahead / 2 && bytes_ <= settings_.ahead_bytes / 2) full_ = false;
}

void Queue::fails(const Answer& answer, bool trial, double jitter, Mono now, Ended& ended) {
    if (!trouble_) {
        trouble_ = Trouble{now, 0, now};
        ended.line = Ended::Line::endpoint_fails;
        trial = true;
    }
    // Those that were on their way when it began tell nothing new but how long the endpoint wants no more.
    const unsigned tries = trial ? trouble_->tries++ : 0;
    trouble_->next_try = std::max(trouble_->next_try, now + pause(tries, answer, jitter));
}

void Queue::is_back(Mono now, Ended& ended) {
    failing_.clear();
    if (!trouble_) return;
    ended.failed_for = std::chrono::duration_cast<milliseconds>(now - trouble_->since);
    if (ended.line == Ended::Line::none) ended.line = Ended::Line::endpoint_is_back;
    trouble_.reset();
    // Whoever failed meanwhile need not wait any longer.
    std::map<Turn, std::string> ready;
    for (auto& [turn, target] : ready_) {
        lanes_.at(target).due = {};
        ready.emplace(Turn{Mono{}, turn.second}, std::move(target));
    }
    ready_ = std::move(ready);
}

milliseconds Queue::pause(unsigned failures, const Answer& answer, double jitter) const {
    if (meaning_of(answer) == Meaning::gone) return kGone;
    constexpr unsigned kDoublings = 16;
    const milliseconds whole =
        std::min(settings_.first_retry * (1 << std::min(failures, kDoublings)), settings_.longest_retry);
    const milliseconds drawn{
        static_cast<milliseconds::rep>(static_cast<double>(whole.count()) * (0.5 + jitter / 2))};
    return std::max<milliseconds>(drawn, std::min<milliseconds>(answer.retry_after, kLongestAsked));
}

std::optional<Place> Queue::read() const {
    return held_.empty() ? delivered_ : std::optional{held_.back().place};
}

std::optional<Queue::Mono> Queue::oldest() const {
    if (held_.empty()) return std::nullopt;
    return held_.front().stored;
}

}  // namespace pgpulse::consul_bridge::webhook
