#include "ctl/explanation.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <optional>
#include <string>
#include <vector>

namespace pgpulse::ctl {
namespace {

using contract::Opinion;
using contract::Reason;
using testing::ElementsAre;
using testing::HasSubstr;

struct Said {
    Opinion opinion = Opinion::up;
    Reason reason = Reason::ok;
    bool suspect = false;
};

/// A target in this state, of whose observers each said so; nullopt did not answer.
TargetFacts facts(contract::Health health, const std::vector<std::optional<Said>>& said) {
    TargetFacts facts;
    facts.stored.definition.name = facts.stored.definition.service = "db1";
    facts.stored.definition.address = "10.0.0.5";
    facts.state = contract::State{};
    facts.state->target = "db1";
    facts.state->state = health;
    for (std::size_t i = 0; i < said.size(); ++i) {
        Observer observer{"w" + std::to_string(i), std::nullopt, {}};
        if (said[i]) {
            observer.ping = contract::Ping{};
            observer.ping->opinion = said[i]->opinion;
            observer.ping->reason = said[i]->reason;
            observer.ping->suspect = said[i]->suspect;
        }
        facts.observers.push_back(observer);
    }
    return facts;
}

constexpr Said kUp{};
constexpr Said kRefused{Opinion::down, Reason::refused};
constexpr Said kSilent{Opinion::down, Reason::timeout};

TEST(Explanation, NamesTheRuleOfTheAggregatorsTable) {
    const auto rule = [](const std::vector<std::optional<Said>>& said) {
        const RuleShown shown = deciding_rule(facts(contract::Health::up, said));
        return shown.name + ": " + shown.ruling;
    };
    EXPECT_EQ(rule({kUp, kUp, kRefused}), "quorum_up: up");
    EXPECT_EQ(rule({kUp, kRefused, kSilent}), "quorum_down: down");
    EXPECT_EQ(rule({kUp, kRefused}), "no_quorum: the state stays");
    EXPECT_EQ(rule({std::nullopt, kSilent}), "lone_soft_voice: the state stays");
    EXPECT_EQ(rule({std::nullopt, kRefused}), "quorum_down: down");
    EXPECT_EQ(rule({std::nullopt, std::nullopt}), "nobody_heard: unknown");
}

TEST(Explanation, SaysHowManyVoicesWouldChangeTheState) {
    EXPECT_THAT(what_would_change_it(facts(contract::Health::up, {kUp, kUp, kUp})),
                ElementsAre("down: 2 of its 3 observers found it failing 3 times in a row",
                            "unknown: no observer heard for 5 s"));
    EXPECT_THAT(what_would_change_it(facts(contract::Health::down, {kRefused})),
                ElementsAre("up: 1 of its 1 observer found it accepting 2 times in a row",
                            "unknown: no observer heard for 5 s"));
    TargetFacts lenient = facts(contract::Health::up, {kUp, kUp, kUp});
    lenient.stored.definition.quorum = 1;
    lenient.stored.definition.interval = std::chrono::milliseconds{2500};
    EXPECT_THAT(what_would_change_it(lenient),
                ElementsAre(HasSubstr("down: "), "unknown: no observer heard for 8 s"));
    EXPECT_THAT(what_would_change_it(facts(contract::Health::unknown, {})),
                ElementsAre("any: a probe worker that serves (none does)"));
}

TEST(Explanation, ShowsConsulAsABridgeWouldWriteIt) {
    TargetFacts shown = facts(contract::Health::down, {kRefused});
    shown.state->reason = Reason::refused;
    shown.state->role = contract::Role::replica;
    shown.bridge = "b1";
    const auto lines = as_consul_shows_it(shown);
    EXPECT_THAT(lines, ElementsAre("service db1 at 10.0.0.5:5432 of node db1, tags replica",
                                   testing::AllOf(HasSubstr("check db1-isready: critical, \"down since "),
                                                  HasSubstr("connection refused")),
                                   "written by bridge b1"));
    shown.state.reset();
    EXPECT_THAT(as_consul_shows_it(shown), ElementsAre("nothing: it has no state yet"));
}

}  // namespace
}  // namespace pgpulse::ctl
