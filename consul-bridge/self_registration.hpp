#pragma once

#include "common/runtime/clock.hpp"
#include "common/runtime/mailbox.hpp"
#include "consul-bridge/consul_client.hpp"
#include "consul-bridge/consul_options.hpp"
#include "consul-bridge/self_service.hpp"

#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <variant>

namespace pgpulse::consul_bridge {

/// Keeps the bridge's own service with its TTL check on the agent that it talks to, on a thread and a connection of
/// its own, and asks Consul for the other bridges where that matters. Registers again what the agent lost.
class SelfRegistration {
  public:
    /// What the bridge last told.
    struct Report {
        OwnCheck check;
        bool serves = false;           // the id is this bridge's: the others let it serve under it
        bool asks_for_others = false;  // then `on_others` is called

        bool operator==(const Report&) const = default;
    };

    struct Events {
        /// When the bridge's loop last turned. Called on this object's thread.
        std::function<runtime::Mono()> turned_at;
        /// Consul said whether another bridge's check passes. Called on this object's thread.
        std::function<void(bool)> on_others;
        /// The agent did not answer: one line that says how. Called on this object's thread.
        std::function<void(std::string)> on_no_answer;
    };

    SelfRegistration(const ConsulOptions& consul, SelfService service, Events events);
    SelfRegistration(const SelfRegistration&) = delete;
    SelfRegistration& operator=(const SelfRegistration&) = delete;
    /// As `leave`, and waits for its end, a second at most from the first `leave` on.
    ~SelfRegistration();

    /// Never blocks. What is new is told to the agent at once.
    void report(Report report);

    /// Deregisters, without waiting for it. Nothing is told any more.
    void leave();

  private:
    struct Leave {};
    using Event = std::variant<Report, Leave>;

    struct Fault {
        bool answered = false;
        std::string text;  // one line; empty: nothing to be said
    };
    using Done = std::optional<Fault>;  // empty: it is done

    void run();
    void keep(const Report& report);
    [[nodiscard]] Done renew(const OwnCheck& told, const OwnCheck& check);
    [[nodiscard]] Done begin(const OwnCheck& check);
    [[nodiscard]] Done why_not_ours();
    [[nodiscard]] Done put_service(const OwnCheck& check);
    [[nodiscard]] Done put_check(const OwnCheck& check);
    [[nodiscard]] Done put(const std::string& path, const std::string& body);
    void ask_for_others();
    void deregister();
    [[nodiscard]] Fault no_answer(const std::string& how);
    void say(const Done& done);
    void say_of_others(const std::string& why);

    SelfService service_;
    Events events_;
    ConsulClient client_;
    std::optional<Report> report_;
    std::optional<OwnCheck> told_;  // empty: the agent is not known to have the service
    bool registered_ = false;       // once at least
    std::string trouble_;           // that was said, and is not over
    std::string blindness_;         // of the other bridges; as trouble_
    std::optional<runtime::Mono> leaving_since_;
    runtime::Mailbox<Event> mailbox_;
    runtime::Mailbox<int> done_;
    std::thread thread_;
};

}  // namespace pgpulse::consul_bridge
