#include "tests/support/pinging_worker.hpp"

#include "common/contract/names.hpp"
#include "common/runtime/clock.hpp"

#include <chrono>
#include <stdexcept>

namespace pgpulse::support {

PingingWorker::PingingWorker(nats::Connection& connection, std::string id, int replicas)
    : connection_(connection),
      id_(std::move(id)),
      run_(runtime::random_run()),
      feed_(connection,
            contract::Member{contract::MemberKind::probe, id_, run_, "", contract::MemberPhase::starting},
            {[this] { return working_.load(); }, [](const cluster::Membership::View&) {},
             [](const std::string&) {}},
            replicas) {}

contract::Ping PingingWorker::ping(const std::string& target, contract::Opinion opinion) {
    contract::Ping ping;
    ping.target = target;
    ping.worker = id_;
    ping.run = run_;
    ping.seq = ++seq_;
    ping.mono_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(runtime::mono_now().time_since_epoch()).count();
    ping.at = runtime::wall_now();
    ping.opinion = opinion;
    ping.streak = 3;
    ping.verdict =
        opinion == contract::Opinion::down ? contract::Verdict::no_response : contract::Verdict::accepting;
    ping.reason = opinion == contract::Opinion::down ? contract::Reason::refused : contract::Reason::ok;
    return ping;
}

void PingingWorker::publish(const contract::Ping& ping) {
    if (const auto sent = connection_.publish(contract::ping_subject(id_, ping.target), encode(ping)); !sent)
        throw std::runtime_error{sent.error().text};
}

}  // namespace pgpulse::support
