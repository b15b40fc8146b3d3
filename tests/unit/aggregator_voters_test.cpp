#include "aggregator/voters.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

// Who has a voice on a target, and for how long: each clause of "Who votes" in docs/verdicts.md.
namespace pgpulse::aggregator {
namespace {

using namespace std::chrono_literals;
using contract::Evidence;
using contract::Health;
using contract::Opinion;
using contract::Reason;
using contract::Role;
using contract::State;
using contract::Verdict;
using Time = Voters::Time;

class AggregatorVoters : public testing::Test {
  protected:
    Workers workers;
    Voters voters;
    Patience patience{5000ms, 3000ms};
    std::vector<Vote> votes;

    Workers::Index worker(const std::string& id) { return workers.meet(id).value(); }

    void seat(const std::vector<std::string>& observers, Time now) {
        workers.members(observers, now);
        std::vector<Workers::Index> indexes;
        for (const std::string& id : observers) indexes.push_back(worker(id));
        voters.seat(indexes, now);
    }

    /// The worker said so then, conclusively.
    Word& says(const std::string& id, Opinion opinion, Time heard) {
        Word* const word = voters.meet(worker(id), workers);
        EXPECT_NE(word, nullptr);
        word->opinion = opinion;
        word->verdict = opinion == Opinion::down ? Verdict::no_response : Verdict::accepting;
        word->reason = opinion == Opinion::down ? Reason::refused : Reason::ok;
        word->heard = heard;
        return *word;
    }

    void doubts_itself(const std::string& id, Time since) {
        Word& word = *voters.find(worker(id));
        word.suspect = true;
        word.suspect_since = since;
    }

    Word& tells(const std::string& id, Role role, Time heard) {
        Word& word = says(id, Opinion::up, heard);
        word.role = role;
        word.writable = role == Role::primary;
        word.role_heard = heard;
        return word;
    }

    Ballot ballot(Time now, const OthersWord& others = {}) {
        return voters.ballot(now, others, patience, workers, votes);
    }

