#include "aggregator/tally.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <variant>
#include <vector>

namespace pgpulse::aggregator {
namespace {

using namespace std::chrono_literals;
using contract::Health;
using contract::Opinion;
using contract::Reason;
using contract::Verdict;

/// A tally with a bucket beside it that keeps what is written, as JetStream would.
class TallyTest : public testing::Test {
  protected:
    Tally tally{"aggregator-1"};
    Tally::Actions actions;
    Now now{std::chrono::steady_clock::time_point{1h},
            contract::WallTime{std::chrono::sys_days{std::chrono::year{2026} / 1 / 2}}};
    std::uint64_t sequence = 100;
    std::uint64_t pings = 0;
    bool hear = true;
    bool hear_store = true;

    TallyTest() {
        tally.members({"w1"}, now, actions);
        tally.ranks(kFirstInAll, now, actions);
    }

    static constexpr Ranks kFirstInAll = [] {
        Ranks ranks{};
        ranks.fill(Rank::first);
        return ranks;
    }();

    static contract::TargetDefinition definition(const std::string& name) {
        contract::TargetDefinition d;
        d.name = d.service = name;
        d.address = "127.0.0.1";
        return d;
    }

    void rank(Rank rank) {
        Ranks ranks{};
        ranks.fill(rank);
        tally.ranks(ranks, now, actions);
    }

    void load(const std::vector<std::string>& targets) {
        for (const auto& name : targets) tally.definition(definition(name), now, actions);
        tally.definitions_loaded(now, actions);
        tally.states_opened();
        tally.states_loaded(now, actions);
    }

    void pass(std::chrono::milliseconds time) {
        for (auto passed = 0ms; passed < time; passed += 50ms) {
            now.mono += 50ms;
            now.wall += 50ms;
            if (hear) tally.echo(now);
            if (hear_store) tally.stored_echo(now);
            tally.tick(now, actions);
        }
    }

    contract::Ping ping(const std::string& worker, Opinion opinion, const std::string& target = "db1") {
        contract::Ping p;
        p.target = target;
        p.worker = worker;
        p.run = "00000000000000aa";
        p.seq = ++pings;
        p.mono_ms =
            std::chrono::duration_cast<std::chrono::milliseconds>(now.mono.time_since_epoch()).count();
        p.at = now.wall;
        p.opinion = opinion;
        p.verdict = opinion == Opinion::down ? Verdict::no_response : Verdict::accepting;
        p.reason = opinion == Opinion::down ? Reason::refused : Reason::ok;
        return p;
    }

    Heard hears(const contract::Ping& p) { return tally.ping(p, now, actions); }
    Heard hears(const std::string& worker, Opinion opinion) { return hears(ping(worker, opinion)); }

    /// The worker goes on saying so for that long.
    void keeps_saying(const std::string& worker, Opinion opinion, std::chrono::milliseconds time) {
        for (auto passed = 0ms; passed < time; passed += 500ms) {
            pass(500ms);
            hears(worker, opinion);
        }
    }

    std::vector<PutState> puts() {
        std::vector<PutState> found;
        for (const Action& action : actions) {
            if (const auto* put = std::get_if<PutState>(&action)) found.push_back(*put);
        }
        actions.clear();
        return found;
    }

    /// The single write there is, acknowledged.
    contract::State stored() {
        const auto found = puts();
        EXPECT_EQ(found.size(), 1U);
        if (found.size() != 1) return {};
        tally.written(found[0].state.target, Written::stored, found[0].expected, ++sequence, now, actions);
        return found[0].state;
    }
};

TEST_F(TallyTest, NothingIsDecidedBeforeBothBucketsAreRead) {
    tally.definition(definition("db1"), now, actions);
    hears("w1", Opinion::up);
    EXPECT_TRUE(puts().empty());
    tally.definitions_loaded(now, actions);
    EXPECT_TRUE(puts().empty());
    EXPECT_FALSE(tally.loaded());
    tally.states_loaded(now, actions);
    EXPECT_TRUE(tally.loaded());
    EXPECT_EQ(puts().size(), 1U);
}

TEST_F(TallyTest, FirstTransitionIsNumberOneAgainstAnEmptyKey) {
    load({"db1"});
    hears("w1", Opinion::up);
    const auto found = puts();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].expected, 0U);
    const contract::State& state = found[0].state;
    EXPECT_EQ(state.transition, 1U);
    EXPECT_EQ(state.state, Health::up);
    EXPECT_EQ(state.previous, std::nullopt);
    EXPECT_EQ(state.reason, Reason::ok);
    EXPECT_EQ(state.decided_by, "aggregator-1");
    EXPECT_EQ(state.since, now.wall);
    ASSERT_EQ(state.evidence.size(), 1U);
    EXPECT_EQ(state.evidence[0].worker, "w1");
}

