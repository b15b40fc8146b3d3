#pragma once

#include "common/nats/error.hpp"
#include "common/nats/handles.hpp"
#include "common/nats/missing_right.hpp"
#include "common/nats/retired_subscriptions.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pgpulse::nats {

/// How to reach NATS. Names follow the environment variables users know (NATS_URL, NATS_USER, ...); empty
/// means not given.
struct ConnectOptions {
    std::string url = "nats://127.0.0.1:4222";  // one or several, separated by commas
    std::string user;
    std::string password;
    std::string token;
    std::string credentials_file;  // .creds
    std::string nkey_seed_file;
    std::string certificate_file;
    std::string key_file;
    std::string ca_file;
    /// What the subjects of all answers begin with: tokens of A-Z, a-z, 0-9, '_' and '-', separated by dots. A user whose
    /// right to subscribe ends there reads nobody else's answers.
    std::string inbox_prefix{kInboxPrefix};
    std::string client_name;  // shown by the server's connection list
    /// One thread of the process delivers the messages of all subscriptions, in the order in which they came, rather
    /// than one for each.
    bool one_delivery_thread = false;
    /// How long `open` goes on when a server takes the connection and does not answer.
    std::chrono::milliseconds first_handshake_patience = std::chrono::hours{24 * 365};
};

/// A connection to NATS that keeps trying for ever: if the server is not there at start it says so once and
/// connects in the background. Settings are a daemon's, not a script's (docs/architecture.md). Loss and
/// return are logged once each.
///
/// nats.c runs every callback on one thread of the process: `on_change` must not block.
class Connection {
  public:
    /// `on_change` is called with true when the connection is established or re-established and with false
    /// when it is lost.
    using OnChange = std::function<void(bool connected)>;

    /// Error: options that waiting does not mend (a malformed URL or inbox prefix, an unreadable credentials file,
    /// credentials the server refuses). A server that is away is not an error. Blocks while a server takes
    /// the connection and does not answer, until `first_handshake_patience` is over or SIGTERM or SIGINT,
    /// blocked, is waiting to be taken; then it is an error.
    static Result<std::unique_ptr<Connection>> open(const ConnectOptions& options, OnChange on_change = {});

    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection();

    /// Sends what is buffered, waiting for the server at most `flush_within`, and closes for good: whoever waits for an
    /// answer is told at once that none comes, and nothing can be sent any more. Of one thread, which may then end
    /// whatever uses the connection without waiting for NATS. It may still block for about two seconds while it is
    /// being established anew with a server that is frozen.
    void close(std::chrono::milliseconds flush_within);

    [[nodiscard]] bool connected() const { return connected_.load(std::memory_order_acquire); }

    /// How often the connection was established so far. Where it has grown, another server may answer, or the same
    /// one without its newest writes.
    [[nodiscard]] std::uint64_t times_established() const {
        return times_established_.load(std::memory_order_acquire);
    }

    /// Publishes on core NATS. Buffered; may block for about two seconds when the server is frozen.
    Result<void> publish(const std::string& subject, std::string_view payload);

    /// A new subject below the connection's prefix.
    [[nodiscard]] std::string new_inbox() const;
    [[nodiscard]] const std::string& inbox_prefix() const { return inbox_prefix_; }

    /// Sends what is buffered and waits for the server to have it; at most `timeout`.
    Result<void> flush(std::chrono::milliseconds timeout);

    /// The right whose lack the server has spoken of last; empty: none yet. Any thread.
    [[nodiscard]] std::optional<MissingRight> missing_right() const;

    /// nats.c's handle, for this folder's other classes.
    [[nodiscard]] natsConnection* handle() const { return handle_.get(); }
    /// Where subscriptions of this connection go to end.
    [[nodiscard]] const std::shared_ptr<RetiredSubscriptions>& retired() const { return retired_; }

  private:
    explicit Connection(std::string inbox_prefix)
        : inbox_prefix_(std::move(inbox_prefix)), missing_rights_(inbox_prefix_) {}

    /// Which of the servers it is connected to, for the log; all of them where it is lost.
    [[nodiscard]] std::string server_of(natsConnection* handle) const;

    static void on_connected(natsConnection*, void* self);
    static void on_disconnected(natsConnection*, void* self);
    static void on_closed(natsConnection*, void* self);
    static void on_error(natsConnection*, natsSubscription*, natsStatus, void* self);
    static int64_t reconnect_delay(natsConnection*, int attempts, void* self);

    OnChange on_change_;
    std::atomic<bool> connected_{false};
    std::atomic<std::uint64_t> times_established_{0};
    std::atomic<bool> closing_{false};
    std::atomic<bool> closed_{false};
    std::string url_for_log_;  // all servers, without a password
    const std::string inbox_prefix_;
    MissingRightLines missing_rights_;  // of nats.c's thread
    mutable std::mutex mutex_;
    std::optional<MissingRight> missing_;
    std::string server_for_log_;  // of several, that which it is connected to
    ConnectionHandle handle_;
    std::shared_ptr<RetiredSubscriptions> retired_ = std::make_shared<RetiredSubscriptions>();
};

}  // namespace pgpulse::nats
