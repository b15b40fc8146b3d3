#include "probe/assignment.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <map>
#include <set>

// Who observes what; that a change of the members moves as little as it can is rendezvous hashing's and
// tested there.
namespace pgpulse::probe {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using Effect = Assignment::Effect;

std::string name_of(int target) { return "db" + std::to_string(target); }

TEST(Assignment, OfAWorkerThatDoesNotServeIsNothing) {
    Assignment assignment{"w1"};
    EXPECT_EQ(assignment.define("db1", 3), Effect::none) << "nobody has said who serves";
    const auto moves = assignment.members({"w2", "w3"});
    EXPECT_THAT(moves.gained, IsEmpty());
    EXPECT_THAT(moves.lost, IsEmpty());
    EXPECT_EQ(assignment.define("db2", 63), Effect::none) << "nor where there are fewer than it wants";
}

TEST(Assignment, OfAWorkerThatIsAloneIsEverything) {
    Assignment assignment{"w1"};
    (void)assignment.define("db1", 1);
    (void)assignment.define("db2", 3);
    EXPECT_THAT(assignment.members({"w1"}).gained, testing::UnorderedElementsAre("db1", "db2"));
    EXPECT_EQ(assignment.define("db3", 1), Effect::gained);
}

TEST(Assignment, GivesEachTargetAsManyObserversAsItWantsAndThereAre) {
    const std::vector<std::string> workers{"w1", "w2", "w3", "w4", "w5"};
    std::map<std::string, std::uint32_t> observers;
    for (const std::string& worker : workers) {
        Assignment assignment{worker};
        (void)assignment.members(workers);
        for (int target = 0; target < 700; ++target) {
            const auto wanted = static_cast<std::uint32_t>(1 + target % 7);
            if (assignment.define(name_of(target), wanted) == Effect::gained) ++observers[name_of(target)];
        }
    }
    for (int target = 0; target < 700; ++target)
        EXPECT_EQ(observers[name_of(target)], std::min(1 + target % 7, 5)) << name_of(target);
}

TEST(Assignment, TellsWhatADefinitionDoes) {
    Assignment assignment{"w1"};
    (void)assignment.members({"w1", "w2"});
    std::string others;  // a target whose first observer is the other worker
    for (int target = 0; others.empty(); ++target) {
        if (assignment.define(name_of(target), 1) == Effect::none) others = name_of(target);
    }
    EXPECT_EQ(assignment.define(others, 1), Effect::none);
    EXPECT_EQ(assignment.define(others, 2), Effect::gained);
    EXPECT_EQ(assignment.define(others, 3), Effect::kept);
    EXPECT_EQ(assignment.define(others, 1), Effect::lost);
    EXPECT_EQ(assignment.define(others, 1), Effect::none);
}

TEST(Assignment, TellsWhatARemovalDoes) {
    Assignment assignment{"w1"};
    EXPECT_EQ(assignment.remove("db1"), Effect::none) << "it was never there";
    (void)assignment.define("db1", 1);
    EXPECT_EQ(assignment.remove("db1"), Effect::none) << "it was nobody's";
    (void)assignment.members({"w1"});
    (void)assignment.define("db1", 1);
    EXPECT_EQ(assignment.remove("db1"), Effect::lost);
    EXPECT_EQ(assignment.remove("db1"), Effect::none);
    EXPECT_THAT(assignment.members({}).lost, IsEmpty()) << "what was removed is lost once";
    EXPECT_EQ(assignment.define("db1", 1), Effect::none);
    EXPECT_THAT(assignment.members({"w1"}).gained, ElementsAre("db1"));
}

TEST(Assignment, ChangesWithTheMembersWithNothingTwiceAndNothingLeftOver) {
    // What a worker believes to be its own is the sum of all it was told.
    Assignment assignment{"w1"};
    std::set<std::string> own;
    for (int target = 0; target < 300; ++target) (void)assignment.define(name_of(target), 2);
    const std::vector<std::vector<std::string>> views{
        {"w1"}, {"w1", "w2", "w3"}, {"w1", "w2", "w3"}, {"w3", "w1", "w4", "w5", "w6"}, {"w1", "w4"}, {"w2"},
        {}};
    for (const auto& view : views) {
        const auto moves = assignment.members(view);
        for (const std::string& target : moves.lost) EXPECT_EQ(own.erase(target), 1U) << target;
        for (const std::string& target : moves.gained) EXPECT_TRUE(own.insert(target).second) << target;
        Assignment fresh{"w1"};
        (void)fresh.members(view);
        std::set<std::string> expected;
        for (int target = 0; target < 300; ++target) {
            if (fresh.define(name_of(target), 2) == Effect::gained) expected.insert(name_of(target));
        }
        EXPECT_EQ(own, expected) << view.size() << " members: how it came to this is of no account";
    }
}

TEST(Assignment, OfTheSameMembersMovesNothing) {
    Assignment assignment{"w1"};
    (void)assignment.members({"w1", "w2", "w3"});
    for (int target = 0; target < 100; ++target) (void)assignment.define(name_of(target), 2);
    const auto moves = assignment.members({"w3", "w2", "w1"});
    EXPECT_THAT(moves.gained, SizeIs(0));
    EXPECT_THAT(moves.lost, SizeIs(0));
}

}  // namespace
}  // namespace pgpulse::probe