TEST_F(TallyTest, ChangesAreCountedAndNameWhatWasBefore) {
    load({"db1"});
    hears("w1", Opinion::up);
    stored();
    keeps_saying("w1", Opinion::up, 6s);
    EXPECT_TRUE(puts().empty());
    hears("w1", Opinion::down);
    const auto down = stored();
    EXPECT_EQ(down.transition, 2U);
    EXPECT_EQ(down.previous, Health::up);
    EXPECT_EQ(down.reason, Reason::refused);
    hears("w1", Opinion::down);
    EXPECT_TRUE(puts().empty()) << "an unchanged state is not written";
}

TEST_F(TallyTest, OneWriteInFlightATarget) {
    load({"db1"});
    hears("w1", Opinion::up);
    EXPECT_EQ(puts().size(), 1U);
    hears("w1", Opinion::down);
    EXPECT_TRUE(puts().empty());
    tally.written("db1", Written::stored, 0, 101, now, actions);
    const auto next = puts();
    ASSERT_EQ(next.size(), 1U) << "what changed meanwhile goes out with the acknowledgement";
    EXPECT_EQ(next[0].expected, 101U);
    EXPECT_EQ(next[0].state.state, Health::down);
}

TEST_F(TallyTest, PingsWithoutADefinitionAreCountedAndLeftAlone) {
    load({});
    EXPECT_EQ(hears("w1", Opinion::down), Heard::unknown_target);
    EXPECT_TRUE(puts().empty());
}

TEST_F(TallyTest, APingSeenBeforeIsReplayed) {
    load({"db1"});
    const auto first = ping("w1", Opinion::up);
    const auto second = ping("w1", Opinion::up);
    EXPECT_EQ(hears(second), Heard::counted);
    EXPECT_EQ(hears(second), Heard::replayed);
    EXPECT_EQ(hears(first), Heard::replayed);
}

TEST_F(TallyTest, APingOfAnEndedRunIsReplayed) {
    load({"db1"});
    auto old_run = ping("w1", Opinion::up);
    EXPECT_EQ(hears(old_run), Heard::counted);
    auto new_run = ping("w1", Opinion::up);
    new_run.run = "00000000000000bb";
    new_run.seq = 1;
    EXPECT_EQ(hears(new_run), Heard::counted) << "a restarted worker counts from one again";
    old_run.seq += 100;
    EXPECT_EQ(hears(old_run), Heard::replayed);
}

TEST_F(TallyTest, ALatePingDecidesNothing) {
    load({"db1"});
    hears("w1", Opinion::up);
    stored();
    keeps_saying("w1", Opinion::up, 6s);
    const auto held_up = ping("w1", Opinion::down);
    pass(3s);
    EXPECT_EQ(hears(held_up), Heard::late);
    EXPECT_TRUE(puts().empty());
}

TEST_F(TallyTest, SilenceOfAllIsUnknownAfterOneFreshness) {
    load({"db1"});
    hears("w1", Opinion::up);
    stored();
    pass(4900ms);
    EXPECT_TRUE(puts().empty());
    pass(1s);
    const auto unknown = stored();
    EXPECT_EQ(unknown.state, Health::unknown);
    EXPECT_EQ(unknown.reason, Reason::observer_stalled);
    ASSERT_EQ(unknown.evidence.size(), 1U) << "the last word of those who fell silent";
}

