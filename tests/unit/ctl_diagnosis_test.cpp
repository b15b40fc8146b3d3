#include "common/contract/names.hpp"
#include "ctl/diagnosis.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <functional>
#include <string>
#include <vector>

namespace pgpulse::ctl {
namespace {

using contract::MemberKind;
using contract::MemberPhase;
using testing::HasSubstr;
using testing::IsEmpty;

contract::Member member(MemberKind kind, const std::string& id, MemberPhase phase = MemberPhase::serving) {
    return {kind, id, "0123456789abcdef", "", phase};
}

/// All is well.
PipelineSeen healthy() {
    PipelineSeen seen;
    for (const std::string_view bucket :
         {contract::kTargetsBucket, contract::kMembersBucket, contract::kStateBucket}) {
        StreamSeen& stream = seen.buckets.emplace_back();
        stream.name = bucket;
        stream.per_subject = 64;
        if (bucket == contract::kStateBucket) stream.republish_to = "health.state.{{wildcard(1)}}";
    }
    seen.history.name = contract::kHistoryStream;
    for (const char* id : {"1", "2"}) {
        seen.members.push_back(member(MemberKind::probe, std::string{"w"} + id));
        seen.members.push_back(member(MemberKind::aggregator, std::string{"a"} + id));
        seen.members.push_back(member(MemberKind::bridge, std::string{"b"} + id));
    }
    seen.observers_wanted = {{"db1", 2}};
    seen.states = {{"db1", contract::Health::up}};
    seen.heard = {{"w1", {3, {}, false}}, {"w2", {3, {}, false}}};
    seen.shares = {{"w1", 1}, {"w2", 1}};
    seen.listened = std::chrono::seconds{3};
    seen.own_clock_ahead = std::chrono::milliseconds{1};
    return seen;
}

/// "failure probes: none serves: nothing is pinged", all that is not ok.
std::vector<std::string> complaints(const PipelineSeen& seen) {
    std::vector<std::string> lines;
    for (const Finding& finding : diagnose(seen)) {
        if (finding.grade == Grade::ok) continue;
        EXPECT_NE(finding.advice, "") << finding.text;
        lines.push_back(std::string{to_string(finding.grade)} + " " + finding.subject + ": " + finding.text);
    }
    return lines;
}

TEST(Diagnosis, OfAHealthyPipelineIsNoComplaint) { EXPECT_THAT(complaints(healthy()), IsEmpty()); }

TEST(Diagnosis, WithoutJetStreamSaysOnlyThat) {
    PipelineSeen seen = healthy();
    seen.jetstream_fault = "JetStream: no responders";
    EXPECT_THAT(complaints(seen), testing::ElementsAre("failure JetStream: JetStream: no responders"));
}

TEST(Diagnosis, EachPartHasItsComplaint) {
    struct Row {
        std::function<void(PipelineSeen&)> broken;
        std::string complaint;
    };
    const auto erase = [](MemberKind kind, std::size_t left) {
        return [kind, left](PipelineSeen& seen) {
            std::size_t kept = 0;
            std::erase_if(seen.members,
                          [&](const contract::Member& one) { return one.kind == kind && ++kept > left; });
        };
    };
    const std::vector<Row> rows{
        {[](auto& s) { s.buckets[2].fault = "is not there"; }, "failure bucket health: is not there"},
        {[](auto& s) { s.buckets[2].republish_to.clear(); }, "failure bucket health: does not republish"},
        {[](auto& s) { s.buckets[2].per_subject = 1; },
         "warning bucket health: keeps 1 values a key, not 64"},
        {[](auto& s) { s.buckets[0].replicas = 3; },
         "warning bucket health_targets: 1 of 3 replicas are current"},
        {[](auto& s) { s.stored_bytes = 9, s.most_stored_bytes = 10; }, "warning JetStream: "},
        {[](auto& s) { s.refused_definitions = {"db7"}; },
         "failure definitions: 1 value cannot be read: db7"},
        {[](auto& s) { s.observers_wanted.clear(), s.states.clear(); },
         "warning definitions: there are no targets"},
        {erase(MemberKind::probe, 0), "failure probes: none serves"},
        {erase(MemberKind::probe, 1), "warning probes: 1 serve, and targets want up to 2 observers"},
        {[](auto& s) { s.heard.erase("w2"); }, "failure pings: none in 3 s from w2"},
        {[](auto& s) { s.heard["w2"].suspect = true; }, "warning pings: w2 doubts itself"},
        {erase(MemberKind::aggregator, 0), "failure aggregators: none serves"},
        {erase(MemberKind::aggregator, 1), "warning aggregators: one serves"},
        {erase(MemberKind::bridge, 0), "note bridges: none runs"},
        {erase(MemberKind::bridge, 1), "warning bridges: one serves"},
        {[](auto& s) { s.members.back().phase = MemberPhase::aside; },
         "warning bridges: 1 bridge stands aside"},
        {[](auto& s) { s.states.clear(); }, "failure states: 1 target without a state: db1"},
        {[](auto& s) { s.states["db1"] = contract::Health::unknown; },
         "warning states: 1 target unknown: db1"},
        {[](auto& s) { s.states["db1"] = contract::Health::down; }, "note states: 1 target down: db1"},
        {[](auto& s) { s.states["db2"] = contract::Health::up; },
         "note states: 1 state without a definition: db2"},
        {[](auto& s) { s.heard["w1"].clock_ahead = std::chrono::hours{1}; },
         "note clocks: not the NATS server's time: w1 by +3600.0 s"},
        {[](auto& s) { s.own_clock_ahead = std::chrono::seconds{-9}; },
         "note clocks: not the NATS server's time: this machine by -9.0 s"},
    };
    for (const Row& row : rows) {
        PipelineSeen seen = healthy();
        row.broken(seen);
        EXPECT_THAT(complaints(seen), testing::Contains(HasSubstr(row.complaint))) << row.complaint;
    }
}

TEST(Diagnosis, NamesFiveAndCountsTheRest) {
    PipelineSeen seen = healthy();
    for (int i = 2; i < 10; ++i) seen.observers_wanted["db" + std::to_string(i)] = 1;
    EXPECT_THAT(
        complaints(seen),
        testing::Contains(HasSubstr("8 targets without a state: db2, db3, db4, db5, db6 and 3 more")));
}

}  // namespace
}  // namespace pgpulse::ctl
