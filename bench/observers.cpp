#include "bench/observers.hpp"

#include "bench/arguments.hpp"
#include "bench/fleet.hpp"
#include "common/contract/names.hpp"
#include "common/contract/ping.hpp"
#include "common/runtime/membership_feed.hpp"

#include <algorithm>

namespace pgpulse::bench {
namespace {

constexpr std::int64_t kMonoOffsetMs = 1'000'000'000'000;  // thirteen digits, whatever the uptime
constexpr std::chrono::seconds kFlushPatience{10};

void write_digits(char* last, std::uint64_t value, std::size_t width) {
    for (std::size_t i = 0; i < width; ++i, value /= 10) *last-- = static_cast<char>('0' + value % 10);
}

}  // namespace

PreparedPing::PreparedPing(std::string worker, std::string run, std::size_t target,
                           contract::Opinion opinion) {
    const bool up = opinion == contract::Opinion::up;
    contract::Ping ping;
    ping.target = target_name(target);
    ping.worker = std::move(worker);
    ping.site = "bench";
    ping.run = std::move(run);
    ping.seq = kFirstSeq;
    ping.mono_ms = kMonoOffsetMs;
    ping.at = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
    ping.verdict = up ? contract::Verdict::accepting : contract::Verdict::no_response;
    ping.reason = up ? contract::Reason::ok : contract::Reason::refused;
    if (up) ping.rtt_us = 512 + static_cast<std::int64_t>(target % 300);
    ping.opinion = opinion;
    ping.streak = up ? 1234 : 3;
    subject_ = contract::ping_subject(ping.worker, ping.target);
    payload_ = encode(ping);
    seq_ = last_digit("\"seq\":", kFirstSeq);
    mono_ = last_digit("\"mono_ms\":", kMonoOffsetMs);
}

void PreparedPing::renew(std::uint64_t seq, std::chrono::steady_clock::time_point now) {
    using std::chrono::milliseconds;
    const auto mono = std::chrono::duration_cast<milliseconds>(now.time_since_epoch()).count();
    write_digits(&payload_[seq_], seq, 10);
    write_digits(&payload_[mono_], static_cast<std::uint64_t>(kMonoOffsetMs + mono), 13);
}

template <typename Number>
std::size_t PreparedPing::last_digit(std::string_view key, Number value) const {
    const std::string text = std::string{key} + std::to_string(value);
    const auto at = payload_.find(text);
    if (at == std::string::npos) give_up("no " + text + " in an encoded ping");
    return at + text.size() - 1;
}

Observers::Observers(const std::string& url, const char* program, Size size)
    : size_(size), connection_(connect(url, program)) {
    std::vector<contract::Member> members;
    pings_.reserve(size.workers * size.targets);
    for (std::size_t worker = 0; worker < size.workers; ++worker) {
        runs_.push_back(runtime::random_run());
        contract::Member member;
        member.id = worker_name(worker);
        member.run = runs_.back();
        member.site = "bench";
        members.push_back(std::move(member));
        for (std::size_t target = 0; target < size.targets; ++target)
            pings_.emplace_back(worker_name(worker), runs_.back(), target, contract::Opinion::up);
    }
    members_ = std::make_unique<Members>(url, members);
    rest();
}

void Observers::hold(std::size_t worker, std::size_t target, contract::Opinion opinion) {
    pings_[worker * size_.targets + target] =
        PreparedPing{worker_name(worker), runs_[worker], target, opinion};
}

void Observers::publish(std::size_t worker, std::size_t target) {
    publish(pings_[worker * size_.targets + target]);
}

void Observers::publish(PreparedPing& ping) {
    ping.renew(++seq_, Clock::now());
    const natsStatus s =
        natsConnection_Publish(connection_->handle(), ping.subject().c_str(), ping.payload().data(),
                               static_cast<int>(ping.payload().size()));
    if (s != NATS_OK) give_up("publish on " + ping.subject() + ": " + natsStatus_GetText(s));
}

void Observers::keep_pace(std::chrono::nanoseconds interval) {
    const auto each = interval / static_cast<std::int64_t>(pings_.size());
    const auto now = Clock::now();
    if (now - paced_ > interval) paced_ = now - interval;
    for (; paced_ + each <= now; paced_ += each) {
        publish(pings_[next_]);
        next_ = (next_ + 1) % pings_.size();
    }
}

void Observers::flush() {
    if (const auto flushed = connection_->flush(kFlushPatience); !flushed) give_up(flushed.error().text);
}

}  // namespace pgpulse::bench
