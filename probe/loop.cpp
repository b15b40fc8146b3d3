#include "probe/loop.hpp"

#include "common/runtime/clock.hpp"
#include "common/runtime/logging.hpp"
#include "probe/address_order.hpp"
#include "probe/paced_lines.hpp"
#include "probe/ping.hpp"
#include "probe/resolver.hpp"
#include "probe/session.hpp"
#include "probe/tls_files.hpp"

#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <spdlog/spdlog.h>

#include <atomic>
#include <deque>
#include <iterator>
#include <thread>
#include <unordered_map>

namespace pgpulse::probe {
namespace {

using contract::Reason;
using contract::Verdict;

// So many sockets are served before the core hears the time again, however many are ready, and so many pings
// are started before sockets are served again, however many are due.
constexpr int kHandlersPerTurn = 256;
constexpr std::size_t kStartsPerTurn = 64;
constexpr std::chrono::milliseconds kChangesTurn{4};  // what changes of targets may take of a turn
constexpr std::size_t kChangesBetweenLooks = 32;
constexpr std::chrono::milliseconds kLoginPatience{5000};
constexpr std::chrono::seconds kTargetLines{1};
constexpr std::chrono::seconds kWallLooks{1};

double in_seconds(std::chrono::nanoseconds duration) {
    return std::chrono::duration<double>(duration).count();
}

}  // namespace

struct Loop::Impl {
    /// How to connect to a target, by the target's index.
    struct Endpoint {
        contract::TargetDefinition definition;
        std::optional<ConnectionParameters> parameters;  // empty: its name has not been found
        AddressOrder order;                              // of a host name's addresses
        std::string login_fault;                         // the last one said
        std::string tls_fault;                           // the same
        std::uint64_t made = 0;                          // tells it from those that had its place
        bool has_host_name = false;
        bool present = false;
    };

    /// How a fresh ping began.
    struct Beginning {
        PingId ping;
        std::uint64_t endpoint = 0;
        std::uint32_t order = 0;  // of the addresses
    };

    /// A host name that is followed for the targets that have it.
    struct Host {
        std::vector<TargetIndex> targets;
        bool looked_up = false;
        bool failed = false;                 // when it was looked up last
        bool observer_exhausted = false;     // and that was this worker's own fault
        std::vector<std::string> addresses;  // the last ones found
    };

    Impl(Worker::Identity identity, Schedule::Limits limits, std::vector<Reference> list, Publisher& to,
         Metrics& counters, const OpenFiles& open_files, SelfDoubt doubt)
        : publisher(to),
          metrics(counters),
          files(open_files),
          self_doubt(doubt),
          worker(std::move(identity), limits, !list.empty(), open_files.sessions, doubt),
          sessions(io, session_events()),
          references(io, std::move(list), [this](bool any) { answered(any); }) {}

    Publisher& publisher;
    Metrics& metrics;
    const OpenFiles files;
    SelfDoubt self_doubt;
    asio::io_context io{1};
    asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
    Worker worker;
    PingEngine engine{io, [this](PingId ping, const PingResult& result) { finished(ping, result); }};
    Resolver resolver{[this](const std::string& name, Resolver::Answer answer) {
        asio::post(io, [this, name, answer = std::move(answer)] { resolved(name, answer); });
    }};
    SessionEngine sessions;
    References references;
    std::vector<Beginning> beginnings;  // by the ping's slot
    std::uint64_t endpoints_made = 0;
    std::deque<Endpoint> endpoints;  // a hundred thousand are moved nowhere when one more comes
    std::unordered_map<std::string, Host> hosts;
    std::vector<Action> actions;
    std::vector<Outgoing> results;
    std::deque<TargetChange> changes;
    PacedLines lines;
    bool suspicion_said = false;
    std::size_t targets_said = 0;
    Mono targets_said_at{};
    bool files_fault_said = false;
    std::size_t session_targets_said = 0;
    Mono files_said_at{};
    Mono wall_read_at{};
    std::atomic<Mono::rep> turned_at{Mono::clock::now().time_since_epoch().count()};
    std::atomic<bool> stop{false};
    std::thread thread;

