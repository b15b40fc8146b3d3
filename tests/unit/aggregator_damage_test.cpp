#include "aggregator/damage.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pgpulse::aggregator {
namespace {

using Lines = std::vector<std::string>;

TEST(AggregatorDamage, IsOneLineForEachKindAndNamesTheFirstThree) {
    DamageReport report{"health", "state"};
    EXPECT_EQ(report.take(), Lines{});
    for (int i = 1; i <= 100'000; ++i) report.add(Damage::lost, "db" + std::to_string(i));
    for (const char* key : {"a", "b", "c"}) report.add(Damage::older, key);
    report.add(Damage::removed, "d");
    report.add(Damage::edited, "e");
    report.add(Damage::edited, "f");
    report.add(Damage::spoiled, "g");
    const std::string spoiled = "was overwritten with what is no document of the contract";
    EXPECT_EQ(report.take(),
              (Lines{"bucket 'health': 100000 states were lost (db1, db2, db3, ...): putting them back",
                     "bucket 'health': 3 states went back to an older value (a, b, c): putting them back",
                     "bucket 'health': 1 state was deleted by hand (d): putting it back",
                     "bucket 'health': 2 states were edited by hand (e, f): putting them back",
                     "bucket 'health': 1 state " + spoiled + " (g): putting it back"}));
    EXPECT_EQ(report.take(), Lines{}) << "each is told once";
    report.add(Damage::lost, "db7");
    EXPECT_EQ(report.take(), Lines{"bucket 'health': 1 state was lost (db7): putting it back"});
}

TEST(AggregatorDamage, NamesItsBucketAndWhatIsInIt) {
    DamageReport report{"health_targets", "definition"};
    report.add(Damage::lost, "db1");
    EXPECT_EQ(report.take(), Lines{"bucket 'health_targets': 1 definition was lost (db1): putting it back"});
}

}  // namespace
}  // namespace pgpulse::aggregator
