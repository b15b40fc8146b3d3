#include "tests/support/pipeline.hpp"

#include "common/contract/vocabulary.hpp"
#include "tests/support/wait_until.hpp"

#include <nlohmann/json.hpp>

#include <fstream>
#include <stdexcept>

namespace pgpulse::support {
namespace {

constexpr std::chrono::seconds kAgreementDeadline{60};

nlohmann::json value_of(const ConsulAgent& consul, const std::string& target) {
    try {
        const auto raw = consul.kv_get_raw("health/" + target);
        return raw ? nlohmann::json::parse(*raw, nullptr, false) : nlohmann::json{};
    } catch (const std::runtime_error&) {
        return {};  // Consul is down, as some tests want it
    }
}

/// With a timeout that a loaded machine does not reach; pings are fresh for ten seconds then.
nlohmann::json target(const std::string& name, const PostgresServer& server) {
    return {{"name", name}, {"address", "127.0.0.1"}, {"port", server.port()}, {"timeout_ms", 7000}};
}

}  // namespace

Pipeline::Pipeline() {
    nats::ConnectOptions options;
    options.url = nats.url();
    auto opened = nats::Connection::open(options);
    if (!opened) throw std::runtime_error(opened.error().text);
    reader = std::move(*opened);
    ledger = std::make_unique<BucketLedger>(*reader);

    const auto targets = folder_ / "targets.json";
    std::ofstream{targets} << nlohmann::json{{"targets", {target("db1", db1), target("db2", db2)}}};
    probe = std::make_unique<Daemon>(
        "pgpulse-probe", "probe-1",
        std::vector<std::string>{"--nats", nats.url(), "--targets", targets.string()});
    aggregator = std::make_unique<Daemon>("pgpulse-aggregator", "aggregator-1",
                                          std::vector<std::string>{"--nats", nats.url()});
    bridge = std::make_unique<Daemon>(
        "pgpulse-consul-bridge", "bridge-1",
        std::vector<std::string>{"--nats", nats.url(), "--consul", consul.http_url()});
    for (const std::string target : {"db1", "db2"}) {
        if (!agree_soon(target, "up")) throw std::runtime_error(target + " does not come up\n" + logs());
    }
    check_watch = std::make_unique<ConsulWatch>(consul.http_url(),
                                                std::vector<std::string>{"-type=checks", "-service=db1"});
    key_watch = std::make_unique<ConsulWatch>(consul.http_url(),
                                              std::vector<std::string>{"-type=key", "-key=health/db1"});
    if (!wait_until([&] { return !check_watch->entries().empty() && !key_watch->entries().empty(); },
                    kAgreementDeadline)) {
        throw std::runtime_error("consul watch does not start\n" + logs());
    }
}

std::string Pipeline::kv_state(const std::string& target) const {
    const auto value = value_of(consul, target);
    return value.is_object() ? value.value("state", "") : "";
}

std::uint64_t Pipeline::kv_transition(const std::string& target) const {
    const auto value = value_of(consul, target);
    return value.is_object() ? value.value("transition", std::uint64_t{0}) : 0;
}

std::string Pipeline::check(const std::string& target) const {
    try {
        return consul.check_status(target + "-isready", target).value_or("");
    } catch (const std::runtime_error&) {
        return "";
    }
}

bool Pipeline::agree(const std::string& target, const std::string& state) const {
    const auto newest = ledger->newest(target);
    const std::string status = state == "up" ? "passing" : state == "down" ? "critical" : "warning";
    return newest && to_string(newest->state.state) == state && kv_state(target) == state &&
           kv_transition(target) == newest->state.transition && check(target) == status;
}

bool Pipeline::agree_soon(const std::string& target, const std::string& state) const {
    return wait_until([&] { return agree(target, state); }, kAgreementDeadline);
}

bool Pipeline::counted_without_gap(const std::string& target) const {
    std::uint64_t expected = 1;
    for (const auto& entry : ledger->history(target)) {
        if (entry.state.transition != expected++) return false;
    }
    return true;
}

std::string Pipeline::logs() const {
    std::string all;
    for (const auto* daemon : {&probe, &aggregator, &bridge}) {
        if (*daemon) all += (*daemon)->log() + "\n";
    }
    return all;
}

}  // namespace pgpulse::support