    void run() {
        while (!stop.load(std::memory_order_relaxed)) {
            const Mono before = runtime::mono_now();
            const Mono latest = before + Worker::kLongestTurn;
            const Mono due = changes.empty() ? std::min(latest, worker.next_due(before)) : before;
            if (due > before) io.run_one_until(due);
            const int handled = self_doubt == SelfDoubt::on ? serve_sockets() : 0;
            apply_changes();
            const Mono now = runtime::mono_now();
            if (now - wall_read_at >= kWallLooks) read_wall(now);
            worker.tick(now, handled < kHandlersPerTurn ? kStartsPerTurn : 0, actions);
            for (const Action& action : actions) {
                if (const auto* const start = std::get_if<StartPing>(&action)) {
                    metrics.observe_lateness(in_seconds(now - start->due));
                    begin(start->ping, start->target);
                } else if (const auto* const check = std::get_if<StartCheck>(&action)) {
                    metrics.observe_lateness(in_seconds(now - check->due));
                    sessions.check(check->ping, check->session, check->with_lag);
                } else if (const auto* const opening = std::get_if<OpenSession>(&action)) {
                    log_in(opening->session);
                } else if (const auto* const closing = std::get_if<CloseSession>(&action)) {
                    sessions.close(closing->session);
                } else if (const auto* const expired = std::get_if<ExpirePing>(&action)) {
                    expire(expired->ping);
                } else {
                    references.ask();
                }
            }
            actions.clear();
            if (self_doubt == SelfDoubt::off) serve_sockets();
            publisher.push(results);
            metrics.set_targets(static_cast<double>(worker.targets()));
            metrics.set_in_flight(worker.in_flight());
            metrics.set_sessions(worker.sessions(), worker.session_targets(), files.sessions);
            metrics.set_stalled_seconds(in_seconds(worker.stalled_for()));
            say_targets(now);
            say_lines(now);
            say_files(now);
            say_suspicion();
            turned_at.store(now.time_since_epoch().count(), std::memory_order_relaxed);
        }
    }

    /// Serves those that are ready, so many at most, and says how many it were.
    int serve_sockets() {
        int handled = 0;
        while (handled < kHandlersPerTurn && io.poll_one() != 0) ++handled;
        return handled;
    }

    /// As many as there is time for: a hundred thousand targets are to be there soon, and no answer late for it.
    void apply_changes() {
        const Mono until = runtime::mono_now() + kChangesTurn;
        for (std::size_t applied = 0; !changes.empty(); ++applied) {
            if (applied % kChangesBetweenLooks == kChangesBetweenLooks - 1 && runtime::mono_now() >= until)
                return;
            apply(changes.front());
            changes.pop_front();
        }
    }

    void say_targets(Mono now) {
        if (worker.targets() == targets_said || now - targets_said_at < kTargetLines) return;
        targets_said = worker.targets();
        targets_said_at = now;
        spdlog::info("targets pinged: {}", targets_said);
    }

    void say_files(Mono now) {
        const std::size_t targets = worker.session_targets();
        if (targets == session_targets_said || now - files_said_at < kTargetLines) return;
        session_targets_said = targets;
        files_said_at = now;
        const std::string fault = fault_of(files, targets);
        if (!fault.empty()) spdlog::warn(fault);
        if (fault.empty() && files_fault_said)
            spdlog::info("every target in mode session may have its session again");
        files_fault_said = !fault.empty();
    }

    SessionEngine::Events session_events() {
        return {
            [this](SessionId session, const SessionFacts& facts) {
                Endpoint& endpoint = endpoints[session.target];
                if (!std::exchange(endpoint.login_fault, {}).empty()) {
                    lines.add(PacedLines::Level::info,
                              "target " + endpoint.definition.name + ": a session is held again");
                }
                publish(worker.session_opened(session, facts, runtime::mono_now(), runtime::wall_now()), {});
            },
            [this](SessionId session, const PingResult& result, const std::string& text) {
                login_refused(session, result, text);
            },
            [this](PingId ping, const PingResult& result, const SessionFacts& facts) {
                publish(worker.checked(ping, result, facts, runtime::mono_now(), runtime::wall_now()),
                        result.rtt);
            },
            [this](PingId ping) { worker.abandoned(ping, runtime::mono_now()); },
            [this](SessionId session, std::string_view sqlstate) {
                metrics.count_session_end(sqlstate);
                spdlog::debug("target {}: the session ended ({})", endpoints[session.target].definition.name,
                              sqlstate.empty() ? "no reason given" : sqlstate);
                worker.session_ended(session, runtime::mono_now());
            },
        };
    }