    RoleReports roles(Time now, const OthersWord& others = {},
                      const std::optional<ServerLife>& of_life = std::nullopt) {
        return voters.roles(now, others, patience, workers, of_life);
    }
};

TEST_F(AggregatorVoters, AreTheObserversWhoWereHeard) {
    seat({"w1", "w2", "w3"}, 0ms);
    says("w1", Opinion::up, 100ms);
    says("w2", Opinion::down, 100ms);
    says("stranger", Opinion::down, 100ms);
    const Ballot counted = ballot(200ms);
    ASSERT_EQ(counted.votes.size(), 2U) << "a worker that is no observer has no voice";
    EXPECT_EQ(counted.votes[0].opinion, Opinion::up);
    EXPECT_EQ(counted.votes[1].opinion, Opinion::down);
    EXPECT_EQ(counted.votes[1].reason, Reason::refused);
    EXPECT_EQ(counted.unheard, 1U);
    EXPECT_EQ(counted.assigned, 3U);
    EXPECT_TRUE(counted.anyone_heard);
}

TEST_F(AggregatorVoters, LeaveAfterOneFreshnessOfSilence) {
    seat({"w1"}, 0ms);
    says("w1", Opinion::up, 100ms);
    EXPECT_EQ(ballot(5100ms).votes.size(), 1U);
    const Ballot later = ballot(5101ms);
    EXPECT_TRUE(later.votes.empty());
    EXPECT_EQ(later.unheard, 0U) << "who was heard and fell silent is not waited for";
    EXPECT_FALSE(later.anyone_heard);
}

TEST_F(AggregatorVoters, WhoWasNotHeardYetIsWaitedForOneFreshness) {
    seat({"w1", "w2"}, 1000ms);
    EXPECT_EQ(ballot(6000ms).unheard, 2U);
    EXPECT_EQ(ballot(6001ms).unheard, 0U);
    // A third one takes the place of the second, the first keeps his time.
    seat({"w1", "w3"}, 4000ms);
    EXPECT_EQ(ballot(6000ms).unheard, 2U);
    EXPECT_EQ(ballot(9000ms).unheard, 1U);
    EXPECT_EQ(ballot(9001ms).unheard, 0U);
}

TEST_F(AggregatorVoters, WhoeverSaidNothingConclusiveIsNotHeardYet) {
    seat({"w1"}, 0ms);
    Word& word = says("w1", Opinion::undecided, Word::kNever);
    word.verdict = Verdict::inconclusive;
    EXPECT_EQ(ballot(100ms).unheard, 1U);
    EXPECT_EQ(ballot(5001ms).unheard, 0U);
}

TEST_F(AggregatorVoters, AreWaitedForAnewWhenThisAggregatorBeginsAgain) {
    seat({"w1"}, 0ms);
    says("w1", Opinion::up, 100ms);
    voters.begin(20'000ms, workers);
    EXPECT_EQ(voters.find(worker("w1")), nullptr);
    EXPECT_EQ(ballot(25'000ms).unheard, 1U);
    EXPECT_EQ(ballot(25'001ms).unheard, 0U);
    EXPECT_EQ(workers.at(worker("w1")).words, 0U);
}

TEST_F(AggregatorVoters, WhatWasSaidBeforeOnesTurnCounts) {
    says("w2", Opinion::down, 900ms);
    seat({"w1"}, 0ms);
    workers.members({"w1", "w2"}, 0ms);
    EXPECT_TRUE(ballot(1000ms).votes.empty());
    EXPECT_TRUE(ballot(1000ms).anyone_heard) << "kept without a voice";
    seat({"w2"}, 1000ms);
    ASSERT_EQ(ballot(1000ms).votes.size(), 1U);
    EXPECT_EQ(ballot(1000ms).votes[0].opinion, Opinion::down);
    EXPECT_EQ(ballot(5901ms).unheard, 1U) << "since his turn he was not heard yet";
    EXPECT_EQ(ballot(6001ms).unheard, 0U);
}

TEST_F(AggregatorVoters, WhoDoubtsHimselfHasNoVoiceAndCountsForThreeIntervals) {
    seat({"w1", "w2"}, 0ms);
    says("w1", Opinion::down, 10'000ms);
    says("w2", Opinion::up, 10'000ms);
    doubts_itself("w1", 7000ms);
    const Ballot at_first = ballot(10'000ms);
    ASSERT_EQ(at_first.votes.size(), 2U);
    EXPECT_TRUE(at_first.votes[0].suspect);
    EXPECT_EQ(ballot(10'001ms).votes.size(), 1U);
    EXPECT_EQ(ballot(10'001ms).unheard, 0U);
}

TEST_F(AggregatorVoters, WhoDoubtsHimselfKeepsATargetFromUnknownForAMinute) {
    seat({"w1"}, 0ms);
    says("w1", Opinion::up, 60'000ms);
    doubts_itself("w1", 100ms);
    EXPECT_TRUE(ballot(60'000ms).votes.empty());
    EXPECT_TRUE(ballot(60'000ms).anyone_heard);
    says("w1", Opinion::up, 60'100ms);
    EXPECT_TRUE(ballot(60'100ms).anyone_heard);
    EXPECT_FALSE(ballot(60'101ms).anyone_heard);
}

TEST_F(AggregatorVoters, WhoServesOrDidWithinOneFreshnessKeepsATargetFromUnknown) {
    seat({"w1"}, 0ms);
    workers.members({"w1", "w2"}, 0ms);
    says("stranger", Opinion::up, 10'000ms);
    EXPECT_FALSE(ballot(10'000ms).anyone_heard) << "whoever never served keeps nothing";
    says("w2", Opinion::up, 10'000ms);
    EXPECT_TRUE(ballot(10'000ms).anyone_heard) << "who serves does, an observer or not";
    workers.members({"w1"}, 10'000ms);
    says("w2", Opinion::up, 14'000ms);
    EXPECT_TRUE(ballot(15'000ms).anyone_heard);
    EXPECT_FALSE(ballot(15'001ms).anyone_heard) << "it goes on pinging, and has not served for a freshness";
    workers.members({"w1", "w2"}, 15'001ms);
    EXPECT_TRUE(ballot(15'001ms).anyone_heard);
}

TEST_F(AggregatorVoters, KeepEightOthersWordsAndEveryObservers) {
    std::vector<std::string> observers;
    for (int i = 0; i < 20; ++i) observers.push_back("o" + std::to_string(i));
    seat(observers, 0ms);
    for (int i = 0; i < 8; ++i)
        EXPECT_NE(voters.meet(worker("x" + std::to_string(i)), workers), nullptr) << i;
    EXPECT_EQ(voters.meet(worker("x8"), workers), nullptr);
    EXPECT_NE(voters.meet(worker("x7"), workers), nullptr) << "whose word is kept already";
    for (const std::string& id : observers) EXPECT_NE(voters.meet(worker(id), workers), nullptr) << id;
    EXPECT_EQ(workers.at(worker("x8")).words, 0U);
    EXPECT_EQ(workers.at(worker("x7")).words, 1U);
}

TEST_F(AggregatorVoters, ForgetOthersWhoWereNotHeardForLong) {
    seat({"w1"}, 0ms);
    says("w1", Opinion::up, 100ms);
    says("x1", Opinion::up, 100ms);
    says("x2", Opinion::up, 5000ms);
    voters.forget(1000ms, workers);
    EXPECT_NE(voters.find(worker("w1")), nullptr) << "an observer's last word is evidence";
    EXPECT_EQ(voters.find(worker("x1")), nullptr);
    EXPECT_NE(voters.find(worker("x2")), nullptr);
    EXPECT_EQ(workers.at(worker("x1")).words, 0U);
}

TEST_F(AggregatorVoters, WhatWasHeardBeforeAnothersWordHasNoVoiceAndIsWaitedFor) {
    seat({"w1", "w2"}, 0ms);
    says("w1", Opinion::up, 900ms);
    says("w2", Opinion::up, 1001ms);
    const Ballot counted = ballot(1500ms, {1000ms, nullptr});
    EXPECT_EQ(counted.votes.size(), 1U);
    EXPECT_EQ(counted.unheard, 1U);
    EXPECT_TRUE(counted.anyone_heard);
}

TEST_F(AggregatorVoters, WhomAnotherHasHeardCountsAndUpholdsAnUpThatHeAgreedTo) {
    seat({"w1", "w2", "w3", "w4"}, 0ms);
    State theirs;
    theirs.state = Health::up;
    const auto evidence = [](const char* id, Opinion opinion) {
        Evidence word;
        word.worker = id;
        word.opinion = opinion;
        return word;
    };
    theirs.evidence = {evidence("w1", Opinion::up), evidence("w2", Opinion::down),
                       evidence("stranger", Opinion::up)};
    says("w4", Opinion::down, 19'900ms);
    const Ballot counted = ballot(20'000ms, {10'000ms, &theirs});
    ASSERT_EQ(counted.votes.size(), 2U);
    EXPECT_EQ(counted.votes[0].opinion, Opinion::up) << "w1, whom the other heard";
    EXPECT_EQ(counted.votes[1].opinion, Opinion::down) << "w4, who was heard here";
    EXPECT_EQ(counted.unheard, 1U) << "w2, whose voice was not for up";
    theirs.state = Health::down;
    EXPECT_EQ(ballot(20'000ms, {10'000ms, &theirs}).votes.size(), 1U);
    EXPECT_EQ(ballot(20'000ms, {10'000ms, &theirs}).unheard, 2U);
    theirs.state = Health::unknown;
    EXPECT_EQ(ballot(20'000ms, {10'000ms, &theirs}).unheard, 0U) << "those fell silent";
    // Once w1 was heard here his silence is told from here.
    theirs.state = Health::up;
    says("w1", Opinion::up, 10'001ms);
    EXPECT_EQ(ballot(20'000ms, {10'000ms, &theirs}).votes.size(), 1U);
    EXPECT_EQ(ballot(20'000ms, {10'000ms, &theirs}).unheard, 1U);
}

TEST_F(AggregatorVoters, TellTheRoleForOneFreshness) {
    seat({"w1", "w2", "w3"}, 0ms);
    tells("w1", Role::primary, 100ms);
    tells("stranger", Role::replica, 100ms);
    EXPECT_EQ(roles(5100ms).role(std::nullopt), Role::primary);
    EXPECT_EQ(roles(5100ms).writable(std::nullopt), true);
    EXPECT_EQ(roles(5101ms).role(std::nullopt), std::nullopt);
    EXPECT_EQ(roles(5101ms).role(Role::replica), Role::replica) << "what was known stays";
}

TEST_F(AggregatorVoters, TellTheRoleOfThePresentLife) {
    seat({"w1", "w2", "w3"}, 0ms);
    const contract::WallTime former{100s};
    const ServerLife present{contract::WallTime{200s}, std::nullopt};
    tells("w1", Role::primary, 100ms).life = former;
    tells("w2", Role::primary, 100ms).life = former;
    tells("w3", Role::replica, 100ms).life = present.started_at;
    EXPECT_EQ(roles(200ms).role(std::nullopt), Role::primary);
    EXPECT_EQ(roles(200ms, {}, present).role(std::nullopt), Role::replica);
    tells("w1", Role::primary, 150ms).life = {};
    EXPECT_EQ(roles(200ms, {}, present).role(std::nullopt), std::nullopt)
        << "a session that tells no life counts: one against one";
}

TEST_F(AggregatorVoters, TellNoRoleBeforeAnothersWordAndTheOthersWhereTheyWereNotHeard) {
    seat({"w1", "w2", "w3"}, 0ms);
    State theirs;
    theirs.state = Health::up;
    theirs.role = Role::primary;
    theirs.writable = true;
    theirs.evidence.resize(2);
    theirs.evidence[0].worker = "w1";
    theirs.evidence[1].worker = "w2";
    tells("w1", Role::replica, 900ms);
    tells("w3", Role::replica, 1100ms);
    EXPECT_EQ(roles(1200ms, {1000ms, nullptr}).role(Role::primary), Role::replica) << "w3 alone";
    EXPECT_EQ(roles(1200ms, {1000ms, &theirs}).role(std::nullopt), Role::primary) << "two against one";
    theirs.role.reset();
    EXPECT_EQ(roles(1200ms, {1000ms, &theirs}).role(std::nullopt), std::nullopt)
        << "those whom the other heard know none";
    const ServerLife life{contract::WallTime{100s}, std::nullopt};
    EXPECT_EQ(roles(1200ms, {1000ms, &theirs}, life).role(std::nullopt), Role::replica)
        << "what the other wrote is of another life";
}

TEST_F(AggregatorVoters, ForgetRolesWithTheServersEnd) {
    seat({"w1"}, 0ms);
    tells("w1", Role::primary, 100ms);
    EXPECT_TRUE(voters.told_primary_since(99ms));
    EXPECT_FALSE(voters.told_primary_since(100ms));
    voters.forget_roles();
    EXPECT_FALSE(voters.told_primary_since(0ms));
    EXPECT_EQ(roles(200ms).role(std::nullopt), std::nullopt);
    tells("w1", Role::replica, 300ms);
    EXPECT_FALSE(voters.told_primary_since(200ms));
    tells("stranger", Role::primary, 300ms);
    EXPECT_FALSE(voters.told_primary_since(200ms)) << "who is no observer claims nothing";
}

TEST_F(AggregatorVoters, AreTheEvidence) {
    seat({"w1", "w2"}, 0ms);
    Word& word = says("w1", Opinion::down, 100ms);
    word.sqlstate = {'5', '7', 'P', '0', '3'};
    word.rtt_us = 7;
    word.at = contract::WallTime{1s};
    says("stranger", Opinion::up, 100ms);
    workers.at(worker("w1")).site = "fra1";
    const auto evidence = voters.evidence(Health::down, 200ms, patience);
    ASSERT_EQ(evidence.size(), 1U);
    const Evidence shown = to_evidence(*evidence[0], workers);
    EXPECT_EQ(shown.worker, "w1");
    EXPECT_EQ(shown.site, "fra1");
    EXPECT_EQ(shown.opinion, Opinion::down);
    EXPECT_EQ(shown.verdict, Verdict::no_response);
    EXPECT_EQ(shown.reason, Reason::refused);
    EXPECT_EQ(shown.sqlstate, "57P03");
    EXPECT_EQ(shown.rtt_us, 7);
    EXPECT_EQ(shown.at, contract::WallTime{1s});
    says("w2", Opinion::up, 200ms);
    doubts_itself("w2", 200ms);
    EXPECT_EQ(voters.evidence(Health::up, 3200ms, patience).size(), 2U);
    EXPECT_EQ(voters.evidence(Health::up, 3201ms, patience).size(), 1U)
        << "who doubts himself for long is none";
    EXPECT_EQ(voters.evidence(Health::up, 5100ms, patience).size(), 1U);
    EXPECT_TRUE(voters.evidence(Health::up, 5101ms, patience).empty());
}

TEST_F(AggregatorVoters, AreTheEvidenceForUnknownOnceTheyFellSilent) {
    seat({"w1", "w2"}, 0ms);
    says("w1", Opinion::up, 100ms);
    says("stranger", Opinion::up, 100ms);
    EXPECT_EQ(voters.evidence(Health::unknown, 60'000ms, patience).size(), 1U);
    seat({}, 200ms);
    EXPECT_EQ(voters.evidence(Health::unknown, 60'000ms, patience).size(), 2U)
        << "of a target that nobody observes, what anybody said";
}

}  // namespace
}  // namespace pgpulse::aggregator
