#include "common/cluster/rendezvous.hpp"

#include <gtest/gtest.h>

#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace pgpulse::cluster {
namespace {

using Names = std::vector<std::string>;

/// Names as people give them, alike but for a digit or two, and names of any kind.
rc::Gen<std::string> a_name() {
    return rc::gen::oneOf(
        rc::gen::map(rc::gen::inRange(0, 100), [](int n) { return "probe-" + std::to_string(n); }),
        rc::gen::nonEmpty(
            rc::gen::container<std::string>(rc::gen::elementOf(std::string{"abcxyzABC019_-"}))));
}

rc::Gen<Names> members() { return rc::gen::unique<Names>(a_name()); }

rc::Gen<std::size_t> a_count() { return rc::gen::inRange<std::size_t>(0, 8); }

Names items(int count) {
    Names items;
    for (int i = 0; i < count; ++i) items.push_back("db-" + std::to_string(i));
    return items;
}

Names fleet(int count) {
    Names names;
    for (int i = 1; i <= count; ++i) names.push_back("probe-" + std::to_string(i));
    return names;
}

std::set<std::string> as_set(const Names& names) { return {names.begin(), names.end()}; }

RC_GTEST_PROP(Rendezvous, OwnsAgreesWithOwners, ()) {
    const auto names = *members();
    const auto item = *a_name();
    const auto count = *a_count();
    const Rendezvous rendezvous{names};
    const auto owners = as_set(rendezvous.owners(item, count));
    for (const std::string& name : names) {
        RC_ASSERT(rendezvous.owns(name, item, count) == owners.contains(name));
    }
}

RC_GTEST_PROP(Rendezvous, OwnersAreMembersEachOnceAndAsManyAsWantedOrThereAre, ()) {
    const auto names = *members();
    const auto count = *a_count();
    const Rendezvous rendezvous{names};
    const auto owners = rendezvous.owners(*a_name(), count);
    RC_ASSERT(owners.size() == std::min(count, names.size()));
    RC_ASSERT(as_set(owners).size() == owners.size());
    RC_ASSERT(std::ranges::includes(as_set(names), as_set(owners)));
}

RC_GTEST_PROP(Rendezvous, FewerOwnersAreTheFirstOfMore, ()) {
    const Rendezvous rendezvous{*members()};
    const auto item = *a_name();
    const auto all = rendezvous.owners(item, rendezvous.members().size());
    const auto some = rendezvous.owners(item, *a_count());
    RC_ASSERT(std::equal(some.begin(), some.end(), all.begin()));
}

RC_GTEST_PROP(Rendezvous, TheOrderInWhichMembersAreGivenDoesNotMatter, ()) {
    const auto names = *members();
    auto shuffled = names;
    std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937{*rc::gen::arbitrary<std::uint32_t>()});
    const auto item = *a_name();
    const auto count = *a_count();
    RC_ASSERT(Rendezvous{names}.owners(item, count) == Rendezvous{shuffled}.owners(item, count));
}

RC_GTEST_PROP(Rendezvous, WhoIsNoMemberOwnsNothing, ()) {
    auto names = *rc::gen::nonEmpty(members());
    const auto stranger = names.back();
    names.pop_back();
    RC_ASSERT(!Rendezvous{names}.owns(stranger, *a_name(), *a_count()));
    RC_ASSERT(!Rendezvous{}.owns(stranger, *a_name(), *a_count()));
}

/// Of one member that comes or goes: nobody but itself and who steps in for it is concerned, and of every
/// item that it does not own no owner changes, nor their order.
RC_GTEST_PROP(Rendezvous, AMemberThatComesOrGoesChangesOnlyWhatItOwns, ()) {
    const auto with = *rc::gen::nonEmpty(members());
    const auto one = *rc::gen::elementOf(with);
    auto without = with;
    std::erase(without, one);
    const auto count = *a_count();
    const Rendezvous before{without};
    const Rendezvous after{with};
    for (const std::string& item : items(50)) {
        const auto owners = after.owners(item, count);
        auto others = owners;
        std::erase(others, one);
        const auto of_the_rest = before.owners(item, count);
        RC_ASSERT(std::equal(others.begin(), others.end(), of_the_rest.begin()));
        if (!after.owns(one, item, count)) RC_ASSERT(owners == of_the_rest);
    }
}

TEST(Rendezvous, OfNobodyHasNoOwner) {
    EXPECT_TRUE(Rendezvous{}.owners("db1", 3).empty());
    EXPECT_FALSE((Rendezvous{{"w1"}}.owns("w1", "db1", 0)));
}

/// Every program has to come to the same answer, those of another version too: a change of the hash moves
/// every target and is a change of the contract.
TEST(Rendezvous, RanksAreWhatTheyWereInTheFirstVersion) {
    const Rendezvous rendezvous{fleet(5)};
    EXPECT_EQ(rendezvous.owners("orders-db", 5),
              (Names{"probe-2", "probe-5", "probe-1", "probe-4", "probe-3"}));
    EXPECT_EQ(rendezvous.owners("db1", 5), (Names{"probe-1", "probe-3", "probe-4", "probe-2", "probe-5"}));
}

constexpr int kItems = 10'000;
constexpr double kUneven = 0.01;  // of all items
constexpr double kMore = 0.05;    // of what has to move

class RendezvousFleet : public testing::TestWithParam<int> {};

TEST_P(RendezvousFleet, IsLoadedEvenly) {
    const Rendezvous rendezvous{fleet(GetParam())};
    for (const std::size_t count : {1U, 3U}) {
        std::map<std::string, int> load;
        for (const std::string& item : items(kItems)) {
            for (const std::string& owner : rendezvous.owners(item, count)) ++load[owner];
        }
        const double shares = static_cast<double>(std::min<std::size_t>(count, rendezvous.members().size()));
        for (const std::string& member : rendezvous.members()) {
            EXPECT_NEAR(load[member] / static_cast<double>(kItems), shares / GetParam(), kUneven)
                << member << ", " << count << " owners";
        }
    }
}

TEST_P(RendezvousFleet, HandsOverLittleMoreThanItMustWhenOneMoreComes) {
    const int after = GetParam() + 1;
    for (const std::size_t count : {1U, 3U}) {
        int moved = 0;
        for (const std::string& item : items(kItems)) {
            const auto before = as_set(Rendezvous{fleet(GetParam())}.owners(item, count));
            for (const std::string& owner : Rendezvous{fleet(after)}.owners(item, count)) {
                moved += before.contains(owner) ? 0 : 1;
            }
        }
        // The new one has to have its fair share.
        const double must = std::min(1.0, static_cast<double>(count) / after);
        EXPECT_LE(moved / static_cast<double>(kItems), must * (1 + kMore)) << count << " owners";
    }
}

INSTANTIATE_TEST_SUITE_P(Of, RendezvousFleet, testing::Values(1, 2, 3, 4, 5, 7, 9, 16),
                         [](const testing::TestParamInfo<int>& info) { return std::to_string(info.param); });

}  // namespace
}  // namespace pgpulse::cluster
