#include "ctl/diagnosis.hpp"

#include "common/contract/names.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace pgpulse::ctl {
namespace {

using contract::Member;
using contract::MemberKind;
using contract::MemberPhase;
using std::chrono::milliseconds;

constexpr std::size_t kMostNamed = 5;
constexpr milliseconds kClockOff{2000};
constexpr double kNearlyFull = 0.8;
constexpr std::int64_t kStateHistory = 64;

/// "db1, db2 and 3 more"
std::string named(const std::vector<std::string>& names) {
    std::string text;
    for (std::size_t i = 0; i < std::min(names.size(), kMostNamed); ++i)
        text += (i == 0 ? "" : ", ") + names[i];
    if (names.size() > kMostNamed) text += fmt::format(" and {} more", names.size() - kMostNamed);
    return text;
}

std::string counted(std::size_t count, std::string_view one) {
    return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

class Report {
  public:
    void ok(std::string subject, std::string text) {
        findings_.push_back({Grade::ok, std::move(subject), std::move(text), {}});
    }
    void add(Grade grade, std::string subject, std::string text, std::string advice) {
        findings_.push_back({grade, std::move(subject), std::move(text), std::move(advice)});
    }
    std::vector<Finding> take() { return std::move(findings_); }

  private:
    std::vector<Finding> findings_;
};

void judge_jetstream(const PipelineSeen& seen, Report& report) {
    if (!seen.jetstream_fault.empty()) {
        report.add(Grade::failure, "JetStream", seen.jetstream_fault,
                   "switch it on in nats-server's configuration (jetstream {}) and for this user's account; "
                   "where no "
                   "answer came, look at this user's rights and NATS_INBOX_PREFIX (docs/nats-rights.md)");
        return;
    }
    const bool limited = seen.most_stored_bytes > 0;
    const double share =
        limited ? static_cast<double>(seen.stored_bytes) / static_cast<double>(seen.most_stored_bytes) : 0;
    const std::string text =
        fmt::format("{:.1f} MB kept", static_cast<double>(seen.stored_bytes) / 1e6) +
        (limited ? fmt::format(", {:.0f} % of the account's limit", share * 100) : std::string{});
    if (share > kNearlyFull)
        report.add(Grade::warning, "JetStream", text,
                   "raise the account's limit before states can no longer be stored");
    else
        report.ok("JetStream", text);
}

void judge_stream(const StreamSeen& stream, const char* kind, Report& report) {
    const std::string subject = std::string{kind} + " " + stream.name;
    if (!stream.fault.empty()) {
        report.add(Grade::failure, subject, stream.fault,
                   stream.absent
                       ? "start an aggregator, which creates it"
                       : "look at the NATS servers, and at this user's rights (docs/nats-rights.md)");
        return;
    }
    if (stream.replicas_current < stream.replicas) {
        report.add(Grade::warning, subject,
                   fmt::format("{} of {} replicas are current", stream.replicas_current, stream.replicas),
                   "look at the NATS servers: one is away or behind");
        return;
    }
    if (stream.name == contract::kStateBucket && stream.per_subject < kStateHistory) {
        report.add(Grade::warning, subject,
                   fmt::format("keeps {} values a key, not {}", stream.per_subject, kStateHistory),
                   "nats kv edit health --history=64");
        return;
    }
    if (stream.name == contract::kStateBucket && stream.republish_to.empty()) {
        report.add(Grade::failure, subject, "does not republish to health.state.<target>",
                   "recreate it: stop the aggregators, nats kv del health, start them; definitions stay");
        return;
    }
    report.ok(subject,
              stream.replicas == 1 ? "one replica" : counted(stream.replicas, "replica") + ", all current");
}

/// Whether what is said of a bucket's content rests on anything: what could not be read may hold everything.
bool is_known(const PipelineSeen& seen, std::string_view bucket) {
    const auto found = std::ranges::find(seen.buckets, bucket, &StreamSeen::name);
    return found == seen.buckets.end() || found->fault.empty() || found->absent;
}

void judge_definitions(const PipelineSeen& seen, Report& report) {
    if (!seen.refused_definitions.empty()) {
        report.add(Grade::failure, "definitions",
                   counted(seen.refused_definitions.size(), "value") +
                       " cannot be read: " + named(seen.refused_definitions),
                   "apply them again: pgpulse apply -f FILE");
    }
    if (seen.observers_wanted.empty())
        report.add(Grade::warning, "definitions", "there are no targets", "pgpulse apply -f targets.json");
    else
        report.ok("definitions", counted(seen.observers_wanted.size(), "target"));
}

std::size_t serving_count(const PipelineSeen& seen, MemberKind kind) {
    return static_cast<std::size_t>(std::ranges::count_if(seen.members, [kind](const Member& member) {
        return member.kind == kind && member.phase == MemberPhase::serving;
    }));
}

void judge_probes(const PipelineSeen& seen, Report& report) {
    const std::size_t probes = serving_count(seen, MemberKind::probe);
    if (probes == 0) {
        report.add(Grade::failure, "probes", "none serves: nothing is pinged", "start pgpulse-probe");
        return;
    }
    std::uint32_t wanted = 0;
    for (const auto& [target, observers] : seen.observers_wanted) wanted = std::max(wanted, observers);
    if (probes < wanted)
        report.add(Grade::warning, "probes",
                   fmt::format("{} serve, and targets want up to {} observers", probes, wanted),
                   "start more workers, best on other machines or sites");
    else
        report.ok("probes", counted(probes, "worker") + (probes == 1 ? " serves" : " serve"));

    std::vector<std::string> silent;
    std::vector<std::string> suspect;
    for (const auto& [worker, share] : seen.shares) {
        const auto heard = seen.heard.find(worker);
        if (heard == seen.heard.end()) {
            if (share > 0) silent.push_back(worker);
        } else if (heard->second.suspect) {
            suspect.push_back(worker);
        }
    }
    const double seconds = static_cast<double>(seen.listened.count()) / 1000;
    if (!silent.empty())
        report.add(Grade::failure, "pings", fmt::format("none in {} s from {}", seconds, named(silent)),
                   "look at its log and at its right to publish on health.ping.*.<id>.>");
    if (!suspect.empty())
        report.add(Grade::warning, "pings",
                   named(suspect) + " doubts itself: it fails to reach most of its targets",
                   "look at that machine's network");
    if (silent.empty() && suspect.empty() && !seen.shares.empty())
        report.ok("pings", "every worker that has targets was heard");
}

void judge_aggregators(const PipelineSeen& seen, Report& report) {
    const std::size_t aggregators = serving_count(seen, MemberKind::aggregator);
    if (aggregators == 0) {
        report.add(Grade::failure, "aggregators", "none serves: no state changes",
                   "start pgpulse-aggregator");
        return;
    }
    if (aggregators == 1)
        report.add(Grade::warning, "aggregators", "one serves: its death would stop the states",
                   "start a second one on another machine");
    else
        report.ok("aggregators", std::to_string(aggregators) + " serve");
}

void judge_bridges(const PipelineSeen& seen, Report& report) {
    const std::size_t bridges = serving_count(seen, MemberKind::bridge);
    const auto aside = std::ranges::count_if(seen.members, [](const Member& member) {
        return member.kind == MemberKind::bridge && member.phase == MemberPhase::aside;
    });
    if (bridges == 0 && aside == 0)
        report.add(Grade::note, "bridges", "none runs: Consul is told nothing",
                   "start pgpulse-consul-bridge, if Consul is to know");
    else if (aside > 0)
        report.add(
            Grade::warning, "bridges",
            counted(static_cast<std::size_t>(aside), "bridge") + " stands aside: its Consul agent is away",
            "look at that machine's Consul agent");
    else if (bridges == 1)
        report.add(Grade::warning, "bridges", "one serves: its death would leave Consul as it is",
                   "start a second one beside another Consul agent");
    else
        report.ok("bridges", std::to_string(bridges) + " serve");
}

void judge_states(const PipelineSeen& seen, Report& report) {
    std::vector<std::string> stateless;
    std::vector<std::string> orphans;
    std::vector<std::string> down;
    std::vector<std::string> unknown;
    for (const auto& [target, observers] : seen.observers_wanted) {
        const auto state = seen.states.find(target);
        if (state == seen.states.end())
            stateless.push_back(target);
        else if (state->second == contract::Health::down)
            down.push_back(target);
        else if (state->second == contract::Health::unknown)
            unknown.push_back(target);
    }
    for (const auto& [target, state] : seen.states) {
        if (!seen.observers_wanted.contains(target)) orphans.push_back(target);
    }
    if (!stateless.empty())
        report.add(Grade::failure, "states",
                   counted(stateless.size(), "target") + " without a state: " + named(stateless),
                   "pgpulse explain " + stateless.front());
    if (!unknown.empty())
        report.add(Grade::warning, "states",
                   counted(unknown.size(), "target") + " unknown: " + named(unknown),
                   "nobody observes them: pgpulse explain " + unknown.front());
    if (!orphans.empty())
        report.add(Grade::note, "states",
                   counted(orphans.size(), "state") + " without a definition: " + named(orphans),
                   "an aggregator that runs removes those that were deleted");
    if (!down.empty())
        report.add(Grade::note, "states", counted(down.size(), "target") + " down: " + named(down),
                   "pgpulse explain " + down.front());
    if (stateless.empty() && unknown.empty() && orphans.empty() && down.empty() && !seen.states.empty())
        report.ok("states", "all up");
}

void judge_clocks(const PipelineSeen& seen, Report& report) {
    std::vector<std::string> off;
    for (const auto& [worker, heard] : seen.heard) {
        if (abs(heard.clock_ahead) > kClockOff)
            off.push_back(fmt::format("{} by {:+.1f} s", worker,
                                      static_cast<double>(heard.clock_ahead.count()) / 1000));
    }
    if (seen.own_clock_ahead && abs(*seen.own_clock_ahead) > kClockOff)
        off.push_back(fmt::format("this machine by {:+.1f} s",
                                  static_cast<double>(seen.own_clock_ahead->count()) / 1000));
    if (off.empty())
        report.ok("clocks", "within two seconds of the NATS server's");
    else
        report.add(Grade::note, "clocks", "not the NATS server's time: " + named(off),
                   "no verdict rests on it; the times that people read are off (chrony, systemd-timesyncd)");
}

}  // namespace

std::vector<Finding> diagnose(const PipelineSeen& seen) {
    Report report;
    judge_jetstream(seen, report);
    if (seen.jetstream_fault.empty()) {
        for (const StreamSeen& bucket : seen.buckets) judge_stream(bucket, "bucket", report);
        judge_stream(seen.history, "stream", report);
        const bool targets_known = is_known(seen, contract::kTargetsBucket);
        if (targets_known) judge_definitions(seen, report);
        if (is_known(seen, contract::kMembersBucket)) {
            judge_probes(seen, report);
            judge_aggregators(seen, report);
            judge_bridges(seen, report);
        }
        if (targets_known && is_known(seen, contract::kStateBucket)) judge_states(seen, report);
        judge_clocks(seen, report);
    }
    return report.take();
}

std::string_view to_string(Grade grade) {
    switch (grade) {
        case Grade::ok:
            return "ok";
        case Grade::note:
            return "note";
        case Grade::warning:
            return "warning";
        case Grade::failure:
            return "failure";
    }
    return "";
}

}  // namespace pgpulse::ctl
