#include "consul-bridge/drift_alarm.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace pgpulse::consul_bridge {
namespace {

using std::chrono::milliseconds;

/// An alarm whose tables all stand at index 100.
struct Watched {
    DriftAlarm alarm;
    DriftAlarm::Mono now{std::chrono::hours{1}};

    Watched() {
        for (const Table table : {Table::values, Table::checks, Table::services})
            alarm.moved(table, 100, now);
    }

    bool due(std::size_t targets = 1) { return alarm.due(targets, now); }
    bool due_later(std::size_t targets = 1) {
        now += DriftAlarm::kJudgedAfter;
        return due(targets);
    }
};

TEST(DriftAlarmRules, WhereWatchingBeginsIsNoMove) {
    Watched w;
    EXPECT_FALSE(w.due_later());
    EXPECT_EQ(w.alarm.next(), std::nullopt);
}

TEST(DriftAlarmRules, AWriteOfSomebodyElseIsOne) {
    Watched w;
    w.alarm.moved(Table::checks, 101, w.now);
    EXPECT_FALSE(w.due()) << "the own transaction's answer may still come";
    EXPECT_EQ(w.alarm.next(), w.now + DriftAlarm::kJudgedAfter);
    EXPECT_TRUE(w.due_later());
    EXPECT_FALSE(w.due_later());
}

TEST(DriftAlarmRules, AnOwnWriteIsNone) {
    Watched w;
    w.alarm.moved(Table::values, 101, w.now);
    w.alarm.moved(Table::checks, 101, w.now);
    w.alarm.committed(101);
    EXPECT_FALSE(w.due_later());
    w.alarm.committed(150);
    w.alarm.moved(Table::values, 150, w.now);
    EXPECT_FALSE(w.due_later());
}

TEST(DriftAlarmRules, SomebodyElsesBehindAnOwnOneIsOne) {
    Watched w;
    w.alarm.committed(101);
    w.alarm.moved(Table::values, 102, w.now);
    EXPECT_TRUE(w.due_later());
}

TEST(DriftAlarmRules, SeveralOwnOnesAtOnceMayHideSomebodyElses) {
    Watched w;
    w.alarm.committed(101);
    w.alarm.committed(103);
    w.alarm.moved(Table::values, 103, w.now);
    EXPECT_TRUE(w.due_later());
}

TEST(DriftAlarmRules, AnIndexThatWentBackIsOne) {
    Watched w;
    w.alarm.moved(Table::values, 40, w.now);
    EXPECT_TRUE(w.due_later());
    w.now += DriftAlarm::kInterval;
    w.alarm.moved(Table::values, 41, w.now);
    w.alarm.committed(41);
    EXPECT_FALSE(w.due_later());
}

TEST(DriftAlarmRules, OneInTenSecondsAndNoneIsForgotten) {
    Watched w;
    w.alarm.moved(Table::checks, 101, w.now);
    ASSERT_TRUE(w.due_later());
    const auto first = w.now;
    w.alarm.moved(Table::checks, 102, w.now);
    EXPECT_FALSE(w.due_later());
    EXPECT_EQ(w.alarm.next(), first + DriftAlarm::kInterval);
    w.now = first + DriftAlarm::kInterval;
    EXPECT_TRUE(w.due());
}

TEST(DriftAlarmRules, TooManyTargetsRaiseNone) {
    Watched w;
    w.alarm.moved(Table::checks, 101, w.now);
    EXPECT_FALSE(w.due_later(DriftAlarm::kMaxTargets + 1));
    EXPECT_FALSE(w.due(1));
}

}  // namespace
}  // namespace pgpulse::consul_bridge
