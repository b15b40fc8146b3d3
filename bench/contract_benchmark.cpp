#include "aggregator/tally.hpp"
#include "common/contract/names.hpp"
#include "common/contract/ping.hpp"
#include "common/contract/target.hpp"

#include <benchmark/benchmark.h>
#include <nlohmann/json.hpp>

#include <optional>
#include <stdexcept>
#include <vector>

// What one ping costs where no network takes part, the work of the probe's sender and of the aggregator's loop; and one
// definition, of which whoever starts reads all.
namespace pgpulse {
namespace {

using contract::Ping;

Ping example(std::size_t target, std::size_t worker) {
    Ping ping;
    ping.target = "bench-" + std::to_string(1000 + target);
    ping.worker = "bench-worker-" + std::to_string(worker);
    ping.site = "bench";
    ping.run = "0123456789abcdef";
    ping.seq = 1'000'000'000;
    ping.mono_ms = 1'000'000'000'000;
    ping.at = contract::WallTime{std::chrono::microseconds{1'767'323'045'000'006}};
    ping.verdict = contract::Verdict::accepting;
    ping.rtt_us = 612;
    ping.opinion = contract::Opinion::up;
    ping.streak = 1234;
    return ping;
}

/// Of a fleet: with a label and meta, nothing that is not plain.
std::string definition() {
    contract::StoredDefinition stored;
    stored.definition.name = "bench-1000";
    stored.definition.address = "10.20.30.40";
    stored.definition.service = "bench";
    stored.definition.tags = {"eu-west-1"};
    stored.definition.meta = {{"team", "payments"}};
    return encode(stored);
}

void decode_definition_of(benchmark::State& state, const std::string& value) {
    for ([[maybe_unused]] auto _ : state) {
        auto stored = contract::decode_definition("bench-1000", value);
        if (!stored) state.SkipWithError("not decoded");
        benchmark::DoNotOptimize(stored);
    }
    state.SetItemsProcessed(state.iterations());
}

void decode_definition(benchmark::State& state) { decode_definition_of(state, definition()); }
BENCHMARK(decode_definition);

/// With an escape somewhere, which only the parser of all JSON reads.
void decode_definition_by_document(benchmark::State& state) {
    std::string value = definition();
    const std::string_view plain = "payments";
    value.replace(value.find(plain), plain.size(), "payment\\u0073");
    decode_definition_of(state, value);
}
BENCHMARK(decode_definition_by_document);

template <typename T>
T known(const std::optional<T>& value) {
    if (!value) throw std::runtime_error("not of the contract");
    return *value;
}

void encode_ping(benchmark::State& state) {
    const Ping ping = example(0, 0);
    for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(contract::encode(ping));
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(encode_ping);

void ping_subject(benchmark::State& state) {
    const Ping ping = example(0, 0);
    for ([[maybe_unused]] auto _ : state)
        benchmark::DoNotOptimize(contract::ping_subject(ping.worker, ping.target));
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(ping_subject);

void decode_ping(benchmark::State& state) {
    const std::string payload = encode(example(0, 0));
    const std::string subject = contract::ping_subject("bench-worker-0", "bench-1000");
    for ([[maybe_unused]] auto _ : state) {
        auto ping = contract::decode_ping(subject, payload);
        if (!ping) state.SkipWithError("not decoded");
        benchmark::DoNotOptimize(ping);
    }
    state.SetItemsProcessed(state.iterations());
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(payload.size()));
}
BENCHMARK(decode_ping);

/// The same fields by way of a document tree, without most of decode_ping's checks.
void decode_ping_by_document(benchmark::State& state) {
    const std::string payload = encode(example(0, 0));
    const std::string subject = contract::ping_subject("bench-worker-0", "bench-1000");
    for ([[maybe_unused]] auto _ : state) {
        const auto parts = known(contract::parse_ping_subject(subject));
        const auto json = nlohmann::json::parse(payload);
        Ping ping;
        ping.target = json.at("target").get<std::string>();
        ping.worker = json.at("worker").get<std::string>();
        ping.site = json.value("site", "");
        ping.run = json.at("run").get<std::string>();
        ping.seq = json.at("seq").get<std::uint64_t>();
        ping.mono_ms = json.at("mono_ms").get<std::int64_t>();
        ping.at = known(contract::parse_rfc3339(json.at("at").get_ref<const std::string&>()));
        ping.verdict = known(contract::parse_verdict(json.at("verdict").get_ref<const std::string&>()));
        ping.reason = known(contract::parse_reason(json.at("reason").get_ref<const std::string&>()));
        if (const auto rtt = json.find("rtt_us"); rtt != json.end()) ping.rtt_us = rtt->get<std::int64_t>();
        ping.via = known(contract::parse_via(json.at("via").get_ref<const std::string&>()));
        ping.opinion = known(contract::parse_opinion(json.at("opinion").get_ref<const std::string&>()));
        ping.streak = json.at("streak").get<std::uint32_t>();
        ping.suspect = json.at("suspect").get<bool>();
        if (ping.target != parts.target || ping.worker != parts.worker) state.SkipWithError("disagrees");
        benchmark::DoNotOptimize(ping);
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(decode_ping_by_document);

/// 1,000 targets, each pinged by three workers and up: nothing changes, which is nearly always so.
void tally_ping(benchmark::State& state) {
    constexpr std::size_t kTargets = 1000;
    constexpr std::size_t kWorkers = 3;
    aggregator::Tally tally{"bench"};
    aggregator::Tally::Actions actions;
    aggregator::Now now{std::chrono::steady_clock::time_point{std::chrono::hours{1}}, contract::WallTime{}};
    tally.states_opened();
    tally.states_loaded(now, actions);
    tally.definitions_loaded(now, actions);
    aggregator::Ranks ranks{};
    ranks.fill(aggregator::Rank::first);
    tally.ranks(ranks, now, actions);
    std::vector<std::string> workers;
    workers.reserve(kWorkers);
    for (std::size_t worker = 0; worker < kWorkers; ++worker) workers.push_back(example(0, worker).worker);
    tally.members(workers, now, actions);
    std::vector<Ping> pings;
    for (std::size_t worker = 0; worker < kWorkers; ++worker) {
        for (std::size_t target = 0; target < kTargets; ++target) {
            pings.push_back(example(target, worker));
            if (worker != 0) continue;
            contract::TargetDefinition definition;
            definition.name = pings.back().target;
            definition.address = "127.0.0.1";
            tally.definition(definition, now, actions);
        }
    }
    std::uint64_t revision = 0;
    std::size_t next = 0;
    for ([[maybe_unused]] auto _ : state) {
        Ping& ping = pings[next];
        next = (next + 1) % pings.size();
        ++ping.seq;
        if (tally.ping(ping, now, actions) != aggregator::Heard::counted) state.SkipWithError("not counted");
        for (const aggregator::Action& action : actions) {
            const auto* put = std::get_if<aggregator::PutState>(&action);
            if (put == nullptr) continue;
            state.PauseTiming();
            aggregator::Tally::Actions none;
            tally.written(put->state.target, aggregator::Written::stored, put->expected, ++revision, now,
                          none);
            state.ResumeTiming();
        }
        actions.clear();
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(tally_ping);

}  // namespace
}  // namespace pgpulse
