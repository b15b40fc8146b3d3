#include "common/runtime/membership_feed.hpp"

#include "common/contract/names.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <random>

namespace pgpulse::runtime {
namespace {

using Clock = std::chrono::steady_clock;
using cluster::Membership;

constexpr std::chrono::milliseconds kTick{50};
constexpr std::chrono::seconds kRivalLine{10};

nats::BucketConfig members_bucket(int replicas) {
    nats::BucketConfig config;
    config.name = contract::kMembersBucket;
    config.ttl = Membership::kTtl;
    config.replicas = replicas;
    return config;
}

}  // namespace

std::string random_run() {
    std::random_device device;
    return fmt::format("{:08x}{:08x}", device(), device());
}

MembershipFeed::MembershipFeed(nats::Connection& connection, const contract::Member& own, Events events,
                               int replicas)
    : connection_(connection),
      events_(std::move(events)),
      membership_(own),
      key_(contract::member_key(own.kind, own.id)),
      bucket_(connection, {members_bucket(replicas)}) {
    thread_ = std::thread{[this] { run(); }};
    watch_ = std::make_unique<nats::BucketWatch>(
        connection_, std::string{contract::kMembersBucket},
        [this](nats::BucketEvent event) { mailbox_.post(std::move(event)); });
}

MembershipFeed::~MembershipFeed() {
    mailbox_.post(Stop{});
    if (thread_.joinable()) thread_.join();
    watch_.reset();
}

void MembershipFeed::leave() {
    mailbox_.post(Stop{});
    if (thread_.joinable()) thread_.join();
    // Of an id that is shared or taken the key is the other's as well.
    if (membership_.standing() == Membership::Standing::taken || !membership_.rival(Clock::now()).empty())
        return;
    if (!connection_.connected()) return;
    static_cast<void>(nats::delete_unacknowledged(connection_, contract::kMembersBucket, key_));
}

void MembershipFeed::run() {
    std::vector<Event> batch;
    for (;;) {
        mailbox_.take_until(batch, Clock::now() + kTick);
        const auto now = Clock::now();
        for (const Event& event : batch) {
            if (std::holds_alternative<Stop>(event)) return;
            take(std::get<nats::BucketEvent>(event), now);
        }
        if (events_.aside && serving_.load()) {
            const auto phase = membership_.own().phase;
            membership_.stand_aside(events_.aside());
            if (membership_.own().phase != phase) next_refresh_ = now;  // others are to know at once
        }
        if (membership_.tick(now)) {
            if (membership_.standing() == Membership::Standing::taken) {
                events_.on_taken("--id: '" + membership_.own().id + "' is the id of another " +
                                 std::string{to_string(membership_.own().kind)} + " that is running (run " +
                                 membership_.rival(now) + "); expected one of its own");
                return;
            }
            if (!serving_.exchange(true)) {
                // Whoever hands over waits for this word.
                next_refresh_ = now;
            }
            const Membership::View& view = membership_.view();
            members_.store(view.probes.size() + view.aggregators.size() + view.bridges.size());
            events_.on_view(view);
        }
        steady_.store(membership_.steady(now));
        report(now);
        if (connection_.connected()) refresh(now);
    }
}

void MembershipFeed::take(const nats::BucketEvent& event, Clock::time_point now) {
    if (event.kind == nats::BucketEvent::Kind::value) {
        const auto member = contract::decode_member(event.key, event.value);
        if (member) {
            membership_.heard(*member, now);
            if (events_.on_server_time)
                events_.on_server_time(contract::WallTime{std::chrono::microseconds{event.stored_at_us}});
        } else {
            spdlog::debug("bucket '{}', key '{}': {}", contract::kMembersBucket, event.key,
                          member.error().detail);
        }
    } else if (event.kind == nats::BucketEvent::Kind::removed) {
        if (const auto key = contract::parse_member_key(event.key)) membership_.left(key->kind, key->id);
    }
}

void MembershipFeed::refresh(Clock::time_point now) {
    // One that did not turn in time is refreshed as soon as it does: the other members wait no longer than for a TTL.
    if (now < next_refresh_ || !events_.working()) return;
    next_refresh_ = now + Membership::kRefresh;
    // A failure shows by itself: no echo comes.
    static_cast<void>(nats::put_unacknowledged(connection_, contract::kMembersBucket, key_,
                                               contract::encode(membership_.own())));
}

void MembershipFeed::report(Clock::time_point now) {
    const bool frozen = serving_.load() && !steady_.load();
    if (frozen != frozen_told_) {
        if (frozen) {
            spdlog::warn(
                "does not hear itself in bucket '{}': who observes what stays as it is until it does",
                contract::kMembersBucket);
        } else {
            spdlog::info("hears itself in bucket '{}' again", contract::kMembersBucket);
        }
        frozen_told_ = frozen;
        if (events_.on_frozen) events_.on_frozen(frozen);
    }
    const std::string rival = membership_.rival(now);
    if (rival.empty() || !serving_.load() || now < next_rival_line_) return;
    next_rival_line_ = now + kRivalLine;
    spdlog::error(
        "--id: '{}' is also the id of another running {} (run {}); expected one of its own for each",
        membership_.own().id, to_string(membership_.own().kind), rival);
}

}  // namespace pgpulse::runtime
