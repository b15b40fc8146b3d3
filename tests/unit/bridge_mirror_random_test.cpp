#include "consul-bridge/desired.hpp"
#include "tests/support/mirror_stage.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace pgpulse::consul_bridge {
namespace {

using contract::Health;
using std::chrono::milliseconds;
using support::a_definition;
using support::a_state;
using Stage = support::MirrorStage;

/// Two mirrors of one bucket, one behind the other, which do not always agree on who owns what or hear themselves;
/// random states, definitions, removals, failures, lost answers, strangers' changes and buckets that are wiped and
/// filled again, in random order: when all is quiet Consul says what the bucket says, no state was ever followed by one
/// that is older, and no write changed nothing.
class BridgeMirrorRandomly : public testing::TestWithParam<unsigned> {};

TEST_P(BridgeMirrorRandomly, ConsulEndsAsTheBucketSays) {
    std::mt19937 random{GetParam()};
    const auto pick = [&random](unsigned below) { return static_cast<unsigned>(random() % below); };
    const std::vector<std::string> names{"db0", "db1", "db2", "db3", "db4"};
    const Health healths[] = {Health::up, Health::down, Health::unknown};
    support::ConsulModel consul;
    const auto settings = [](const std::string& id) {
        Mirror::Settings of{.id = id};
        if (GetParam() % 2 == 0) of.compat = Compat::consul_postgres;
        return of;
    };
    Stage stages[2]{Stage{settings("a")}, Stage{settings("b")}};
    std::deque<std::function<void()>> unheard[2];  // what a mirror's watch has not told it yet
    std::map<std::string, contract::State> states;
    std::map<std::string, Stamp> stamps;
    std::map<std::string, bool> defined;
    std::map<std::string, std::pair<contract::WallTime, std::uint64_t>> seen;
    contract::WallTime epoch = support::kStageEpoch;
    std::uint64_t revision = 0;
    std::uint64_t transition = 0;
    bool strangers = false;
    for (Stage& each : stages) each.bucket = {epoch, 0};

    const auto store = [&](const std::string& name, Health health) {
        const contract::State state = a_state(name, health, transition);
        const Stamp stamp{epoch, ++revision};
        states[name] = state;
        stamps[name] = stamp;
        for (int i = 0; i < 2; ++i) {
            stages[i].bucket = {epoch, revision};
            unheard[i].emplace_back(
                [&each = stages[i], state, stamp] { each.mirror.observe(state, stamp, each.now); });
        }
    };

    const auto share = [&](Stage& stage, auto&& act) {
        stage.consul = consul;
        act();
        consul = stage.consul;
    };
    for (int round = 0; round < 400; ++round) {
        const std::string& name = names[pick(names.size())];
        const unsigned which = pick(2);
        Stage& stage = stages[which];
        switch (pick(14)) {
            case 0:
            case 1:
                ++transition;
                store(name, healths[pick(3)]);
                break;
            case 10:
            case 11: {
                const std::vector<std::string> views[] = {{"a"}, {"b"}, {"a", "b"}, {"a", "b"}};
                stage.mirror.members(views[pick(4)], stage.now);
                break;
            }
            case 12:
                stage.mirror.hear(pick(3) != 0, stage.now);
                break;
            case 13:
                if (pick(4) != 0) break;
                epoch += std::chrono::seconds{1};
                revision = 0;
                // What aggregators put back.
                for (const auto& [each, state] : std::map{states}) store(each, state.state);
                break;
            case 2:
                defined[name] = pick(4) != 0;
                for (int i = 0; i < 2; ++i) {
                    unheard[i].emplace_back([&each = stages[i], name, now_defined = defined[name]] {
                        if (now_defined) {
                            each.define(name);
                        } else {
                            each.mirror.undefine(name, each.now);
                        }
                    });
                }
                break;
            case 3:
                stage.fail_one();
                break;
            case 4:
                if (!stage.transactions.empty()) {  // done, but the answer is lost
                    consul.execute(stage.transactions.front().body);
                    stage.fail_one();
                }
                break;
            case 5:
                if (auto& held = consul.at(name); held.node && !held.checks.empty()) {
                    held.checks[0].status = "banana";
                    strangers = true;
                }
                break;
            case 6:
            case 7:
                if (!unheard[which].empty()) {
                    unheard[which].front()();
                    unheard[which].pop_front();
                }
                break;
            default:
                share(stage, [&] { stage.answer_one(); });
        }
        for (Stage& each : stages) share(each, [&] { each.pass(milliseconds{pick(2000)}); });
        for (const std::string& each : names) {
            const auto& value = consul.at(each).value;
            if (!value) {
                seen.erase(each);
                continue;
            }
            ASSERT_TRUE(value->stamp);
            const std::pair now{value->stamp->epoch, value->stamp->revision};
            ASSERT_GE(now, seen[each]) << each << " seed " << GetParam() << " round " << round;
            seen[each] = now;
        }
    }
    for (auto& events : unheard) {
        for (const auto& event : events) event();
    }
    for (Stage& each : stages) {
        each.mirror.members({"a", "b"}, each.now);
        each.mirror.hear(true, each.now);
    }
    for (int i = 0; i < 6; ++i) {
        for (Stage& each : stages) {
            share(each, [&] {
                each.pass(milliseconds{61'000});
                each.settle();
            });
        }
    }
    for (const std::string& name : names) {
        const Held& held = consul.at(name);
        if (defined.contains(name) && !defined[name]) {
            EXPECT_EQ(held, Held{}) << name << " seed " << GetParam();
        } else if (defined[name] && states.contains(name)) {
            const Documents wanted =
                desired(a_definition(name), states[name], stamps[name], {}, settings("a").compat);
            ASSERT_TRUE(held.value && held.node) << name << " seed " << GetParam();
            EXPECT_EQ(held.value->value, wanted.value) << name << " seed " << GetParam();
            EXPECT_EQ(held.checks, wanted.checks) << name << " seed " << GetParam();
            const auto root = held.root ? std::optional{held.root->value} : std::nullopt;
            EXPECT_EQ(root, wanted.root_value) << name << " seed " << GetParam();
            EXPECT_EQ(held.service, wanted.service) << name << " seed " << GetParam();
        }
    }
    for (Stage& each : stages) EXPECT_EQ(each.pending(), 0);
    if (!strangers) {
        EXPECT_EQ(consul.idle_writes(), 0);
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, BridgeMirrorRandomly, testing::Range(1U, 41U));

}  // namespace
}  // namespace pgpulse::consul_bridge