TEST_F(TallyTest, SilenceWhileItCannotHearItselfIsNotSilence) {
    load({"db1"});
    hears("w1", Opinion::up);
    stored();
    hear = false;
    pass(60s);
    EXPECT_TRUE(puts().empty());
    hear = true;
    pass(3s);
    EXPECT_TRUE(puts().empty());
}

TEST_F(TallyTest, SilenceBesideAServerThatIsCutOffFromItsClusterIsNotSilence) {
    load({"db1"});
    hears("w1", Opinion::up);
    stored();
    hear_store = false;  // what it publishes comes back, what is stored does not
    pass(60s);
    EXPECT_TRUE(puts().empty());
    hear_store = true;
    pass(3s);
    EXPECT_TRUE(puts().empty());
}

TEST_F(TallyTest, ItsOwnStopIsNotSilence) {
    load({"db1"});
    hears("w1", Opinion::up);
    stored();
    now.mono += 60s;
    pass(2s);
    EXPECT_TRUE(puts().empty());
}

TEST_F(TallyTest, ATargetNobodyObservesIsUnknownAfterOneFreshness) {
    load({"db1"});
    pass(5s);
    EXPECT_TRUE(puts().empty());
    pass(1s);
    EXPECT_EQ(stored().state, Health::unknown);
}

TEST_F(TallyTest, WhoGoesOnPingingAndDoesNotServeKeepsNoTargetFromUnknown) {
    load({"db1"});
    hears("w1", Opinion::up);
    stored();
    tally.members({}, now, actions);
    EXPECT_TRUE(puts().empty()) << "it was heard within one freshness";
    keeps_saying("w1", Opinion::up, 4500ms);
    EXPECT_TRUE(puts().empty());
    keeps_saying("w1", Opinion::up, 1s);
    EXPECT_EQ(stored().state, Health::unknown);
    // One that never served is heard beside it.
    keeps_saying("w2", Opinion::up, 6s);
    EXPECT_TRUE(puts().empty());
    tally.members({"w1"}, now, actions);
    EXPECT_EQ(hears("w1", Opinion::up), Heard::counted);
    EXPECT_EQ(stored().state, Health::up);
}

TEST_F(TallyTest, ATargetThatCannotBeAttemptedIsUnknownAndSaysWhy) {
    load({"db1"});
    for (int i = 0; i < 8; ++i) {
        auto p = ping("w1", Opinion::undecided);
        p.verdict = Verdict::not_attempted;
        p.reason = Reason::config;
        hears(p);
        pass(1s);
    }
    const auto state = stored();
    EXPECT_EQ(state.state, Health::unknown);
    EXPECT_EQ(state.reason, Reason::config);
}

TEST_F(TallyTest, AStalledObserversPingsDoNotKeepItsWordFresh) {
    load({"db1"});
    hears("w1", Opinion::up);
    stored();
    for (int i = 0; i < 7; ++i) {
        pass(1s);
        auto p = ping("w1", Opinion::up);
        p.verdict = Verdict::inconclusive;
        p.reason = Reason::observer_stalled;
        hears(p);
    }
    EXPECT_EQ(stored().state, Health::unknown);
}

TEST_F(TallyTest, AStartReadsTheBucketAndWritesNothingThatDidNotChange) {
    contract::State state;
    state.target = "db1";
    state.state = Health::up;
    state.transition = 7;
    state.decided_by = "aggregator-0";
    state.evidence.resize(1);
    state.evidence[0].worker = "w1";
    tally.definition(definition("db1"), now, actions);
    tally.definitions_loaded(now, actions);
    tally.states_opened();
    tally.state("db1", state, 42, true, now, actions);
    tally.states_loaded(now, actions);
    hears("w1", Opinion::up);
    keeps_saying("w1", Opinion::up, 6s);
    EXPECT_TRUE(puts().empty());
    hears("w1", Opinion::down);
    const auto found = puts();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].state.state, Health::down);
    EXPECT_EQ(found[0].expected, 42U);
    EXPECT_EQ(found[0].state.transition, 8U);
}

