#include "consul-bridge/consul_requests.hpp"

#include "consul-bridge/http_status.hpp"
#include "consul-bridge/missing_right.hpp"
#include "consul-bridge/snapshot.hpp"

#include <algorithm>
#include <set>

namespace pgpulse::consul_bridge {
namespace {

constexpr long kConflict = 409;
constexpr long kTooManyRequests = 429;
/// A read goes on where Consul asks for fewer requests: it has many of them to make, and one that is never
/// finished would keep the bridge from writing anything.
constexpr std::chrono::seconds kFirstPause{1};
constexpr std::chrono::seconds kLongestPause{30};
constexpr int kReadAttempts = 10;

std::string unexpected_answer(const ConsulClient& client, const ConsulClient::Reply& reply) {
    std::string text = "Consul at " + client.url() + " answers " + describe(reply.status, reply.body);
    // Go's words, also of Consul's agents.
    if (reply.body.find("HTTP request to an HTTPS server") != std::string::npos)
        text += ": --consul needs https://";
    if (const auto fault = fault_of_token(reply.status, reply.body)) text += ": " + *fault;
    return text;
}

std::chrono::seconds pause_after(const ConsulClient::Reply& reply) {
    return std::clamp(reply.retry_after, kFirstPause, kLongestPause);
}

template <typename Request>
ConsulClient::Result patiently(ConsulClient& client, Request request) {
    ConsulClient::Result reply = request();
    for (int attempt = 1; attempt < kReadAttempts && reply && reply->status == kTooManyRequests; ++attempt) {
        if (!client.wait(pause_after(*reply))) break;
        reply = request();
    }
    return reply;
}

Unreachable not_served(const ConsulClient& client, const ConsulClient::Reply& reply) {
    const bool asked = reply.retry_after.count() > 0;
    return Unreachable{unexpected_answer(client, reply), reply.status == kTooManyRequests,
                       asked ? pause_after(reply) : std::chrono::seconds{0}};
}

/// Empty, or why a read ended.
using ReadPart = tl::expected<void, Unreachable>;

ReadPart understood(const Parsed& parsed) {
    if (!parsed) return tl::unexpected(Unreachable{parsed.error()});
    return {};
}

/// Runs read operations, as many as a transaction takes at a time. Consul refuses a transaction that reads
/// what is not there, and names all such operations: the rest is sent again.
ReadPart run_reads(ConsulClient& client, std::vector<std::string> reads, std::string_view prefix,
                   Snapshot& to) {
    while (!reads.empty()) {
        const std::size_t count = std::min(reads.size(), kMaxOperations);
        std::string body = "[";
        for (std::size_t i = 0; i < count; ++i) body += (i > 0 ? "," : "") + reads[reads.size() - count + i];
        body += "]";
        const auto reply = patiently(client, [&] { return client.put("/v1/txn", body); });
        if (!reply) return tl::unexpected(Unreachable{reply.error()});
        if (reply->status == kOk) {
            if (auto added = understood(add_results(reply->body, prefix, to)); !added) return added;
            reads.resize(reads.size() - count);
            continue;
        }
        std::set<std::size_t> absent;
        if (reply->status == kConflict) {
            for (const auto& fault : read_faults(reply->body)) {
                if (fault.operation < count) absent.insert(reads.size() - count + fault.operation);
            }
        }
        if (absent.empty()) return tl::unexpected(not_served(client, *reply));
        std::for_each(absent.rbegin(), absent.rend(), [&reads](std::size_t at) {
            reads.erase(reads.begin() + static_cast<std::ptrdiff_t>(at));
        });
    }
    return {};
}

}  // namespace

TransactionOutcome send_transaction(ConsulClient& client, const std::string& body) {
    const auto reply = client.put("/v1/txn", body);
    if (!reply) return Unreachable{reply.error()};
    auto outcome = read_outcome(reply->status, reply->body);
    // A new value, because GCC 14 at -O2 takes a change of the one in the variant for a wrong delete.
    if (std::holds_alternative<Unreachable>(outcome)) return not_served(client, *reply);
    return outcome;
}

tl::expected<Snapshot, Unreachable> read_everything(ConsulClient& client, std::string_view prefix,
                                                    Compat compat) {
    Snapshot snapshot;
    const auto read = [&client](const std::string& path, auto add) -> ReadPart {
        const auto reply = patiently(client, [&] { return client.get(path); });
        if (!reply) return tl::unexpected(Unreachable{reply.error()});
        if (reply->status == kNotFound) return {};  // no key there yet
        if (reply->status != kOk) return tl::unexpected(not_served(client, *reply));
        return understood(add(reply->body));
    };
    const std::string ours = "node-meta=" + std::string{kManagedByKey} + ":" + std::string{kManagedByValue};
    if (auto read_nodes = read("/v1/catalog/nodes?" + ours,
                               [&](const std::string& body) { return add_nodes(body, snapshot); });
        !read_nodes) {
        return tl::unexpected(read_nodes.error());
    }
    std::vector<std::string> nodes;
    nodes.reserve(snapshot.size());
    for (const auto& entry : snapshot) nodes.push_back(entry.first);
    if (auto read_checks = read("/v1/health/state/any?" + ours,
                                [&](const std::string& body) { return add_checks(body, snapshot); });
        !read_checks) {
        return tl::unexpected(read_checks.error());
    }
    if (auto read_services = run_reads(client, reads_of_services(nodes), prefix, snapshot); !read_services) {
        return tl::unexpected(read_services.error());
    }
    if (auto read_values = read("/v1/kv/" + std::string{prefix} + "?recurse",
                                [&](const std::string& body) { return add_values(body, prefix, snapshot); });
        !read_values) {
        return tl::unexpected(read_values.error());
    }
    if (compat == Compat::consul_postgres) {
        std::vector<std::string> targets;
        targets.reserve(snapshot.size());
        for (const auto& entry : snapshot) targets.push_back(entry.first);
        if (auto read_roots = run_reads(client, reads_of_roots(targets), prefix, snapshot); !read_roots) {
            return tl::unexpected(read_roots.error());
        }
    }
    return snapshot;
}

tl::expected<Snapshot, Unreachable> read_targets(ConsulClient& client, std::string_view prefix,
                                                 const std::vector<std::string>& targets, Compat compat) {
    Snapshot snapshot;
    std::vector<std::string> reads;
    for (const std::string& target : targets) {
        std::ranges::move(reads_of_target(target, prefix, compat), std::back_inserter(reads));
    }
    if (auto done = run_reads(client, std::move(reads), prefix, snapshot); !done) {
        return tl::unexpected(done.error());
    }
    return snapshot;
}

}  // namespace pgpulse::consul_bridge
