#include "consul-bridge/contact.hpp"
#include "tests/support/mirror_stage.hpp"

#include <gtest/gtest.h>

namespace pgpulse::consul_bridge {
namespace {

using contract::Health;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Stage = support::MirrorStage;

TEST(BridgeContact, TriesLessAndLessOftenWhileConsulIsAway) {
    Contact contact;
    Mono now{};
    contact.heard(now);
    EXPECT_TRUE(contact.lost(now));
    for (const int pause : {1000, 2000, 4000, 5000, 5000}) {
        EXPECT_FALSE(contact.may_try(0, now + milliseconds{pause - 1})) << pause;
        now += milliseconds{pause};
        EXPECT_TRUE(contact.may_try(0, now)) << pause;
        EXPECT_FALSE(contact.may_try(1, now)) << "one at a time";
        contact.trying();
        EXPECT_FALSE(contact.lost(now)) << "said once";
    }
    EXPECT_EQ(contact.heard(now), seconds{17});
    EXPECT_TRUE(contact.lost(now)) << "news again";
    EXPECT_EQ(contact.retry_at(), now + Contact::kFirstPause);
}

TEST(BridgeContact, WaitsAsLongAsConsulAsks) {
    Contact contact;
    Mono now{};
    contact.heard(now);
    contact.overloaded(now, seconds{20});
    EXPECT_EQ(contact.retry_at(), now + seconds{20});
    now += seconds{20};
    contact.trying();
    contact.lost(now, seconds{8});
    EXPECT_EQ(contact.retry_at(), now + seconds{8});
}

TEST(BridgeContact, OverloadIsSaidOnceHoweverOftenItComes) {
    Contact contact;
    Mono now{};
    contact.heard(now);
    EXPECT_TRUE(contact.overloaded(now, {}));
    for (int i = 0; i < 20; ++i) {
        now += seconds{1};
        EXPECT_EQ(contact.calm(now), std::nullopt);
        EXPECT_EQ(contact.heard(now), std::nullopt) << "what Consul holds is not in doubt";
        EXPECT_EQ(contact.calm_at(), now - seconds{1} + Contact::kCalm);
        EXPECT_FALSE(contact.overloaded(now, {}));
    }
    contact.heard(now);
    EXPECT_EQ(contact.calm(now + Contact::kCalm - milliseconds{1}), std::nullopt);
    EXPECT_EQ(contact.calm(now + Contact::kCalm), seconds{20});
    EXPECT_EQ(contact.calm_at(), std::nullopt);
    EXPECT_TRUE(contact.overloaded(now, {}));
}

TEST(BridgeMirrorOverload, SendsOneTransactionAfterAPauseAndReadsNothingAnew) {
    Stage s;
    s.have("db1", Health::up, 1);
    const auto reconciles = s.mirror.counters().reconciles;
    for (int i = 2; i < 5; ++i) {
        s.observe("db1", Health::down, static_cast<std::uint64_t>(i));
        s.step();
        ASSERT_EQ(s.transactions.size(), 1);
        s.mirror.finished(s.take_transaction().id, Unreachable{"HTTP 429: no", true, {}}, s.now);
        s.step();
        EXPECT_TRUE(s.transactions.empty());
        EXPECT_FALSE(s.mirror.counters().reachable);
        s.pass(Contact::kFirstPause);
        s.settle();
        EXPECT_EQ(s.revision("db1"), i);
    }
    EXPECT_EQ(s.mirror.counters().reconciles, reconciles);
    EXPECT_EQ(s.said("HTTP 429: no: sending less, and the latest state of every target"), 1);
    EXPECT_EQ(s.said("Consul answers again"), 0);
    s.pass(Contact::kCalm);
    EXPECT_EQ(s.said("Consul takes all requests again, after 2.0 s"), 1);
}

TEST(BridgeMirrorOverload, ThatEndsAReadIsNoLossEither) {
    Stage s;
    s.have("db1", Health::up, 1);
    s.pass(Mirror::Settings{}.reconcile_interval);
    ASSERT_EQ(s.full_reads.size(), 1);
    s.fail_one({"HTTP 429: no", true, {}});
    EXPECT_EQ(s.said("HTTP 429: no: sending less, and the latest state of every target"), 1);
    EXPECT_EQ(s.said("keeping the latest state"), 0);
    s.observe("db1", Health::down, 2);
    s.pass(Contact::kFirstPause);
    s.settle();
    EXPECT_EQ(s.revision("db1"), 2);
    EXPECT_EQ(s.said("Consul answers again"), 0);
}

}  // namespace
}  // namespace pgpulse::consul_bridge