TEST_F(TallyTest, ObserversAreWaitedForByAYoungAggregator) {
    contract::State state;
    state.target = "db1";
    state.state = Health::up;
    state.transition = 1;
    tally.members({"w1", "w2", "w3"}, now, actions);
    tally.definition(definition("db1"), now, actions);
    tally.definitions_loaded(now, actions);
    tally.states_opened();
    tally.state("db1", state, 42, true, now, actions);
    tally.states_loaded(now, actions);
    hears("w1", Opinion::down);
    EXPECT_TRUE(puts().empty()) << "one of three";
    pass(4s);
    EXPECT_TRUE(puts().empty());
    for (int i = 0; i < 4; ++i) {
        hears("w1", Opinion::down);
        pass(500ms);
    }
    EXPECT_EQ(stored().state, Health::down) << "the other two are gone";
}

TEST_F(TallyTest, ALostWriteAdoptsTheWinnersValue) {
    load({"db1"});
    hears("w1", Opinion::up);
    const auto mine = puts();
    ASSERT_EQ(mine.size(), 1U);
    contract::State theirs = mine[0].state;
    theirs.decided_by = "aggregator-2";
    tally.written("db1", Written::lost, 0, 0, now, actions);
    EXPECT_TRUE(puts().empty()) << "the watch tells who won";
    tally.state("db1", theirs, 101, true, now, actions);
    pass(3s);
    hears("w1", Opinion::up);
    EXPECT_TRUE(puts().empty());
    EXPECT_EQ(tally.counts().writes_lost, 1U);
    EXPECT_EQ(tally.counts().transitions, 0U);
}

TEST_F(TallyTest, TheFirstRankedContradictsAnAdoptedValueWithTheNextPings) {
    load({"db1"});
    hears("w1", Opinion::up);
    contract::State theirs = stored();
    theirs.state = Health::down;
    theirs.transition = 2;
    theirs.decided_by = "aggregator-2";
    tally.state("db1", theirs, 200, true, now, actions);
    EXPECT_TRUE(puts().empty()) << "the other may have heard more";
    pass(200ms);
    EXPECT_TRUE(puts().empty());
    hears("w1", Opinion::up);
    const auto found = puts();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].expected, 200U);
    EXPECT_EQ(found[0].state.transition, 3U);
}

TEST_F(TallyTest, WhatWasHeardBeforeTheOthersWordHasNoVoiceAgainstIt) {
    tally.members({"w1", "w2", "w3"}, now, actions);
    load({"db1"});
    for (const char* worker : {"w1", "w2", "w3"}) hears(worker, Opinion::up);
    contract::State theirs = stored();
    pass(200ms);
    // The other has heard two of three; of their words one is still on its way to this one.
    hears("w1", Opinion::down);
    theirs.state = Health::down;
    theirs.transition = 2;
    theirs.decided_by = "aggregator-2";
    tally.state("db1", theirs, 200, true, now, actions);
    EXPECT_TRUE(puts().empty());
    hears("w2", Opinion::down);
    pass(200ms);
    hears("w3", Opinion::up);
    EXPECT_TRUE(puts().empty());
}

TEST_F(TallyTest, TheSecondRankedContradictsAnAdoptedValueAfterOneInterval) {
    rank(Rank::second);
    load({"db1"});
    hears("w1", Opinion::up);
    contract::State theirs = stored();
    theirs.state = Health::down;
    theirs.transition = 2;
    theirs.decided_by = "aggregator-2";
    tally.state("db1", theirs, 200, true, now, actions);
    hears("w1", Opinion::up);
    pass(900ms);
    hears("w1", Opinion::up);
    EXPECT_TRUE(puts().empty());
    pass(1s);
    hears("w1", Opinion::up);
    const auto found = puts();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].expected, 200U);
    EXPECT_EQ(found[0].state.transition, 3U);
}

