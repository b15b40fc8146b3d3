#include "common/contract/names.hpp"
#include "tests/support/contract_documents.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>

namespace pgpulse::contract {
namespace {

TEST(TargetName, IsADnsLabelInLowerCase) {
    for (const std::string name : {"a", "7", "db1", "orders-db", "a--b", "0-0"}) {
        EXPECT_TRUE(is_target_name(name)) << name;
    }
    EXPECT_TRUE(is_target_name(std::string(63, 'a')));
}

TEST(TargetName, RefusesEverythingElse) {
    for (const std::string name :
         {"", "-", "-db", "db-", "DB1", "db_1", "db.1", "db 1", "db*", "db>", "dü", "db\n", "$KV"}) {
        EXPECT_FALSE(is_target_name(name)) << name;
    }
    EXPECT_FALSE(is_target_name(std::string(64, 'a')));
    EXPECT_FALSE(is_target_name(std::string_view{"d\0b", 3}));
}

TEST(HistorySubject, NamesATarget) {
    EXPECT_EQ(history_subject("db1"), "health.history.db1");
    EXPECT_EQ(parse_history_subject("health.history.db1"), "db1");
    for (const char* subject :
         {"health.history.", "health.history.db.1", "health.state.db1", "health.history"})
        EXPECT_EQ(parse_history_subject(subject), std::nullopt) << subject;
}

TEST(MemberId, IsOneSubjectToken) {
    for (const std::string id : {"a", "Probe_1", "probe-1", "-", "0"}) EXPECT_TRUE(is_member_id(id)) << id;
    EXPECT_TRUE(is_member_id(std::string(63, 'Z')));
    for (const std::string id : {"", "a.b", "a b", "a*", "a>", "é"}) EXPECT_FALSE(is_member_id(id)) << id;
    EXPECT_FALSE(is_member_id(std::string(64, 'Z')));
}

TEST(MemberId, IsMadeOfAnyText) {
    EXPECT_EQ(to_member_id("host.example.com"), "host-example-com");
    EXPECT_EQ(to_member_id("Host_1"), "Host_1");
    EXPECT_EQ(to_member_id(""), "");
    EXPECT_EQ(to_member_id(std::string(100, '*')), std::string(63, '-'));
}

TEST(Partition, IsFnv1a64Modulo64) {
    // Published vectors of FNV-1a 64: "" cbf29ce484222325, "a" af63dc4c8601ec8c, "foobar" 85944171f73967e8.
    EXPECT_EQ(partition_of(""), 0xcbf29ce484222325U % 64);
    EXPECT_EQ(partition_of("a"), 0xaf63dc4c8601ec8cU % 64);
    EXPECT_EQ(partition_of("foobar"), 0x85944171f73967e8U % 64);
}

TEST(Partition, IsWhatTheDocumentSays) {
    const auto rows = support::documented_table("Partition");
    EXPECT_GE(rows.size(), 5U);
    for (const auto& row : rows) {
        const std::string target = support::without_backquotes(row.at(0));
        const auto hash = std::stoull(support::without_backquotes(row.at(1)), nullptr, 16);
        EXPECT_EQ(std::to_string(partition_of(target)), row.at(2)) << target;
        EXPECT_EQ(partition_of(target), hash % kPartitions) << target;
    }
}

TEST(Partition, SpreadsNamesThatAreAlike) {
    std::array<int, kPartitions> targets{};
    constexpr int kTargets = 6400;
    for (int i = 0; i < kTargets; ++i) ++targets.at(partition_of("db-" + std::to_string(i)));
    EXPECT_GT(*std::ranges::min_element(targets), 50);
    EXPECT_LT(*std::ranges::max_element(targets), 150);
}

TEST(Subject, OfAPingCarriesPartitionWorkerAndTarget) {
    EXPECT_EQ(ping_subject("probe-1", "orders-db"), "health.ping.21.probe-1.orders-db");
    EXPECT_EQ(ping_subject("w", "foobar"), "health.ping.40.w.foobar");
}

TEST(Subject, OfAPingHasTwoDigitsForASmallPartition) {
    for (int i = 0;; ++i) {
        const std::string target = "t" + std::to_string(i);
        if (partition_of(target) >= 10) continue;
        EXPECT_EQ(ping_subject("w", target),
                  "health.ping.0" + std::to_string(partition_of(target)) + ".w." + target);
        EXPECT_TRUE(parse_ping_subject(ping_subject("w", target)).has_value());
        break;
    }
}

TEST(Subject, OfAPingReadsBack) {
    const std::string subject = ping_subject("Probe_1", "orders-db");
    const PingSubject parts = parse_ping_subject(subject).value_or(PingSubject{});
    EXPECT_EQ(parts.partition, 21U);
    EXPECT_EQ(parts.worker, "Probe_1");
    EXPECT_EQ(parts.target, "orders-db");
}

TEST(Subject, MalformedIsRefused) {
    ASSERT_TRUE(parse_ping_subject("health.ping.22.w.db1"));
    for (const char* subject :
         {"", "health.ping.", "health.ping.22", "health.ping.22.", "health.ping.22.w", "health.ping.22.w.",
          "health.ping.22..db1", "health.ping.2.w.db1", "health.ping.022.w.db1", "health.ping.xx.w.db1",
          "health.ping.-1.w.db1", "health.ping.22.w.DB1", "health.ping.22.w.db1.more",
          "health.ping.22.w x.db1", "health.pong.22.w.db1", "xhealth.ping.22.w.db1", "health.ping22.w.db1",
          "health.state.db1", "health.ping.22.w.db1 "}) {
        EXPECT_FALSE(parse_ping_subject(subject)) << subject;
    }
}

TEST(Subject, OfAnotherTargetsPartitionIsRefused) {
    for (unsigned partition = 0; partition < 100; ++partition) {
        const std::string digits{static_cast<char>('0' + partition / 10),
                                 static_cast<char>('0' + partition % 10)};
        const std::string subject = "health.ping." + digits + ".w.db1";
        EXPECT_EQ(parse_ping_subject(subject).has_value(), partition == partition_of("db1")) << subject;
    }
}

TEST(Subject, OfAStateAndACheckEndsWithTheTarget) {
    EXPECT_EQ(state_subject("db1"), "health.state.db1");
    EXPECT_EQ(check_subject("db1"), "health.check.db1");
}

TEST(Subject, OfACheckReadsBack) {
    const std::string longest(63, 'a');
    for (const std::string& target : {std::string{"db1"}, std::string{"orders-db"}, longest}) {
        EXPECT_EQ(parse_check_subject(check_subject(target)).value_or(""), target);
    }
}

TEST(Subject, OfACheckThatIsMalformedIsRefused) {
    // Anybody may publish there.
    for (const char* subject :
         {"", "health.check", "health.check.", "health.check.DB1", "health.check.db1.more",
          "health.check.db1 ", "health.check..db1", "health.check.*", "health.check.>", "health.state.db1",
          "xhealth.check.db1", "Health.check.db1", "health.checkdb1"}) {
        EXPECT_FALSE(parse_check_subject(subject)) << subject;
    }
    EXPECT_FALSE(parse_check_subject("health.check." + std::string(64, 'a')));
}

TEST(Run, IsSixteenHexadecimalDigitsInLowerCase) {
    for (const char* run : {"0123456789abcdef", "0000000000000000", "ffffffffffffffff"}) {
        EXPECT_TRUE(is_run(run)) << run;
    }
    for (const char* run : {"", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF",
                            "0123456789abcdeg", "0123456789abcde ", "0x23456789abcdef", "-123456789abcdef"}) {
        EXPECT_FALSE(is_run(run)) << run;
    }
}

}  // namespace
}  // namespace pgpulse::contract
