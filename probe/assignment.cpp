#include "probe/assignment.hpp"

namespace pgpulse::probe {

Assignment::Moves Assignment::members(std::vector<std::string> probes) {
    probes_ = cluster::Rendezvous{std::move(probes)};
    Moves moves;
    for (auto& [name, target] : targets_) {
        const bool own = is_own(name, target.observers);
        if (own == target.own) continue;
        target.own = own;
        (own ? moves.gained : moves.lost).push_back(name);
    }
    return moves;
}

Assignment::Effect Assignment::define(const std::string& name, std::uint32_t observers) {
    Target& target = targets_[name];
    target.observers = observers;
    const bool before = target.own;
    target.own = is_own(name, observers);
    if (target.own) return before ? Effect::kept : Effect::gained;
    return before ? Effect::lost : Effect::none;
}

Assignment::Effect Assignment::remove(const std::string& name) {
    const auto it = targets_.find(name);
    if (it == targets_.end()) return Effect::none;
    const bool own = it->second.own;
    targets_.erase(it);
    return own ? Effect::lost : Effect::none;
}

}  // namespace pgpulse::probe