TEST_F(TallyTest, AFailedWriteIsTriedAgainAgainstTheSameRevision) {
    load({"db1"});
    hears("w1", Opinion::up);
    ASSERT_EQ(puts().size(), 1U);
    tally.written("db1", Written::failed, 0, 0, now, actions);
    EXPECT_TRUE(puts().empty()) << "not at once";
    pass(2s);
    const auto again = puts();
    ASSERT_EQ(again.size(), 1U);
    EXPECT_EQ(again[0].expected, 0U);
    EXPECT_EQ(again[0].state.transition, 1U);
}

TEST_F(TallyTest, AWriteWhoseAcknowledgementWasLostIsNotCountedTwice) {
    load({"db1"});
    hears("w1", Opinion::up);
    const auto put = puts();
    ASSERT_EQ(put.size(), 1U);
    tally.state("db1", put[0].state, 101, true, now, actions);  // stored after all
    tally.written("db1", Written::failed, 0, 0, now, actions);
    pass(3s);
    hears("w1", Opinion::up);
    EXPECT_TRUE(puts().empty());
}

TEST_F(TallyTest, AWatchThatLagsBehindTheAcknowledgementChangesNothing) {
    load({"db1"});
    hears("w1", Opinion::up);
    const auto first = stored();
    hears("w1", Opinion::down);
    const auto second = puts();
    ASSERT_EQ(second.size(), 1U);
    tally.written("db1", Written::stored, second[0].expected, ++sequence, now, actions);
    tally.state("db1", first, sequence - 1, true, now, actions);
    tally.state("db1", second[0].state, sequence, true, now, actions);
    EXPECT_TRUE(puts().empty());
    hears("w1", Opinion::up);
    const auto third = puts();
    ASSERT_EQ(third.size(), 1U);
    EXPECT_EQ(third[0].state.transition, 3U);
}

TEST_F(TallyTest, TheWatchHasTheLastWordOnWhichOfTwoWritesWasStored) {
    load({"db1"});
    hears("w1", Opinion::up);
    const auto first = puts();
    ASSERT_EQ(first.size(), 1U);
    hears("w1", Opinion::down);
    // The bucket is read anew while the first one is on its way.
    tally.states_opened();
    tally.states_loaded(now, actions);
    const auto second = puts();
    ASSERT_EQ(second.size(), 1U);
    ASSERT_EQ(second[0].state.state, Health::down);
    ASSERT_EQ(second[0].expected, first[0].expected);
    tally.written("db1", Written::stored, 0, 101, now, actions);  // the first one was
    tally.state("db1", first[0].state, 101, true, now, actions);
    tally.written("db1", Written::lost, 0, 0, now, actions);
    const auto third = puts();
    ASSERT_EQ(third.size(), 1U);
    EXPECT_EQ(third[0].state.state, Health::down);
    EXPECT_EQ(third[0].state.transition, 2U);
    EXPECT_EQ(third[0].expected, 101U);
}

TEST_F(TallyTest, TheWatchHasTheLastWordOnAStateThatWasRemovedAfterAll) {
    load({"db1"});
    hears("w1", Opinion::up);
    stored();
    tally.states_opened();
    tally.states_loaded(now, actions);  // the bucket was wiped
    actions.clear();
    tally.definition_removed("db1", now, actions);
    ASSERT_EQ(actions.size(), 1U);
    const auto* const remove = std::get_if<RemoveState>(actions.data());
    ASSERT_NE(remove, nullptr);
    ASSERT_EQ(remove->expected, 0U);
    actions.clear();
    tally.states_opened();
    tally.definition(definition("db1"), now, actions);
    tally.states_loaded(now, actions);
    pass(2s);
    ASSERT_EQ(puts().size(), 1U) << "the former state, which the removal was forgotten for";
    tally.written("db1", Written::stored, 0, 1, now, actions);  // the removal was
    tally.state_removed("db1", 1, true, now, actions);
    pass(2s);
    hears("w1", Opinion::up);
    const auto anew = puts();
    ASSERT_EQ(anew.size(), 1U);
    EXPECT_EQ(anew[0].state.transition, 1U);
    EXPECT_EQ(anew[0].expected, 1U);
}

