#include "aggregator/workers.hpp"

#include <utility>

namespace pgpulse::aggregator {
namespace {

constexpr std::uint32_t kRefusalsAWalk = 1000;

}  // namespace

std::optional<Workers::Index> Workers::meet(std::string_view id) {
    if (const auto it = index_.find(id); it != index_.end()) return it->second;
    // Whoever sends made-up names by the thousand is not to cost a walk for each.
    if (index_.size() >= kMost && refused_++ % kRefusalsAWalk == 0) forget_the_silent();
    if (index_.size() >= kMost) return std::nullopt;
    return add(id);
}

void Workers::members(const std::vector<std::string>& probes, HearingClock::Time now) {
    for (Worker& worker : workers_) {
        if (std::exchange(worker.serves, false)) worker.served_until = now;
    }
    ranks_ = cluster::Rendezvous{probes};
    member_indexes_.clear();
    for (const std::string& id : ranks_.members()) {
        const auto it = index_.find(id);
        const Index index = it == index_.end() ? add(id) : it->second;
        workers_[index].serves = true;
        member_indexes_.push_back(index);
    }
    ++generation_;
}

std::span<const Workers::Index> Workers::observers(std::string_view target, std::uint32_t count) {
    ranks_.owners(target, count, observers_);
    for (Index& observer : observers_) observer = member_indexes_[observer];
    return observers_;
}

Workers::Index Workers::add(std::string_view id) {
    Index index = 0;
    if (free_.empty()) {
        index = static_cast<Index>(workers_.size());
        workers_.emplace_back();
    } else {
        index = free_.back();
        free_.pop_back();
        workers_[index] = {};
    }
    workers_[index].id = id;
    index_.emplace(id, index);
    return index;
}

void Workers::forget_the_silent() {
    for (auto it = index_.begin(); it != index_.end();) {
        const Worker& worker = workers_[it->second];
        if (worker.serves || worker.words > 0) {
            ++it;
            continue;
        }
        free_.push_back(it->second);
        it = index_.erase(it);
    }
}

}  // namespace pgpulse::aggregator
