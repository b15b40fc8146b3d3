#include "consul-bridge/drift_watch.hpp"

#include "consul-bridge/documents.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace pgpulse::consul_bridge {
namespace {

using std::chrono::milliseconds;

/// Between two answers: while thousands of targets change, each answer makes Consul look at all of them.
constexpr milliseconds kRest{500};
constexpr milliseconds kShortestWait{1000};
constexpr milliseconds kLongestWait{15'000};
/// Below the silence after which the client gives Consul up, with the sixteenth that Consul adds.
constexpr const char* kWait = "8s";

/// Below "health/" for "health/", or "pg/health/" for "pg/health/": the list of keys up to the prefix's own slash is one
/// entry, however many keys there are.
std::string keys_path(const std::string& prefix) {
    return "/v1/kv/" + prefix.substr(0, prefix.size() - 1) + "?keys&separator=/&";
}

}  // namespace

DriftWatch::DriftWatch(const ConsulOptions& options, const std::string& kv_prefix,
                       std::function<bool()> wanted, OnMove on_move)
    : wanted_(std::move(wanted)), on_move_(std::move(on_move)) {
    const std::string ours = "node-meta=" + std::string{kManagedByKey} + ":" + std::string{kManagedByValue};
    const auto add = [&](Table table, std::string path) {
        queries_.push_back({table, std::move(path), std::make_unique<ConsulClient>(options)});
    };
    add(Table::values, keys_path(kv_prefix));
    // No check has an empty id, and so the answer is an empty list.
    add(Table::checks, "/v1/health/state/any?" + ours + "&filter=CheckID%3D%3D%22%22&");
    add(Table::services, "/v1/catalog/services?" + ours + "&");
    for (Query& query : queries_) threads_.emplace_back([this, &query] { follow(query); });
}

DriftWatch::~DriftWatch() {
    {
        const std::lock_guard lock{mutex_};
        stop_ = true;
    }
    wake_.notify_all();
    for (const Query& query : queries_) query.client->abort();
    for (std::thread& thread : threads_) thread.join();
}

bool DriftWatch::stopped_after(milliseconds pause) {
    std::unique_lock lock{mutex_};
    return wake_.wait_for(lock, pause, [this] { return stop_; });
}

void DriftWatch::follow(Query& query) {
    std::uint64_t index = 0;
    milliseconds pause = kShortestWait;
    for (;;) {
        if (!wanted_()) {
            if (stopped_after(kShortestWait)) return;
            continue;
        }
        const auto reply =
            query.client->get(query.path + "index=" + std::to_string(index) + "&wait=" + kWait);
        // No key yet is an answer with an index like any other.
        const bool answered = reply && (reply->status == 200 || reply->status == 404) && reply->index > 0;
        if (!answered) {
            spdlog::debug("watching Consul: {}", reply ? std::to_string(reply->status) : reply.error());
            if (stopped_after(pause)) return;
            pause = std::min(2 * pause, kLongestWait);
            index = 0;
            continue;
        }
        pause = kShortestWait;
        if (reply->index != index) on_move_(query.table, reply->index);
        // An index that goes back begins anew: Consul's own advice for blocking queries.
        index = reply->index < index ? 0 : reply->index;
        if (stopped_after(kRest)) return;
    }
}

}  // namespace pgpulse::consul_bridge