TEST_F(TallyTest, AWipedBucketIsFilledAgain) {
    load({"db1", "db2"});
    hears("w1", Opinion::up);
    const auto before = stored();
    tally.states_opened();
    tally.states_loaded(now, actions);
    EXPECT_TRUE(puts().empty()) << "what changed meanwhile is to be told first";
    pass(2s);
    const auto found = puts();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_TRUE(found[0].put_back);
    EXPECT_EQ(found[0].state, before) << "the same transition, not a new one";
    EXPECT_EQ(found[0].expected, 0U);
    EXPECT_EQ(tally.counts().put_back, 1U);
}

TEST_F(TallyTest, WhatWasLostWithoutADefinitionIsPutBackOnceItHasOne) {
    load({"db1"});
    hears("w1", Opinion::up);
    const auto before = stored();
    tally.definition_removed("db1", now, actions);
    actions.clear();
    tally.states_opened();
    tally.states_loaded(now, actions);
    tally.definition(definition("db1"), now, actions);
    tally.written("db1", Written::failed, 101, 0, now, actions);
    tally.written("db1", Written::failed, 0, 0, now, actions);
    pass(3s);
    const auto found = puts();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].state, before);
    EXPECT_EQ(found[0].expected, 0U);
}

TEST_F(TallyTest, WhoDoesNotTallyATargetTakesTheBucketsWord) {
    load({"db1"});
    hears("w1", Opinion::up);
    contract::State theirs = stored();
    rank(Rank::none);
    // The bucket was lost, and its new aggregators knew nothing of what was before.
    theirs.state = Health::down;
    theirs.transition = 1;
    theirs.decided_by = "aggregator-2";
    tally.states_opened();
    tally.state("db1", theirs, 3, true, now, actions);
    tally.states_loaded(now, actions);
    pass(3s);
    EXPECT_EQ(tally.census().by_state.at(Health::down), 1U);
    rank(Rank::second);
    pass(3s);
    EXPECT_TRUE(puts().empty());
}

TEST_F(TallyTest, WhoCeasesToTallyATargetTakesTheBucketsWordThatItWantedToPutRight) {
    load({"db1"});
    hears("w1", Opinion::up);
    const contract::State older = stored();
    hears("w1", Opinion::down);
    stored();
    // The server has lost the newest write, and the new aggregators found nothing else.
    tally.states_opened();
    tally.state("db1", older, 101, true, now, actions);
    tally.states_loaded(now, actions);
    pass(1s);
    EXPECT_EQ(tally.census().by_state.at(Health::down), 1U);
    rank(Rank::none);
    EXPECT_EQ(tally.census().by_state.at(Health::up), 1U);
    rank(Rank::first);
    pass(3s);
    EXPECT_TRUE(puts().empty());
    hears("w1", Opinion::down);
    const auto down = stored();
    EXPECT_EQ(down.state, Health::down);
    EXPECT_EQ(down.transition, older.transition + 1);
}

TEST_F(TallyTest, WhoCeasesToTallyATargetKeepsWhatTheBucketHasNoStateFor) {
    load({"db1"});
    hears("w1", Opinion::up);
    const auto before = stored();
    tally.states_opened();
    tally.states_loaded(now, actions);
    rank(Rank::none);
    EXPECT_EQ(tally.census().by_state.at(Health::up), 1U) << "absence removes nothing";
    rank(Rank::first);
    pass(2s);
    EXPECT_EQ(stored(), before) << "nobody else has put it back";
}

TEST_F(TallyTest, ASpoiledValueIsOverwritten) {
    load({"db1"});
    hears("w1", Opinion::up);
    const auto before = stored();
    tally.unreadable_state("db1", 500, now, actions);
    const auto found = puts();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].expected, 500U);
    EXPECT_EQ(found[0].state, before);
}

TEST_F(TallyTest, ADeleteMarkerRemovesTheState) {
    load({"db1"});
    hears("w1", Opinion::up);
    stored();
    actions.clear();
    tally.definition_removed("db1", now, actions);
    ASSERT_EQ(actions.size(), 1U);
    const auto* remove = std::get_if<RemoveState>(&actions[0]);
    ASSERT_NE(remove, nullptr);
    EXPECT_EQ(remove->target, "db1");
    EXPECT_EQ(remove->expected, 101U);
    actions.clear();
    tally.written("db1", Written::stored, 101, 102, now, actions);
    pass(10s);
    EXPECT_TRUE(actions.empty());
    EXPECT_EQ(hears("w1", Opinion::up), Heard::unknown_target);
}