    void log_in(SessionId session) {
        const Endpoint& endpoint = endpoints[session.target];
        // Read for each login, so that a new password needs no restart.
        const auto credentials = read_credentials(endpoint.definition.credentials);
        if (!credentials) {
            login_refused(session, {Verdict::not_attempted, Reason::config, {}, std::nullopt},
                          credentials.error());
            return;
        }
        sessions.open(session,
                      ConnectionParameters{endpoint.definition, addresses_of(endpoint), *credentials},
                      std::max(kLoginPatience, endpoint.definition.timeout));
    }

    void read_wall(Mono now) {
        wall_read_at = now;
        worker.set_wall_offset(runtime::wall_now().time_since_epoch() - now.time_since_epoch());
    }

    void say_lines(Mono now) {
        while (const auto line = lines.next(now)) {
            switch (line->level) {
                case PacedLines::Level::info:
                    spdlog::info(line->text);
                    break;
                case PacedLines::Level::warning:
                    spdlog::warn(line->text);
                    break;
                case PacedLines::Level::error:
                    spdlog::error(line->text);
                    break;
            }
        }
    }

    /// Once for each fault of a target.
    void say_target_fault(const Endpoint& endpoint, std::string& said, const std::string& fault) {
        if (std::exchange(said, fault) == fault) return;
        lines.add(PacedLines::Level::warning, "target " + endpoint.definition.name + ": " + fault);
    }

    void login_refused(SessionId session, const PingResult& result, const std::string& text) {
        Endpoint& endpoint = endpoints[session.target];
        metrics.count_refused_login(result.reason);
        say_target_fault(endpoint, endpoint.login_fault,
                         "no session, it is pinged by fresh connections meanwhile: " + text);
        publish(worker.session_refused(session, result, runtime::mono_now(), runtime::wall_now()), {});
    }

    void say_suspicion() {
        if (worker.suspect() == suspicion_said) return;
        suspicion_said = worker.suspect();
        metrics.set_suspect(suspicion_said);
        if (suspicion_said) {
            spdlog::warn(
                "most targets that were just pinged began to fail without an answer: this worker doubts "
                "itself, "
                "and its pings say so");
        } else {
            spdlog::info("this worker trusts itself again");
        }
    }

    void answered(bool any) {
        worker.references_answered(any, runtime::mono_now());
        if (!any) metrics.count_unanswered_references();
    }

    void begin(PingId ping, TargetIndex target) {
        Endpoint& endpoint = endpoints[target];
        if (endpoint.parameters) {
            if (ping.slot >= beginnings.size()) beginnings.resize(ping.slot + 1);
            beginnings[ping.slot] = {ping, endpoint.made, endpoint.order.number()};
            engine.start(ping, *endpoint.parameters);
            return;
        }
        const Host& host = hosts.at(endpoint.definition.address);
        // Nobody is to blame before the first lookup has ended, nor where this worker could make none.
        const bool not_found = host.looked_up && !host.observer_exhausted;
        finished(ping, not_found
                           ? PingResult{Verdict::no_response, Reason::dns, {}, std::nullopt}
                           : PingResult{Verdict::inconclusive, Reason::observer_stalled, {}, std::nullopt});
    }

    /// What a ping found, less what is no fault of the server: libpq looks at the files of a definition only when the
    /// server has agreed to TLS, and tells them from a bad certificate by its text alone.
    PingResult without_own_faults(Endpoint& endpoint, const PingResult& result) {
        if (result.verdict != Verdict::no_response || result.reason != Reason::tls) return result;
        const std::string fault = fault_of_tls_files(endpoint.definition);
        if (fault.empty()) return result;
        say_target_fault(endpoint, endpoint.tls_fault,
                         fault + "; its pings say nothing until that is mended");
        return {Verdict::not_attempted, Reason::config, {}, std::nullopt};
    }

