#include "aggregator/damage.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pgpulse::aggregator {
namespace {

using Lines = std::vector<std::string>;

TEST(AggregatorDamage, IsOneLineForEachKindAndNamesTheFirstThree) {
    DamageReport report{"health", "states"};
    EXPECT_EQ(report.take(), Lines{});
    for (int i = 1; i <= 100'000; ++i) report.add(Damage::lost, "db" + std::to_string(i));
    for (const char* key : {"a", "b", "c"}) report.add(Damage::older, key);
    report.add(Damage::removed, "d");
    report.add(Damage::edited, "e");
    report.add(Damage::edited, "f");
    report.add(Damage::spoiled, "g");
    const std::string spoiled = "were overwritten with what is no document of the contract";
    EXPECT_EQ(report.take(),
              (Lines{"bucket 'health': 100000 states were lost (db1, db2, db3, ...): putting them back",
                     "bucket 'health': 3 states went back to an older value (a, b, c): putting them back",
                     "bucket 'health': 1 states were deleted by hand (d): putting them back",
                     "bucket 'health': 2 states were edited by hand (e, f): putting them back",
                     "bucket 'health': 1 states " + spoiled + " (g): putting them back"}));
    EXPECT_EQ(report.take(), Lines{}) << "each is told once";
    report.add(Damage::lost, "db7");
    EXPECT_EQ(report.take(), Lines{"bucket 'health': 1 states were lost (db7): putting them back"});
}

TEST(AggregatorDamage, NamesItsBucketAndWhatIsInIt) {
    DamageReport report{"health_targets", "definitions"};
    report.add(Damage::lost, "db1");
    EXPECT_EQ(report.take(),
              Lines{"bucket 'health_targets': 1 definitions were lost (db1): putting them back"});
}

}  // namespace
}  // namespace pgpulse::aggregator
