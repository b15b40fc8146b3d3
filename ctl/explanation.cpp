#include "ctl/explanation.hpp"

#include "aggregator/patience.hpp"
#include "aggregator/rules.hpp"
#include "consul-bridge/desired.hpp"

#include <algorithm>

namespace pgpulse::ctl {
namespace {

using aggregator::Ballot;
using aggregator::Ruling;
using aggregator::Vote;
using contract::Opinion;
using contract::Reason;

std::vector<Vote> votes_of(const TargetFacts& facts) {
    std::vector<Vote> votes;
    for (const Observer& observer : facts.observers) {
        if (observer.ping)
            votes.push_back({observer.ping->opinion, observer.ping->reason, observer.ping->suspect});
    }
    return votes;
}

Ballot ballot_of(const TargetFacts& facts, const std::vector<Vote>& votes) {
    Ballot ballot;
    ballot.votes = votes;
    ballot.assigned = static_cast<std::uint32_t>(facts.observers.size());
    // Who was called and did not answer has no voice: a young owner answers at once.
    ballot.anyone_heard = !votes.empty();
    ballot.quorum = facts.stored.definition.quorum;
    return ballot;
}

/// How many of all observers have to say so before the table rules so; empty: all of them together are too few.
std::optional<std::size_t> voices_needed(const TargetFacts& facts, Opinion opinion, Reason reason) {
    const std::size_t all = facts.observers.size();
    std::vector<Vote> votes(all, Vote{opinion == Opinion::up ? Opinion::down : Opinion::up,
                                      opinion == Opinion::up ? Reason::refused : Reason::ok, false});
    for (std::size_t count = 1; count <= all; ++count) {
        votes[count - 1] = {opinion, reason, false};
        Ballot ballot;
        ballot.votes = votes;
        ballot.assigned = static_cast<std::uint32_t>(all);
        ballot.anyone_heard = true;
        ballot.quorum = facts.stored.definition.quorum;
        if (decide(ballot).ruling == (opinion == Opinion::up ? Ruling::up : Ruling::down)) return count;
    }
    return std::nullopt;
}

std::string of_observers(std::size_t count, std::size_t all) {
    return std::to_string(count) + " of its " + std::to_string(all) + (all == 1 ? " observer" : " observers");
}

std::string in_seconds(std::chrono::milliseconds time) {
    std::string text = std::to_string(static_cast<double>(time.count()) / 1000);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
    return text + " s";
}

}  // namespace

RuleShown deciding_rule(const TargetFacts& facts) {
    const std::vector<Vote> votes = votes_of(facts);
    const aggregator::Rule& rule = decide(ballot_of(facts, votes));
    return {std::string{rule.name}, std::string{rule.because}, std::string{in_words(rule.ruling)}};
}

std::chrono::milliseconds freshness(const contract::TargetDefinition& definition) {
    return aggregator::Patience::of(definition.interval, definition.timeout).freshness;
}

std::vector<std::string> what_would_change_it(const TargetFacts& facts) {
    const std::size_t all = facts.observers.size();
    std::vector<std::string> lines;
    if (all == 0) return {"any: a probe worker that serves (none does)"};
    const auto now = facts.state ? facts.state->state : contract::Health::unknown;
    const contract::TargetDefinition& definition = facts.stored.definition;
    if (now != contract::Health::down) {
        const auto hard = voices_needed(facts, Opinion::down, Reason::refused);
        const auto soft = voices_needed(facts, Opinion::down, Reason::timeout);
        std::string line = "down: ";
        line += hard ? of_observers(*hard, all) + " found it failing " + std::to_string(definition.fall) +
                           " times in a row"
                     : "not by these observers: too few for the quorum";
        if (hard && soft != hard)
            line += soft ? " (" + std::to_string(*soft) + " where they only hear silence)"
                         : " (not by silence alone)";
        lines.push_back(line);
    }
    if (now != contract::Health::up) {
        const auto voices = voices_needed(facts, Opinion::up, Reason::ok);
        lines.push_back("up: " + (voices ? of_observers(*voices, all) + " found it accepting " +
                                               std::to_string(definition.rise) + " times in a row"
                                         : std::string{"not by these observers: too few for the quorum"}));
    }
    if (now != contract::Health::unknown)
        lines.push_back("unknown: no observer heard for " + in_seconds(freshness(definition)));
    return lines;
}

std::vector<std::string> as_consul_shows_it(const TargetFacts& facts) {
    if (!facts.state) return {"nothing: it has no state yet"};
    const consul_bridge::Documents documents =
        consul_bridge::desired(facts.stored.definition, *facts.state, {facts.epoch, facts.revision});
    std::string service = "service " + documents.service.name + " at " + documents.service.address + ":" +
                          std::to_string(documents.service.port) + " of node " + facts.stored.definition.name;
    for (std::size_t i = 0; i < documents.service.tags.size(); ++i)
        service += (i == 0 ? ", tags " : ", ") + documents.service.tags[i];
    std::vector<std::string> lines{service};
    for (const consul_bridge::Check& check : documents.checks)
        lines.push_back("check " + check.id + ": " + check.status + ", \"" + check.output + "\"");
    lines.push_back(facts.bridge.empty() ? "written by nobody: no bridge serves"
                                         : "written by bridge " + facts.bridge);
    return lines;
}

}  // namespace pgpulse::ctl