    void expire(PingId ping) {
        if (const auto check = sessions.expire(ping)) {
            finished(ping, *check);
            return;
        }
        PingResult result = engine.expire(ping).value_or(
            PingResult{Verdict::inconclusive, Reason::observer_stalled, {}, std::nullopt});
        if (self_doubt == SelfDoubt::off && result.verdict == Verdict::inconclusive)
            result = {Verdict::no_response, Reason::timeout, {}, std::nullopt};
        finished(ping, result);
    }

    void finished(PingId id, PingResult result) {
        if (worker.under_way(id)) {
            Endpoint& endpoint = endpoints[worker.target_of(id)];
            if (result.verdict == Verdict::no_response) {
                result = without_own_faults(endpoint, result);
                if (endpoint.has_host_name) doubt_address(endpoint, id, result);
            } else if (result.verdict == Verdict::accepting &&
                       !std::exchange(endpoint.tls_fault, {}).empty()) {
                lines.add(PacedLines::Level::info,
                          "target " + endpoint.definition.name + ": its TLS files can be used again");
            }
        }
        publish(worker.finished(id, result, runtime::mono_now(), runtime::wall_now()), result.rtt);
    }

    void doubt_address(Endpoint& endpoint, PingId id, const PingResult& result) {
        // A server that has moved is found sooner where its old address is doubted.
        resolver.doubt(endpoint.definition.address);
        if (result.reason != Reason::timeout || id.slot >= beginnings.size()) return;
        // A session's check is none of those that try addresses.
        const Beginning& began = beginnings[id.slot];
        if (began.ping == id && began.endpoint == endpoint.made && endpoint.order.silent(began.order))
            set_parameters(endpoint);
    }

    void publish(std::optional<Finding> finding, std::optional<std::chrono::microseconds> rtt) {
        if (!finding) return;
        metrics.count_ping(finding->ping.verdict, finding->ping.reason, finding->ping.via);
        if (rtt) metrics.observe_rtt(in_seconds(*rtt));
        if (finding->calls_observers) {
            metrics.count_call();
            results.emplace_back(CallObservers{finding->ping.target});
        }
        results.emplace_back(std::move(finding->ping));
    }

    void apply(const TargetChange& change) {
        if (const auto* const put = std::get_if<TargetPut>(&change)) {
            apply(put->definition);
        } else if (const auto* const removed = std::get_if<TargetRemoved>(&change)) {
            const auto index = worker.remove_target(removed->name);
            if (!index) return;
            spdlog::debug("target {} was removed", removed->name);
            forget_host(*index);
            endpoints[*index] = {};
        } else {
            metrics.count_refused_definition();
            lines.add(PacedLines::Level::error,
                      "bucket of targets: " + std::get<DefinitionRefused>(change).fault);
        }
    }

    void apply(const contract::TargetDefinition& definition) {
        const TargetIndex index = worker.put_target(definition, runtime::mono_now());
        if (index >= endpoints.size()) endpoints.resize(index + 1);
        Endpoint& endpoint = endpoints[index];
        if (endpoint.present && same_endpoint(endpoint.definition, definition)) return;
        spdlog::debug("target {} is at {}:{}", definition.name, definition.address, definition.port);
        // What is known of a name stays known, also while nobody answers for it.
        const bool same_name = endpoint.has_host_name && endpoint.definition.address == definition.address;
        AddressOrder order = same_name ? std::move(endpoint.order) : AddressOrder{};
        if (!same_name) forget_host(index);
        endpoint = {};
        endpoint.definition = definition;
        endpoint.present = true;
        endpoint.made = ++endpoints_made;
        endpoint.has_host_name = !is_numeric_address(definition.address);
        endpoint.order = std::move(order);
        if (endpoint.has_host_name && !same_name) {
            Host& host = hosts[definition.address];
            host.targets.push_back(index);
            if (!host.addresses.empty()) endpoint.order.renew(host.addresses);
            resolver.follow(definition.address);
        }
        set_parameters(endpoint);
    }

