#include "ctl/doctor.hpp"

#include "common/cluster/rendezvous.hpp"
#include "common/contract/names.hpp"
#include "common/contract/ping.hpp"
#include "common/contract/state.hpp"
#include "common/contract/target.hpp"
#include "common/nats/stream_facts.hpp"
#include "common/nats/subscription.hpp"
#include "common/runtime/clock.hpp"
#include "ctl/bucket_snapshot.hpp"
#include "ctl/connect.hpp"
#include "ctl/diagnosis.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/member_list.hpp"
#include "ctl/state_table.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <iostream>
#include <mutex>
#include <thread>

namespace pgpulse::ctl {
namespace {

using std::chrono::milliseconds;

constexpr int kBroken = 1;
constexpr milliseconds kListening{3000};
/// A fleet publishes more than this program has to read.
constexpr int kMostPingsWaiting = 20'000;

StreamSeen look_at(nats::Connection& connection, const std::string& name, const std::string& stream) {
    StreamSeen seen;
    seen.name = name;
    const auto facts = nats::look_at_stream(connection, stream);
    if (!facts) {
        seen.absent = facts.error().status == NATS_NOT_FOUND;
        seen.fault = seen.absent ? "is not there" : facts.error().text;
        return seen;
    }
    seen.replicas = facts->replicas;
    seen.replicas_current = facts->replicas_current;
    seen.per_subject = facts->per_subject;
    seen.republish_to = facts->republish_to;
    return seen;
}

/// Follows the members for a while: their values, how far this clock is ahead of the server's, which stamps them, and
/// what the workers publish meanwhile.
class Listening {
  public:
    Listening(nats::Connection& connection, std::chrono::milliseconds time)
        : members_(connection, std::string{contract::kMembersBucket},
                   [this](const nats::BucketEvent& event) { take_member(event); }),
          pings_(nats::Subscription::open(
              connection, std::string{contract::kAllPings},
              [this](const nats::Message& message) { take_ping(message); }, kMostPingsWaiting)) {
        std::this_thread::sleep_for(time);
        if (pings_) pings_->reset();
        const std::lock_guard lock{mutex_};
        over_ = true;
    }

    void tell(PipelineSeen& seen) {
        const std::lock_guard lock{mutex_};
        seen.own_clock_ahead = own_ahead_;
        seen.heard = heard_;
        // A worker's clock against this one, and this one against the server's.
        for (auto& [worker, heard] : seen.heard) heard.clock_ahead += own_ahead_.value_or(milliseconds{0});
    }

  private:
    std::mutex mutex_;
    bool loaded_ = false;
    bool over_ = false;
    std::optional<milliseconds> own_ahead_;
    std::map<std::string, WorkerHeard> heard_;
    nats::BucketWatch members_;
    nats::Result<std::unique_ptr<nats::Subscription>> pings_;

    void take_member(const nats::BucketEvent& event) {
        const auto now = runtime::wall_now();
        const std::lock_guard lock{mutex_};
        if (event.kind == nats::BucketEvent::Kind::opened) loaded_ = false;
        if (event.kind == nats::BucketEvent::Kind::loaded) loaded_ = true;
        // Before `loaded` values are old; from then on each has just been stored.
        if (!loaded_ || over_ || event.kind != nats::BucketEvent::Kind::value) return;
        const contract::WallTime stored{std::chrono::microseconds{event.stored_at_us}};
        const auto ahead = std::chrono::duration_cast<milliseconds>(now - stored);
        if (!own_ahead_ || ahead < *own_ahead_) own_ahead_ = ahead;
    }

