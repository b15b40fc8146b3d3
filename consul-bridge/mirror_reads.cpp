#include "consul-bridge/mirror.hpp"

#include <algorithm>
#include <utility>

// What reads of Consul tell the mirror.
namespace pgpulse::consul_bridge {
namespace {

constexpr std::size_t kNamesInALine = 10;

/// What a repair is about: the operations but for the one that only guards.
std::string names_of(const std::vector<Operation>& operations) {
    std::string names;
    for (const Operation& operation : operations) {
        if (std::holds_alternative<GuardValue>(operation)) continue;
        names += (names.empty() ? "" : ", ") + name_of(operation);
    }
    return names;
}

}  // namespace

void Mirror::read(RequestId id, Snapshot snapshot, Mono now) {
    heard(id, now);
    if (everything_ == id) {
        everything_.reset();
        take_everything(id, snapshot, now);
    } else if (auto node = target_reads_.extract(id)) {
        take_targets(id, node.mapped(), snapshot);
    }
}

void Mirror::take_everything(RequestId id, Snapshot& snapshot, Mono now) {
    reconcile_at_ = std::exchange(read_again_, false) ? now : now + settings_.reconcile_interval;
    ++counters_.reconciles;
    const bool first = !std::exchange(read_once_, true);
    if (first) {
        const auto ours =
            std::ranges::count_if(snapshot, [](const auto& entry) { return entry.second.node.has_value(); });
        say(Say::Level::info,
            "Consul is read: " + count_of_targets(static_cast<std::size_t>(ours)) + " there");
    }
    for (const auto& entry : snapshot) target(entry.first);
    std::size_t repairs = 0;
    std::string named;
    for (auto& [name, t] : targets_) {
        if (t.touched >= id || t.phase == Phase::written || t.phase == Phase::reading) continue;
        if (t.obstacle == Obstacle::foreign_node && t.phase == Phase::settled) {
            // Only a read of its own can tell whether the other's node is still there.
            move_to(t, Phase::unread);
            continue;
        }
        const bool was_settled = !first && !std::exchange(t.hearsay, false) && t.phase == Phase::settled &&
                                 (t.obstacle == Obstacle::none || t.obstacle == Obstacle::foreign_root);
        const auto found = snapshot.find(name);
        Held held = found == snapshot.end() ? Held{} : std::move(found->second);
        if (!first && held == t.held) {
            if (t.obstacle != Obstacle::none) examine(t);
            continue;
        }
        t.held = std::move(held);
        examine(t);
        if (!was_settled || t.phase != Phase::queued) continue;
        ++repairs;
        if (repairs <= kNamesInALine) {
            named += (named.empty() ? "" : "; ") + name + " (" + names_of(difference(t).operations) + ")";
        }
    }
    counters_.repairs += repairs;
    if (repairs > kNamesInALine) named += "; and " + std::to_string(repairs - kNamesInALine) + " more";
    if (repairs > 0) {
        say(Say::Level::warning, "somebody changed " + count_of_targets(repairs) +
                                     " in Consul, which is being repaired: " + named);
    }
}

void Mirror::take_targets(RequestId id, const std::vector<std::string>& names, Snapshot& snapshot) {
    for (const std::string& name : names) {
        Target& t = target(name);
        if (id > t.touched) t.hearsay = false;
        const auto found = snapshot.find(name);
        t.held = found == snapshot.end() ? Held{} : std::move(found->second);
        move_to(t, Phase::settled);
        examine(t);
    }
}

void Mirror::read_failed(RequestId id, const Unreachable& how, Mono now) {
    if (everything_ == id) everything_.reset();
    if (auto node = target_reads_.extract(id)) {
        for (const std::string& name : node.mapped()) move_to(target(name), Phase::unread);
    }
    lost(how, now);
}

}  // namespace pgpulse::consul_bridge