    static std::vector<std::string> addresses_of(const Endpoint& endpoint) {
        if (!endpoint.has_host_name) return {endpoint.definition.address};
        return endpoint.order.addresses();
    }

    static void set_parameters(Endpoint& endpoint) {
        const std::vector<std::string> addresses = addresses_of(endpoint);
        if (!addresses.empty()) endpoint.parameters.emplace(endpoint.definition, addresses);
    }

    void forget_host(TargetIndex index) {
        const auto host = hosts.find(endpoints[index].definition.address);
        if (host == hosts.end()) return;
        std::erase(host->second.targets, index);
        if (!host->second.targets.empty()) return;
        resolver.forget(host->first);
        hosts.erase(host);
    }

    /// Once for each name that is lost, not for each attempt to find it again.
    void say_lookup(const std::string& name, Host& host, const Resolver::Answer& answer) {
        const bool failed = answer.addresses.empty();
        if (std::exchange(host.failed, failed) == failed || !failed) return;
        std::string line = "host name '" + name + "' is not found";
        if (answer.observer_exhausted) line += ", because this process can open no more files";
        line += host.addresses.empty() ? ": trying again" : ": its last addresses stay in use";
        if (!host.targets.empty()) {
            line += " (target " + endpoints[host.targets.front()].definition.name;
            if (host.targets.size() > 1) line += " and " + std::to_string(host.targets.size() - 1) + " more";
            line += ")";
        }
        lines.add(PacedLines::Level::warning, std::move(line));
    }

    void resolved(const std::string& name, const Resolver::Answer& answer) {
        const auto found = hosts.find(name);
        if (found == hosts.end()) return;
        Host& host = found->second;
        host.observer_exhausted = answer.observer_exhausted;
        say_lookup(name, host, answer);
        const bool first = !host.looked_up;
        host.looked_up |= !answer.observer_exhausted;
        // While a name is not answered its last good addresses stay in use.
        const bool other = !answer.addresses.empty() && answer.addresses != host.addresses;
        if (other) host.addresses = answer.addresses;
        if (!first && !other) return;
        for (const TargetIndex index : host.targets) {
            Endpoint& endpoint = endpoints[index];
            if (other && endpoint.order.renew(host.addresses)) set_parameters(endpoint);
            // It was not pinged until now.
            if (first) worker.called(endpoint.definition.name, runtime::mono_now());
        }
    }
};

Loop::Loop(Worker::Identity identity, Schedule::Limits limits, std::vector<Reference> references,
           Publisher& publisher, Metrics& metrics, const OpenFiles& files, SelfDoubt self_doubt)
    : impl_(std::make_unique<Impl>(std::move(identity), limits, std::move(references), publisher, metrics,
                                   files, self_doubt)) {
    impl_->thread = std::thread{[impl = impl_.get()] { impl->run(); }};
}

Loop::~Loop() { stop(); }

void Loop::stop() {
    if (!impl_->thread.joinable()) return;
    impl_->stop.store(true);
    asio::post(impl_->io, [] {});
    impl_->thread.join();
}

void Loop::change_targets(std::vector<TargetChange> changes) {
    asio::post(impl_->io, [impl = impl_.get(), changes = std::move(changes)]() mutable {
        impl->changes.insert(impl->changes.end(), std::make_move_iterator(changes.begin()),
                             std::make_move_iterator(changes.end()));
    });
}

void Loop::set_probes(std::vector<std::string> probes) {
    asio::post(impl_->io,
               [impl = impl_.get(), probes = std::move(probes)] { impl->worker.set_probes(probes); });
}

void Loop::call(std::string target) {
    asio::post(impl_->io, [impl = impl_.get(), target = std::move(target)] {
        impl->worker.called(target, runtime::mono_now());
    });
}

bool Loop::turned_within(std::chrono::milliseconds time) const {
    const Mono turned{Mono::duration{impl_->turned_at.load(std::memory_order_relaxed)}};
    return runtime::mono_now() - turned < time;
}

}  // namespace pgpulse::probe
