#include "bench/arguments.hpp"
#include "bench/consul_http.hpp"
#include "bench/measured.hpp"

#include <nlohmann/json.hpp>

#include <atomic>
#include <cstddef>
#include <map>
#include <string>
#include <thread>
#include <vector>

// What Consul itself can take: the documents that the bridge wrote last, the KV value by compare-and-set and the check of
// each target, written once more to nodes and keys of its own, in transactions of 64 operations over several connections.
// All is read and encoded before the time runs, and answers are not read.
namespace pgpulse::bench {
namespace {

using nlohmann::json;

constexpr std::size_t kOperations = 64;
// Each as long as what it stands for.
const std::string kTheirs = "health/bench-";
const std::string kOurs = "direct/plain-";
const std::string kTheirNode = "bench-";
const std::string kOurNode = "plain-";

/// `text` with our names in the place of theirs; empty where it begins with none.
std::string renamed(const std::string& text, const std::string& from, const std::string& to) {
    return text.starts_with(from) ? to + text.substr(from.size()) : std::string{};
}

json list(ConsulHttp& consul, const std::string& path) {
    json list = json::parse(consul.get(path), nullptr, false);
    if (!list.is_array()) give_up("bare_transactions: what Consul answers to " + path + " is no list");
    return list;
}

std::vector<std::string> in_transactions(const std::vector<json>& operations) {
    std::vector<std::string> bodies;
    bodies.reserve(operations.size() / kOperations + 1);
    for (std::size_t i = 0; i < operations.size(); ++i) {
        if (i % kOperations == 0) bodies.emplace_back();
        bodies.back() += (i % kOperations == 0 ? "[" : ",") + operations[i].dump();
    }
    for (std::string& body : bodies) body += "]";
    return bodies;
}

void send(const std::string& url, const std::vector<std::string>& bodies, long connections) {
    std::atomic<std::size_t> next{0};
    std::vector<std::thread> threads;
    threads.reserve(static_cast<std::size_t>(connections));
    for (long i = 0; i < connections; ++i) {
        threads.emplace_back([&] {
            ConsulHttp consul{url};
            for (std::size_t at = next++; at < bodies.size(); at = next++) consul.put("/v1/txn", bodies[at]);
        });
    }
    for (std::thread& thread : threads) thread.join();
}

/// Nodes and services for the checks to hang on.
std::vector<json> registrations(const json& checks) {
    std::vector<json> operations;
    for (const json& check : checks) {
        const std::string node = renamed(check.at("Node"), kTheirNode, kOurNode);
        if (node.empty()) continue;
        operations.push_back(
            {{"Node", {{"Verb", "set"}, {"Node", {{"Node", node}, {"Address", "127.0.0.1"}}}}}});
        operations.push_back(
            {{"Service",
              {{"Verb", "set"},
               {"Node", node},
               {"Service", {{"ID", node}, {"Service", node}, {"Address", "127.0.0.1"}, {"Port", 20000}}}}}});
    }
    return operations;
}

/// A KV value and a check of each target in turn.
std::vector<json> transitions(const json& checks, const json& values,
                              const std::map<std::string, json>& indexes) {
    std::map<std::string, json> check_of;
    for (const json& check : checks) {
        const std::string node = renamed(check.at("Node"), kTheirNode, kOurNode);
        if (node.empty()) continue;
        check_of[node] = {{"Node", node},
                          {"CheckID", node + "-isready"},
                          {"Name", check.at("Name")},
                          {"Status", check.at("Status")},
                          {"Output", check.at("Output")},
                          {"ServiceID", node},
                          {"ServiceName", node}};
    }
    std::vector<json> operations;
    for (const json& value : values) {
        const std::string key = renamed(value.at("Key"), kTheirs, kOurs);
        const auto check = check_of.find(key.substr(key.find('/') + 1));
        if (check == check_of.end()) continue;
        const auto index = indexes.find(key);
        operations.push_back({{"KV",
                               {{"Verb", "cas"},
                                {"Key", key},
                                {"Index", index == indexes.end() ? json(0) : index->second},
                                {"Value", value.at("Value")}}}});
        operations.push_back({{"Check", {{"Verb", "set"}, {"Check", check->second}}}});
    }
    return operations;
}

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse::bench;
    if (argc != 3) usage("bare_transactions", "CONSUL_URL CONNECTIONS");
    const long connections = whole_number("CONNECTIONS", argv[2], 1, 64);
    ConsulHttp consul{argv[1]};
    const json checks = list(consul, "/v1/health/state/any");
    std::map<std::string, json> indexes;
    for (const json& key : list(consul, "/v1/kv/?recurse")) indexes[key.at("Key")] = key.at("ModifyIndex");
    if (indexes.lower_bound(kOurs) == indexes.end() || !indexes.lower_bound(kOurs)->first.starts_with(kOurs))
        send(argv[1], in_transactions(registrations(checks)), connections);
    const auto operations = transitions(checks, list(consul, "/v1/kv/health/?recurse"), indexes);
    const auto bodies = in_transactions(operations);
    const Stretch stretch;
    send(argv[1], bodies, connections);
    stretch.print(operations.size() / 2);
}