TEST_F(TallyTest, ATargetDefinedAnewStartsAgainBehindTheMarker) {
    load({"db1"});
    hears("w1", Opinion::up);
    stored();
    tally.definition_removed("db1", now, actions);
    actions.clear();
    tally.written("db1", Written::stored, 101, 102, now, actions);
    tally.definition(definition("db1"), now, actions);
    hears("w1", Opinion::up);
    const auto found = puts();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].expected, 102U);
    EXPECT_EQ(found[0].state.transition, 1U);
}

TEST_F(TallyTest, AbsenceRemovesNothing) {
    contract::State state;
    state.target = "stranger";
    state.state = Health::up;
    state.transition = 3;
    tally.definitions_loaded(now, actions);
    tally.states_opened();
    tally.state("stranger", state, 42, true, now, actions);
    tally.states_loaded(now, actions);
    pass(60s);
    EXPECT_TRUE(actions.empty());
}

TEST_F(TallyTest, AStateDeletedByHandIsPutBack) {
    load({"db1"});
    hears("w1", Opinion::up);
    const auto before = stored();
    tally.state_removed("db1", 300, false, now, actions);
    const auto found = puts();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].expected, 300U);
    EXPECT_EQ(found[0].state, before);
}

TEST_F(TallyTest, AStalledObserverIsNoReasonForADown) {
    tally.members({"w1", "w2"}, now, actions);
    load({"db1"});
    hears("w1", Opinion::down);
    auto stalled = ping("w1", Opinion::down);
    stalled.verdict = Verdict::inconclusive;
    stalled.reason = Reason::observer_stalled;
    hears(stalled);
    auto timed_out = ping("w2", Opinion::down);
    timed_out.reason = Reason::timeout;
    hears(timed_out);
    const auto down = stored();
    EXPECT_EQ(down.state, Health::down);
    EXPECT_EQ(down.reason, Reason::timeout);
}

TEST_F(TallyTest, WhatChangesBesideTheStateTakesItNoGrounds) {
    load({"db1"});
    hears("w1", Opinion::up);
    const auto up = stored();
    // The worker was started again, and knows nothing yet.
    auto p = ping("w1", Opinion::undecided);
    p.run = "00000000000000bb";
    p.role = contract::Role::primary;
    p.writable = true;
    hears(p);
    const auto primary = stored();
    EXPECT_EQ(primary.state, Health::up);
    EXPECT_EQ(primary.role, contract::Role::primary);
    EXPECT_EQ(primary.evidence, up.evidence);
}

TEST_F(TallyTest, TheEvidenceNamesNobodyWhoFellSilentBefore) {
    tally.members({"w1", "w2"}, now, actions);
    load({"db1"});
    hears("w1", Opinion::up);
    hears("w2", Opinion::up);
    EXPECT_EQ(stored().evidence.size(), 2U);
    keeps_saying("w1", Opinion::up, 6s);
    EXPECT_TRUE(puts().empty());
    hears("w1", Opinion::down);
    const auto down = stored();
    EXPECT_EQ(down.state, Health::down);
    ASSERT_EQ(down.evidence.size(), 1U);
    EXPECT_EQ(down.evidence[0].worker, "w1");
    pass(6s);
    const auto unknown = stored();
    EXPECT_EQ(unknown.state, Health::unknown);
    EXPECT_EQ(unknown.evidence.size(), 2U) << "who fell silent, and when";
}

TEST_F(TallyTest, TargetsAreCountedByState) {
    load({"db1", "db2"});
    hears("w1", Opinion::up);
    stored();
    EXPECT_EQ(tally.census().by_state.at(Health::up), 1U);
    EXPECT_EQ(tally.census().by_state.at(Health::down), 0U);
}

}  // namespace
}  // namespace pgpulse::aggregator
