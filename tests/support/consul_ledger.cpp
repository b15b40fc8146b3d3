#include "tests/support/consul_ledger.hpp"

#include "consul-bridge/base64.hpp"
#include "tests/support/wait_until.hpp"

#include <nlohmann/json.hpp>

namespace pgpulse::support {

using nlohmann::json;

ConsulLedger::ConsulLedger(const ConsulAgent& consul, std::string prefix)
    : consul_(consul), prefix_(std::move(prefix)), thread_([this] { follow(); }) {
    // What changes from now on is a change: it has to know what was there.
    static_cast<void>(wait_until([this] { return has_read_.load(); }));
}

ConsulLedger::~ConsulLedger() {
    stop_ = true;
    thread_.join();
}

void ConsulLedger::follow() {
    std::uint64_t index = 0;
    while (!stop_) {
        // Consistent, because a server that lost its lead without knowing it would tell old values.
        const auto answer =
            consul_.get("/v1/kv/" + prefix_ + "?recurse&consistent&wait=1s&index=" + std::to_string(index));
        if (answer.status != 200) {
            index = 0;
            detail::pause_between_looks();
            continue;
        }
        const json keys = json::parse(answer.body, nullptr, false);
        if (!keys.is_array()) continue;
        std::uint64_t newest = 0;
        for (const json& key : keys) newest = std::max(newest, key.at("ModifyIndex").get<std::uint64_t>());
        index = newest;
        const std::lock_guard lock{mutex_};
        for (const json& key : keys) {
            const json& value = key.at("Value");
            if (value.is_string()) take(consul_bridge::base64_decode(value.get<std::string>()).value_or(""));
        }
        has_read_ = true;
    }
}

void ConsulLedger::take(const std::string& body) {
    const json value = json::parse(body, nullptr, false);
    if (!value.is_object() || !value.contains("epoch") || !value.contains("transition")) return;
    const std::pair key{value.at("target").get<std::string>(), value.at("epoch").get<std::string>()};
    const std::pair now{value.at("revision").get<std::uint64_t>(),
                        value.at("transition").get<std::uint64_t>()};
    const auto [it, fresh] = last_.try_emplace(key, now);
    if (fresh || it->second == now) return;
    if (now.first < it->second.first || now.second < it->second.second) {
        faults_.push_back(key.first + ": revision " + std::to_string(it->second.first) + ", transition " +
                          std::to_string(it->second.second) + " went back to " + std::to_string(now.first) +
                          ", " + std::to_string(now.second));
    }
    it->second = now;
    ++changes_;
}

std::vector<std::string> ConsulLedger::faults() const {
    const std::lock_guard lock{mutex_};
    return faults_;
}

std::size_t ConsulLedger::changes() const {
    const std::lock_guard lock{mutex_};
    return changes_;
}

}  // namespace pgpulse::support
