#include "tests/support/nats_cluster.hpp"

#include "common/nats/error.hpp"
#include "common/nats/handles.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/process.hpp"
#include "tests/support/wait_until.hpp"

#include <nats/nats.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>

namespace pgpulse::support {
namespace {

constexpr std::int64_t kRequestTimeoutMs = 2000;
/// Elections take up to nine seconds each, and here are three. Servers that have not found each other by then never do.
constexpr std::chrono::seconds kReady{45};
constexpr int kAttempts = 4;
/// Ports where nobody listens, from here on.
constexpr std::size_t kNobody = 1;

std::string name_of(std::size_t server) { return "server-" + std::to_string(server); }

/// One route between each two servers. From 2.10 on servers open three and one for their own account, and sometimes one of
/// them then never learns of the others' JetStream ("no suitable peers for placement"). 2.9 refuses a setting that it does
/// not know.
std::string unpooled_routes() {
    const bool is_2_9 = run_to_end({"nats-server", "--version"}).out.find(" v2.9.") != std::string::npos;
    return is_2_9 ? "" : "  pool_size: -1\n";
}

std::optional<std::size_t> server_named(const char* name) {
    for (std::size_t i = 0; name != nullptr && i < NatsCluster::kServers; ++i) {
        if (name_of(i) == name) return i;
    }
    return std::nullopt;
}

/// A connection of its own for a few requests: one that stays would be another client to every server of a test.
class Session {
  public:
    explicit Session(const std::string& url) {
        natsOptions* options = nullptr;
        if (natsOptions_Create(&options) != NATS_OK) return;
        const nats::OptionsHandle owner{options};
        natsOptions_SetURL(options, url.c_str());
        natsOptions_SetTimeout(options, kRequestTimeoutMs);
        natsOptions_SetAllowReconnect(options, false);
        natsConnection* connection = nullptr;
        if (natsConnection_Connect(&connection, options) != NATS_OK) return;
        connection_.reset(connection);
        jsOptions js_options;
        jsOptions_Init(&js_options);
        js_options.Wait = kRequestTimeoutMs;
        jsCtx* js = nullptr;
        if (natsConnection_JetStream(&js, connection, &js_options) == NATS_OK) js_.reset(js);
    }

    explicit operator bool() const { return js_ != nullptr; }
    [[nodiscard]] jsCtx* js() const { return js_.get(); }
    [[nodiscard]] natsConnection* connection() const { return connection_.get(); }

  private:
    nats::ConnectionHandle connection_;
    nats::JetStreamHandle js_;
};

/// What is in the way of a replicated stream at this server; empty: nothing.
std::string fault_of_replication(const std::string& url) {
    const Session session{url};
    if (!session) return "no connection";
    jsStreamConfig config;
    jsStreamConfig_Init(&config);
    config.Name = "ready";
    const char* subjects[] = {"ready"};
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Replicas = NatsCluster::kServers;
    jsErrCode code = static_cast<jsErrCode>(0);
    if (const natsStatus s = js_AddStream(nullptr, session.js(), &config, nullptr, &code); s != NATS_OK)
        return nats::make_error("create", s, code).text;
    if (const natsStatus s = js_DeleteStream(session.js(), "ready", nullptr, &code); s != NATS_OK)
        return nats::make_error("delete", s, code).text;
    return {};
}

}  // namespace

NatsCluster::NatsCluster() {
    std::array<std::uint16_t, kServers> route_ports{};
    std::ranges::generate(route_ports, free_port);
    for (std::size_t from = 0; from < kServers; ++from) {
        for (std::size_t to = 0; to < kServers; ++to) {
            if (from > to) routes_.at(from).at(to) = std::make_unique<TcpRelay>(route_ports.at(to));
        }
    }
    const std::string route_pool = unpooled_routes();
    for (std::size_t i = 0; i < kServers; ++i) {
        std::string routes;
        for (std::size_t to = 0; to < kServers; ++to) {
            if (to == i) continue;
            const auto& relay = routes_.at(i).at(to);
            // The size of a cluster is the number of its routes and one, so that each server names both others.
            const std::size_t port = relay ? relay->port() : kNobody + to;
            routes += "    nats-route://127.0.0.1:" + std::to_string(port) + "\n";
        }
        NatsServerOptions options;
        // What it tells the others of its own address leads nowhere: they would go past the relays.
        options.extra_config = "server_name: " + name_of(i) +
                               "\n"
                               "cluster {\n"
                               "  name: cluster-of-a-test\n"
                               "  listen: \"127.0.0.1:" +
                               std::to_string(route_ports.at(i)) +
                               "\"\n"
                               "  advertise: \"127.0.0.1:1\"\n"
                               "  no_advertise: true\n" +
                               route_pool + "  routes: [\n" + routes +
                               "  ]\n"
                               "}\n";
        servers_.at(i) = std::make_unique<NatsServer>(options);
        answers_.at(i) = true;
    }
    wait_until_ready();
}

TcpRelay& NatsCluster::route_between(std::size_t one, std::size_t other) {
    return *routes_.at(std::max(one, other)).at(std::min(one, other));
}

void NatsCluster::wait_until_ready() {
    std::string fault;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        if (attempt > 0) start_anew();
        fault.clear();
        for (std::size_t i = 0; i < kServers && fault.empty(); ++i) {
            const auto works = [&] {
                fault = fault_of_replication(url(i));
                return fault.empty();
            };
            if (!wait_until(works, kReady)) fault = name_of(i) + ": " + fault;
        }
        if (fault.empty()) return;
    }
    throw std::runtime_error("no stream of three replicas at " + fault + "\n" + log());
}

