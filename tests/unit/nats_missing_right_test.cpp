#include "common/contract/names.hpp"
#include "common/nats/missing_right.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

namespace pgpulse::nats {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using Kind = MissingRight::Kind;

TEST(MissingRight, IsReadFromTheServersText) {
    EXPECT_EQ(parse_permissions_violation(R"(Permissions Violation for Publish to "health.ping.07.w1.db1")"),
              (MissingRight{Kind::publish, "health.ping.07.w1.db1"}));
    EXPECT_EQ(parse_permissions_violation(R"('Permissions Violation for Subscription to "health.check.*"')"),
              (MissingRight{Kind::subscribe, "health.check.*"}));
    EXPECT_EQ(parse_permissions_violation(
                  R"(Permissions Violation for Subscription to "a.b" using queue "workers")"),
              (MissingRight{Kind::subscribe, "a.b"}));
}

TEST(MissingRight, IsNotReadFromAnythingElse) {
    for (const char* text :
         {"", "Authorization Violation", "Permissions Violation", R"(Permissions Violation for Publish to ")",
          R"(Permissions Violation for Publish to "")",
          R"(Permissions Violation for Publish with Reply of "x")"}) {
        EXPECT_EQ(parse_permissions_violation(text), std::nullopt) << text;
    }
}

std::string granted(const std::string& subject) { return subject_to_grant({Kind::publish, subject}); }

TEST(MissingRight, NamesTheSubjectThatCoversAllOfItsKind) {
    EXPECT_EQ(granted(contract::ping_subject("w1", "db1")), "health.ping.*.w1.>");
    EXPECT_EQ(granted("health.check.db1"), "health.check.*");
    EXPECT_EQ(granted("health.history.db1"), "health.history.>");
    EXPECT_EQ(granted("$KV.health_targets.db1"), "$KV.health_targets.>");
    EXPECT_EQ(granted("$KV.health_members.probe.w1"), "$KV.health_members.probe.w1");
    EXPECT_EQ(granted("$JS.API.STREAM.INFO.KV_health"), "$JS.API.STREAM.INFO.KV_health");
    EXPECT_EQ(granted("$JS.API.CONSUMER.CREATE.KV_health"), "$JS.API.CONSUMER.CREATE.KV_health");
    EXPECT_EQ(granted("$JS.API.CONSUMER.DELETE.KV_health.x7f"), "$JS.API.CONSUMER.DELETE.KV_health.>");
    EXPECT_EQ(granted("$JS.FC.KV_health.abc.def"), "$JS.FC.KV_health.>");
    EXPECT_EQ(subject_to_grant({Kind::subscribe, "_INBOX.abc.*"}), "_INBOX.>");
    EXPECT_EQ(granted("_INBOX.pgpulse.0123456789abcdef"), "_INBOX.pgpulse.>");
    EXPECT_EQ(subject_to_grant({Kind::subscribe, "health.check.*"}), "health.check.*");
    EXPECT_EQ(granted("orders.new"), "orders.new");
}

TEST(MissingRight, NamesTheInboxOfAUserThatHasItsOwn) {
    EXPECT_EQ(subject_to_grant({Kind::subscribe, "_INBOX_w1.abc.*"}, "_INBOX_w1"), "_INBOX_w1.>");
    EXPECT_EQ(subject_to_grant({Kind::publish, "_INBOX_a1.pgpulse.0123"}, "_INBOX_a1"),
              "_INBOX_a1.pgpulse.>");
    // The prefix is not the user's.
    EXPECT_EQ(subject_to_grant({Kind::subscribe, "_INBOX.abc"}, "_INBOX_w1"), "_INBOX.abc");
    MissingRightLines lines{"_INBOX_w1"};
    EXPECT_THAT(lines.line({Kind::subscribe, "_INBOX_w1.abc.*"}, {}).value_or(""),
                HasSubstr("the right to subscribe to '_INBOX_w1.>'"));
}

TEST(MissingRight, IsSaidWithItsSubjectAndWhatToGrant) {
    MissingRightLines lines;
    EXPECT_EQ(lines.line({Kind::publish, contract::ping_subject("w1", "db1")}, {}),
              "NATS: this client may not publish on '" + contract::ping_subject("w1", "db1") +
                  "': its user needs the right to publish on 'health.ping.*.w1.>'");
    EXPECT_EQ(
        lines.line({Kind::subscribe, "health.check.*"}, {}),
        "NATS: this client may not subscribe to 'health.check.*': its user needs the right to subscribe "
        "to 'health.check.*'");
}

TEST(MissingRight, OfManyTargetsIsOneLineAndKeepsNoOtherBack) {
    MissingRightLines lines;
    const std::chrono::steady_clock::time_point start{};
    int said = 0;
    for (int i = 0; i < 5000; ++i) {
        const MissingRight ping{Kind::publish, contract::ping_subject("w1", "db" + std::to_string(i))};
        said += lines.line(ping, start + i * 1ms) ? 1 : 0;
    }
    EXPECT_EQ(said, 1);
    EXPECT_TRUE(lines.line({Kind::subscribe, "health.check.*"}, start + 5s));
    EXPECT_TRUE(lines.line({Kind::publish, "$KV.health_members.probe.w1"}, start + 5s));
    EXPECT_FALSE(lines.line({Kind::publish, "$KV.health_members.probe.w1"}, start + 6s));
    const auto again = lines.line({Kind::publish, contract::ping_subject("w1", "db1")}, start + 10s);
    ASSERT_TRUE(again);
    EXPECT_THAT(*again, HasSubstr("(4999 lines like this kept back)"));
}

TEST(MissingRight, OfEndlesslyManyKindsTakesBoundedRoom) {
    MissingRightLines lines;
    int said = 0;
    for (int i = 0; i < 1000; ++i) {
        said += lines.line({Kind::publish, "other." + std::to_string(i)}, {}) ? 1 : 0;
    }
    EXPECT_EQ(said, static_cast<int>(MissingRightLines::kMostRights) + 1);
}

}  // namespace
}  // namespace pgpulse::nats
