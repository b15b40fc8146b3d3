#include "common/cluster/membership.hpp"

namespace pgpulse::cluster {

using contract::Member;
using contract::MemberKind;
using contract::MemberPhase;

Membership::Membership(Member own) : own_(std::move(own)) {}

void Membership::heard(const Member& member, Mono now) {
    if (member.kind == own_.kind && member.id == own_.id) {
        heard_own(member, now);
        return;
    }
    const auto [it, fresh] = others_.try_emplace(Key{member.kind, member.id}, Heard{member, now});
    if (fresh) return;
    const Heard& known = it->second;
    const bool second_start = member.run != known.member.run && member.phase == MemberPhase::starting &&
                              known.member.phase != MemberPhase::starting && now - known.at <= kTtl;
    if (!second_start) it->second = {member, now};
}

void Membership::heard_own(const Member& member, Mono now) {
    if (member.run == own_.run) {
        if (!hears_itself(now)) {
            // The gap may be over before a tick has seen it: what waited while this process was stopped is
            // heard first.
            echoing_since_ = now;
            frozen_ = standing_ == Standing::serving;
        }
        echoed_ = now;
        return;
    }
    const auto [it, fresh] = rivals_.try_emplace(member.run, Rival{member.phase, now, now});
    if (fresh) return;
    Rival& rival = it->second;
    if (now - rival.last > kTtl) rival.first = now;
    rival.phase = member.phase;
    rival.last = now;
}

void Membership::left(MemberKind kind, std::string_view id) {
    if (kind == own_.kind && id == own_.id) {
        rivals_.clear();
        return;
    }
    others_.erase(Key{kind, std::string{id}});
}

bool Membership::tick(Mono now) {
    if (standing_ == Standing::taken) return false;
    if (!hears_itself(now)) {
        frozen_ = standing_ == Standing::serving;
        return false;
    }
    std::erase_if(rivals_, [now](const auto& entry) { return now - entry.second.last > kTtl; });
    if (standing_ == Standing::starting) {
        bool waits = now - echoing_since_ < kTtl;
        for (const auto& [run, rival] : rivals_) {
            if (!goes_before(run, rival)) continue;
            if (rival.last - rival.first >= kTtl) {
                standing_ = Standing::taken;
                return true;
            }
            waits = true;
        }
        if (waits) return false;
        standing_ = Standing::serving;
        view_ = of_the_living(now);
        return true;
    }
    if (frozen_ && now - echoing_since_ < 2 * kTtl) return false;
    frozen_ = false;
    View living = of_the_living(now);
    if (living == view_) return false;
    view_ = std::move(living);
    return true;
}

Member Membership::own() const {
    Member member = own_;
    member.phase = standing_ != Standing::serving ? MemberPhase::starting
                   : aside_                       ? MemberPhase::aside
                                                  : MemberPhase::serving;
    return member;
}

bool Membership::steady(Mono now) const {
    return standing_ == Standing::serving && !frozen_ && hears_itself(now);
}

std::string Membership::rival(Mono now) const {
    std::string found;
    for (const auto& [run, rival] : rivals_) {
        if (now - rival.last > kTtl) continue;
        if (rival.phase != MemberPhase::starting) return run;
        if (found.empty()) found = run;
    }
    return found;
}

bool Membership::hears_itself(Mono now) const { return echoed_ && now - *echoed_ <= kEchoGap; }

bool Membership::goes_before(const std::string& run, const Rival& rival) const {
    return rival.phase != MemberPhase::starting || run < own_.run;
}

Membership::View Membership::of_the_living(Mono now) {
    std::erase_if(others_, [now](const auto& entry) { return now - entry.second.at > kTtl; });
    View view;
    const auto add = [&view](MemberKind kind, const std::string& id, MemberPhase phase) {
        if (phase == MemberPhase::aside && kind == MemberKind::bridge) view.bridges_aside.push_back(id);
        if (phase != MemberPhase::serving) return;
        switch (kind) {
            case MemberKind::probe:
                view.probes.push_back(id);
                return;
            case MemberKind::aggregator:
                view.aggregators.push_back(id);
                return;
            case MemberKind::bridge:
                view.bridges.push_back(id);
                return;
        }
    };
    const MemberPhase own_phase = aside_ ? MemberPhase::aside : MemberPhase::serving;
    bool own_added = false;
    const Key own{own_.kind, own_.id};
    for (const auto& [key, heard] : others_) {
        if (!own_added && own < key) {
            add(own_.kind, own_.id, own_phase);
            own_added = true;
        }
        add(key.first, key.second, heard.member.phase);
    }
    if (!own_added) add(own_.kind, own_.id, own_phase);
    return view;
}

}  // namespace pgpulse::cluster