void NatsCluster::start_anew() {
    for (const auto& server : servers_) server->kill9();
    for (const auto& server : servers_) {
        server->wipe_store();
        server->start();
    }
}

std::string NatsCluster::url() const {
    std::string all;
    for (const auto& server : servers_) all += (all.empty() ? "" : ",") + server->url();
    return all;
}

void NatsCluster::stop(std::size_t server) {
    answers_.at(server) = false;
    servers_.at(server)->process().stop();
}

void NatsCluster::cont(std::size_t server) {
    servers_.at(server)->process().cont();
    answers_.at(server) = true;
}

void NatsCluster::kill(std::size_t server) {
    answers_.at(server) = false;
    servers_.at(server)->kill9();
}

void NatsCluster::restart(std::size_t server) {
    servers_.at(server)->start();
    answers_.at(server) = true;
}

void NatsCluster::cut_off(std::size_t server) {
    answers_.at(server) = false;
    for (std::size_t other = 0; other < kServers; ++other) {
        if (other != server) route_between(server, other).cut();
    }
}

void NatsCluster::rejoin(std::size_t server) {
    for (std::size_t other = 0; other < kServers; ++other) {
        if (other != server) route_between(server, other).mend();
    }
    answers_.at(server) = true;
}

NatsCluster::Answer NatsCluster::ask(const std::string& stream) const {
    for (std::size_t i = 0; i < kServers; ++i) {
        if (!answers_.at(i)) continue;
        const Session session{url(i)};
        jsStreamInfo* info = nullptr;
        if (!session || js_GetStreamInfo(&info, session.js(), stream.c_str(), nullptr, nullptr) != NATS_OK)
            continue;
        const nats::StreamInfoHandle owner{info};
        if (info->Cluster == nullptr) continue;
        Answer answer;
        answer.leader = server_named(info->Cluster->Leader);
        // A leader that was cut off or stopped does not know yet that it leads nobody.
        if (answer.leader && !answers_.at(*answer.leader)) answer.leader.reset();
        int current = 1;
        for (int r = 0; r < info->Cluster->ReplicasLen; ++r) {
            const jsPeerInfo& replica = *info->Cluster->Replicas[r];
            if (replica.Current && !replica.Offline) ++current;
        }
        answer.whole = answer.leader && current == static_cast<int>(info->Config->Replicas);
        if (answer.leader) return answer;
    }
    return {};
}

std::optional<std::size_t> NatsCluster::leader_of(const std::string& stream) const {
    return ask(stream).leader;
}

bool NatsCluster::lead(const std::string& stream, std::size_t server) const {
    const auto leader = leader_of(stream);
    if (!leader || *leader == server) return leader.has_value();
    const Session session{url(*leader)};
    natsMsg* reply = nullptr;
    if (session && natsConnection_Request(&reply, session.connection(),
                                          ("$JS.API.STREAM.LEADER.STEPDOWN." + stream).c_str(), nullptr, 0,
                                          kRequestTimeoutMs) == NATS_OK)
        natsMsg_Destroy(reply);
    return false;
}

bool NatsCluster::whole(const std::string& stream) const { return ask(stream).whole; }

std::string NatsCluster::log() const {
    std::string all;
    for (std::size_t i = 0; i < kServers; ++i) {
        if (servers_.at(i)) all += name_of(i) + ":\n" + servers_.at(i)->log();
    }
    return all;
}

}  // namespace pgpulse::support
