#include "consul-bridge/self_registration.hpp"

#include "consul-bridge/http_status.hpp"

#include <spdlog/spdlog.h>

#include <vector>

namespace pgpulse::consul_bridge {
namespace {

using runtime::mono_now;
using std::chrono::milliseconds;

/// The check's TTL is 10 s.
constexpr milliseconds kBeat{2500};
constexpr milliseconds kLeaveAtMost{1000};
constexpr const char* kNoAnswer = "Consul's agent does not answer";  // why is said by the mirror

}  // namespace

SelfRegistration::SelfRegistration(const ConsulOptions& consul, SelfService service, Events events)
    : service_(std::move(service)), events_(std::move(events)), client_(consul) {
    thread_ = std::thread{[this] { run(); }};
}

SelfRegistration::~SelfRegistration() {
    leave();
    std::vector<int> done;
    done_.take_until(done, leaving_since_.value_or(mono_now()) + kLeaveAtMost);
    client_.abort();
    thread_.join();
}

void SelfRegistration::report(Report report) { mailbox_.post(std::move(report)); }

void SelfRegistration::leave() {
    if (leaving_since_) return;
    leaving_since_ = mono_now();
    mailbox_.post(Leave{});
}

void SelfRegistration::run() {
    std::vector<Event> batch;
    auto next = mono_now() + kBeat;
    for (;;) {
        mailbox_.take_until(batch, next);
        for (Event& event : batch) {
            if (std::holds_alternative<Leave>(event)) {
                deregister();
                done_.post(0);
                return;
            }
            report_ = std::get<Report>(std::move(event));
        }
        next = mono_now() + kBeat;
        if (report_) keep(*report_);
    }
}

void SelfRegistration::keep(const Report& report) {
    const OwnCheck check = check_of_loop(report.check, events_.turned_at(), mono_now(), runtime::wall_now());
    Done done = told_ ? renew(*told_, check) : begin(check);
    if (told_ && done && done->answered) {
        // The agent was wiped, or let the service go.
        told_.reset();
        done = begin(check);
    }
    if (!done) told_ = check;
    say(done);
    if (!done && report.asks_for_others) ask_for_others();
}

SelfRegistration::Done SelfRegistration::renew(const OwnCheck& told, const OwnCheck& check) {
    if (auto fault = put_check(check)) return fault;
    // Words that come without another status the agent keeps to itself for minutes, unless it is registered again.
    const bool words_alone = told.passing == check.passing && told.output != check.output;
    return words_alone ? put_service(check) : std::nullopt;
}

SelfRegistration::Done SelfRegistration::begin(const OwnCheck& check) {
    if (auto fault = why_not_ours()) return fault;
    if (auto fault = put_service(check)) return fault;
    registered_ = true;
    if (auto fault = put_check(check)) return fault;
    return put_service(check);  // for its words, as above
}

SelfRegistration::Done SelfRegistration::why_not_ours() {
    const auto reply = client_.get("/v1/agent/service/" + service_.id());
    if (!reply) return no_answer(reply.error());
    const auto holder = read_holder(service_, reply->status, reply->body);
    if (!holder) return Fault{true, holder.error()};
    if (*holder == Holder::somebody_else) {
        return Fault{true, "Consul's agent has a service of this id that no bridge made; it is left alone"};
    }
    // Two bridges of one id: NATS lets one of them serve.
    if (*holder == Holder::another_run && !report_->serves) return Fault{true, ""};
    return std::nullopt;
}

SelfRegistration::Done SelfRegistration::put_service(const OwnCheck& check) {
    return put("/v1/agent/service/register", registration_of(service_, check.passing));
}

SelfRegistration::Done SelfRegistration::put_check(const OwnCheck& check) {
    return put("/v1/agent/check/update/" + service_.check_id(), update_of(check));
}

SelfRegistration::Done SelfRegistration::put(const std::string& path, const std::string& body) {
    const auto reply = client_.put(path, body);
    if (!reply) return no_answer(reply.error());
    if (reply->status != kOk) return Fault{true, refusal_of(service_, reply->status, reply->body)};
    return std::nullopt;
}

void SelfRegistration::ask_for_others() {
    const auto reply = client_.get("/v1/health/service/" + service_.name);
    if (!reply) return say_of_others(kNoAnswer);
    const auto one_passes = read_others(service_, reply->status, reply->body);
    if (!one_passes) return say_of_others(one_passes.error());
    say_of_others("");
    events_.on_others(*one_passes);
}

void SelfRegistration::deregister() {
    if (!registered_) return;
    const auto reply = client_.get("/v1/agent/service/" + service_.id());
    // Of an id that is shared the service is the other's as well.
    if (reply && read_holder(service_, reply->status, reply->body) != Holder::this_run) return;
    const Done done = put("/v1/agent/service/deregister/" + service_.id(), "");
    if (done) spdlog::warn("own service '{}' is not deregistered: {}", service_.id(), done->text);
}

SelfRegistration::Fault SelfRegistration::no_answer(const std::string& how) {
    events_.on_no_answer(how);
    return {false, kNoAnswer};
}

void SelfRegistration::say(const Done& done) {
    if (done && (done->text.empty() || done->text == trouble_)) return;
    if (done) {
        spdlog::warn("own service '{}' is not kept in Consul: {}; trying again", service_.id(), done->text);
        trouble_ = done->text;
    } else if (!trouble_.empty()) {
        spdlog::info("own service '{}' is kept in Consul now", service_.id());
        trouble_.clear();
    }
}

void SelfRegistration::say_of_others(const std::string& why) {
    if (why == blindness_) return;
    if (!why.empty()) {
        spdlog::warn("whether another bridge carries on is not known, so no target is marked stale: {}", why);
    }
    blindness_ = why;
}

}  // namespace pgpulse::consul_bridge