    void take_ping(const nats::Message& message) {
        const auto ping = contract::decode_ping(nats::subject_of(message), nats::payload_of(message));
        if (!ping) return;
        const auto ahead = std::chrono::duration_cast<milliseconds>(ping->at - runtime::wall_now());
        const std::lock_guard lock{mutex_};
        WorkerHeard& heard = heard_[ping->worker];
        heard.clock_ahead = heard.pings == 0 ? ahead : std::max(heard.clock_ahead, ahead);
        ++heard.pings;
        heard.suspect = ping->suspect;
    }
};

/// What the buckets hold. Empty where one of them cannot be read: its fault is in `seen.buckets`.
void read_buckets(nats::Connection& connection, const Options& options, PipelineSeen& seen) {
    const auto fault_of = [&seen](std::string_view bucket) -> std::string& {
        return std::ranges::find(seen.buckets, bucket, &StreamSeen::name)->fault;
    };
    const auto read = [&](std::string_view bucket) {
        Values values;
        std::string& fault = fault_of(bucket);
        if (!fault.empty()) return values;
        auto all = read_bucket(connection, bucket, options.timeout);
        if (all)
            values = std::move(*all);
        else
            fault = all.error();
        return values;
    };
    for (const auto& [name, entry] : read(contract::kTargetsBucket)) {
        const auto stored = contract::decode_definition(name, entry.value);
        if (stored)
            seen.observers_wanted.emplace(name, stored->definition.observers);
        else
            seen.refused_definitions.push_back(name);
    }
    for (const auto& [name, entry] : read(contract::kStateBucket)) {
        const auto state = contract::decode_state(name, entry.value);
        if (state) seen.states.emplace(name, state->state);
    }
    seen.members = members_in(read(contract::kMembersBucket));
}

void find_shares(PipelineSeen& seen) {
    const auto probes = serving(seen.members, contract::MemberKind::probe);
    for (const std::string& probe : probes) seen.shares[probe] = 0;
    const cluster::Rendezvous ranks{probes};
    for (const auto& [target, observers] : seen.observers_wanted) {
        for (const std::string& probe : ranks.owners(target, observers)) ++seen.shares[probe];
    }
}

PipelineSeen look_at_pipeline(nats::Connection& connection, const Options& options) {
    PipelineSeen seen;
    const auto jetstream = nats::look_at_jetstream(connection);
    if (!jetstream) {
        seen.jetstream_fault = jetstream.error().text;
        return seen;
    }
    seen.stored_bytes = jetstream->stored_bytes;
    seen.most_stored_bytes = jetstream->most_stored_bytes;
    for (const std::string_view bucket :
         {contract::kTargetsBucket, contract::kMembersBucket, contract::kStateBucket})
        seen.buckets.push_back(look_at(connection, std::string{bucket}, "KV_" + std::string{bucket}));
    seen.history =
        look_at(connection, std::string{contract::kHistoryStream}, std::string{contract::kHistoryStream});
    read_buckets(connection, options, seen);
    find_shares(seen);
    seen.listened = std::min(kListening, options.timeout);
    Listening{connection, seen.listened}.tell(seen);
    return seen;
}

const char* grade_colour(Grade grade) {
    switch (grade) {
        case Grade::ok:
            return colour_of(contract::Health::up);
        case Grade::warning:
            return colour_of(contract::Health::unknown);
        case Grade::failure:
            return colour_of(contract::Health::down);
        case Grade::note:
            break;
    }
    return "";
}

void print_text(const std::vector<Finding>& findings) {
    constexpr std::size_t kGradeWidth = 9;
    std::size_t widest = 0;
    for (const Finding& finding : findings) widest = std::max(widest, finding.subject.size());
    const bool colours = colours_wanted();
    for (const Finding& finding : findings) {
        const std::string word{to_string(finding.grade)};
        const std::string_view colour = colours ? grade_colour(finding.grade) : "";
        std::cout << colour << word << (colour.empty() ? "" : "\x1b[0m")
                  << std::string(kGradeWidth - word.size(), ' ') << finding.subject
                  << std::string(widest + 2 - finding.subject.size(), ' ') << finding.text << '\n';
        if (!finding.advice.empty())
            std::cout << std::string(kGradeWidth + widest + 2, ' ') << "-> " << finding.advice << '\n';
    }
}

void print_json(const std::vector<Finding>& findings) {
    for (const Finding& finding : findings) {
        nlohmann::ordered_json line{
            {"grade", to_string(finding.grade)}, {"subject", finding.subject}, {"text", finding.text}};
        if (!finding.advice.empty()) line["advice"] = finding.advice;
        std::cout << line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
    }
}

}  // namespace

int run_doctor(const Options& options) {
    const auto connection = connect(options);
    if (!connection) return connection.error();
    if (!(*connection)->flush(options.timeout)) {
        std::cerr << "pgpulse: NATS cannot be reached; waited "
                  << static_cast<double>(options.timeout.count()) / 1000 << " s\n";
        return kUnreachable;
    }
    const std::vector<Finding> findings = diagnose(look_at_pipeline(**connection, options));
    if (options.json)
        print_json(findings);
    else
        print_text(findings);
    std::cout.flush();
    const bool broken =
        std::ranges::any_of(findings, [](const Finding& finding) { return finding.grade == Grade::failure; });
    return broken ? kBroken : 0;
}

}  // namespace pgpulse::ctl
