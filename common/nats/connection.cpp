#include "common/nats/connection.hpp"

#include "common/nats/missing_right.hpp"
#include "common/nats/server_url.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

namespace pgpulse::nats {
namespace {

constexpr int64_t kPingIntervalMs = 2000;
constexpr int kMaxPingsOut = 2;
constexpr int64_t kConnectTimeoutMs = 2000;
constexpr int64_t kWriteDeadlineMs = 1000;
constexpr int kReconnectBufferBytes = 256 * 1024;
constexpr int64_t kFirstReconnectDelayMs = 100;
constexpr int64_t kLastReconnectDelayMs = 2000;
constexpr std::chrono::seconds kHandshakeDeadline{30};
constexpr std::chrono::milliseconds kHandshakePause{250};

/// nats.c before 3.8 can spin for ever in natsConnection_Connect against a peer that sends INFO and then
/// nothing (nats.c #706), and nothing but the end of the process stops that thread.
class HandshakeWatchdog {
  public:
    explicit HandshakeWatchdog(std::string url) : thread_([this, url = std::move(url)] { watch(url); }) {}
    HandshakeWatchdog(const HandshakeWatchdog&) = delete;
    HandshakeWatchdog& operator=(const HandshakeWatchdog&) = delete;
    ~HandshakeWatchdog() {
        {
            const std::lock_guard lock{mutex_};
            done_ = true;
        }
        wake_.notify_one();
        thread_.join();
    }

  private:
    std::mutex mutex_;
    std::condition_variable wake_;
    bool done_ = false;
    std::thread thread_;

    void watch(const std::string& url) {
        std::unique_lock lock{mutex_};
        if (wake_.wait_for(lock, kHandshakeDeadline, [this] { return done_; })) return;
        spdlog::critical("NATS at {} took the connection and then said nothing for {} s: giving up", url,
                         kHandshakeDeadline.count());
        spdlog::default_logger()->flush();
        std::_Exit(1);
    }
};

/// The server may come yet. Everything else (refused credentials, a file that cannot be read) will not change
/// by waiting.
bool is_absence(natsStatus s) {
    return s == NATS_NO_SERVER || s == NATS_TIMEOUT || s == NATS_CONNECTION_CLOSED || s == NATS_IO_ERROR;
}

/// The connection was taken and the handshake then failed: the server is frozen, or a proxy stands where it
/// is not yet. Only nats.c's stack of this thread's last error tells it from a host that takes none.
bool handshake_failed() {
    char stack[1024] = {};
    nats_GetLastErrorStack(stack, sizeof stack);
    return std::string_view{stack}.find("_processConnInit") != std::string_view::npos;
}

/// The process was told to end, by a signal that is blocked and that nobody has taken yet.
bool end_is_asked_for() {
    sigset_t pending;
    sigemptyset(&pending);
    sigpending(&pending);
    return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1;
}

bool is_inbox_prefix(std::string_view text) {
    if (text.empty() || text.front() == '.' || text.back() == '.' ||
        text.find("..") != std::string_view::npos)
        return false;
    return std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
               c == '-' || c == '.';
    });
}

/// Connects without nats.c's own retry until the first handshake is done or nobody takes the connection: told
/// to retry, nats.c 3.4 closes for good, and without the reason, when the first handshake fails.
/// NATS_NOT_YET_CONNECTED: nobody takes the connection. Any other fault: waiting does not help, or took
/// longer than `patience`, or the process is to end.
natsStatus connect_first(natsConnection** connection, natsOptions* options,
                         std::chrono::milliseconds patience, const std::string& url_for_log) {
    const auto began = std::chrono::steady_clock::now();
    for (bool told = false;; told = true) {
        natsStatus s = NATS_OK;
        {
            const HandshakeWatchdog watchdog{url_for_log};
            s = natsConnection_Connect(connection, options);
        }
        if (s == NATS_OK || !is_absence(s)) return s;
        if (!handshake_failed()) return NATS_NOT_YET_CONNECTED;
        if (std::chrono::steady_clock::now() - began >= patience || end_is_asked_for()) return s;
        if (!told) {
            spdlog::warn("NATS at {} takes the connection and does not answer: trying again until it does",
                         url_for_log);
        }
        std::this_thread::sleep_for(kHandshakePause);
    }
}

}  // namespace

Result<std::unique_ptr<Connection>> Connection::open(const ConnectOptions& options, OnChange on_change) {
    if (!is_inbox_prefix(options.inbox_prefix)) {
        return tl::unexpected(Error{
            NATS_INVALID_ARG, static_cast<jsErrCode>(0),
            "NATS_INBOX_PREFIX: expected tokens of A-Z, a-z, 0-9, '_' and '-' with dots between them, such "
            "as _INBOX_probe-1, found '" +
                options.inbox_prefix + "'"});
    }
    std::unique_ptr<Connection> self{new Connection{options.inbox_prefix}};
    self->on_change_ = std::move(on_change);
    self->url_for_log_ = self->server_for_log_ = without_secrets(options.url);
    const auto urls = parse_server_urls(options.url);
    if (!urls)
        return tl::unexpected(Error{NATS_INVALID_ARG, static_cast<jsErrCode>(0), "--nats: " + urls.error()});

    natsOptions* raw = nullptr;
    if (const natsStatus s = natsOptions_Create(&raw); s != NATS_OK)
        return tl::unexpected(make_error("NATS options", s));
    const OptionsHandle opts{raw};

    natsStatus failed = NATS_OK;
    std::string failed_at;
    const auto set = [&](const char* what, natsStatus s) {
        if (s != NATS_OK && failed == NATS_OK) {
            failed = s;
            failed_at = make_error(what, s).text;
        }
    };
    std::vector<const char*> servers;
    servers.reserve(urls->size());
    for (const std::string& url : *urls) servers.push_back(url.c_str());
    set("--nats", natsOptions_SetServers(raw, servers.data(), static_cast<int>(servers.size())));
    if (!options.client_name.empty())
        set("client name", natsOptions_SetName(raw, options.client_name.c_str()));
    if (!options.user.empty()) {
        set("NATS_USER", natsOptions_SetUserInfo(raw, options.user.c_str(), options.password.c_str()));
    }
    if (!options.token.empty()) set("NATS_TOKEN", natsOptions_SetToken(raw, options.token.c_str()));
    if (!options.credentials_file.empty()) {
        set("NATS_CREDS",
            natsOptions_SetUserCredentialsFromFiles(raw, options.credentials_file.c_str(), nullptr));
    }
    if (!options.nkey_seed_file.empty()) {
        set("NATS_NKEY", natsOptions_SetNKeyFromSeed(raw, nullptr, options.nkey_seed_file.c_str()));
    }
    if (!options.ca_file.empty()) {
        set("NATS_CA", natsOptions_LoadCATrustedCertificates(raw, options.ca_file.c_str()));
        set("TLS", natsOptions_SetSecure(raw, true));
    }
    if (!options.certificate_file.empty()) {
        set("NATS_CERT and NATS_KEY", natsOptions_LoadCertificatesChain(raw, options.certificate_file.c_str(),
                                                                        options.key_file.c_str()));
        set("TLS", natsOptions_SetSecure(raw, true));
    }
    // nats.c 3.4 takes tls:// and then speaks in the clear all the same.
    if (std::ranges::any_of(*urls, [](const std::string& url) { return url.starts_with("tls://"); })) {
        set("TLS", natsOptions_SetSecure(raw, true));
    }
    set("NATS_INBOX_PREFIX", natsOptions_SetCustomInboxPrefix(raw, options.inbox_prefix.c_str()));
    set("ping interval", natsOptions_SetPingInterval(raw, kPingIntervalMs));
    set("pings out", natsOptions_SetMaxPingsOut(raw, kMaxPingsOut));
    set("timeout", natsOptions_SetTimeout(raw, kConnectTimeoutMs));
    set("write deadline", natsOptions_SetWriteDeadline(raw, kWriteDeadlineMs));
    set("reconnect for ever", natsOptions_SetMaxReconnect(raw, -1));
    set("reconnect delay",
        natsOptions_SetCustomReconnectDelay(raw, &Connection::reconnect_delay, self.get()));
    set("reconnect buffer", natsOptions_SetReconnectBufSize(raw, kReconnectBufferBytes));
    set("fail requests", natsOptions_SetFailRequestsOnDisconnect(raw, true));
    set("disconnected", natsOptions_SetDisconnectedCB(raw, &Connection::on_disconnected, self.get()));
    set("reconnected", natsOptions_SetReconnectedCB(raw, &Connection::on_connected, self.get()));
    set("closed", natsOptions_SetClosedCB(raw, &Connection::on_closed, self.get()));
    if (options.one_delivery_thread) set("delivery", natsOptions_UseGlobalMessageDelivery(raw, true));
    set("errors", natsOptions_SetErrorHandler(raw, &Connection::on_error, self.get()));
    if (failed != NATS_OK) return tl::unexpected(Error{failed, static_cast<jsErrCode>(0), failed_at});

    natsConnection* connection = nullptr;
    natsStatus s = connect_first(&connection, raw, options.first_handshake_patience, self->url_for_log_);
    if (s == NATS_NOT_YET_CONNECTED) {
        natsOptions_SetRetryOnFailedConnect(raw, true, &Connection::on_connected, self.get());
        const HandshakeWatchdog watchdog{self->url_for_log_};
        s = natsConnection_Connect(&connection, raw);
    }
    if (s != NATS_OK && s != NATS_NOT_YET_CONNECTED) {
        return tl::unexpected(make_error("NATS at " + self->url_for_log_, s));
    }
    self->handle_.reset(connection);
    if (s == NATS_OK) {
        // nats.c calls the connected handler for attempts in the background only.
        on_connected(connection, self.get());
    } else {
        spdlog::warn("NATS at {} cannot be reached yet: trying again until it can", self->url_for_log_);
    }
    return self;
}

Connection::~Connection() { close({}); }

void Connection::close(std::chrono::milliseconds flush_within) {
    if (!handle_ || closing_.load()) return;
    // What nobody takes is lost: that it could not be sent is known by then.
    if (flush_within.count() > 0 && connected()) static_cast<void>(flush(flush_within));
    closing_.store(true);
    connected_.store(false);
    natsConnection_Close(handle_.get());
    // The closed callback is the last one that uses this object; nats.c runs it on a thread of its own.
    closed_.wait(false);
    retired_->finish();
}

std::string Connection::server_of(natsConnection* handle) const {
    char url[512] = {};
    // It may be lost again already.
    const natsStatus s = natsConnection_GetConnectedUrl(handle, url, sizeof url);
    return s == NATS_OK && url[0] != '\0' ? without_secrets(url) : url_for_log_;
}

void Connection::on_connected(natsConnection* handle, void* self) {
    auto* connection = static_cast<Connection*>(self);
    // First: whoever sees the connection established sees a number that will not grow on its account.
    connection->times_established_.fetch_add(1);
    if (connection->connected_.exchange(true)) return;
    const std::string server = connection->server_of(handle);
    {
        const std::lock_guard lock{connection->mutex_};
        connection->server_for_log_ = server;
    }
    spdlog::info("connected to NATS at {}", server);
    if (connection->on_change_) connection->on_change_(true);
}

void Connection::on_disconnected(natsConnection*, void* self) {
    auto* connection = static_cast<Connection*>(self);
    if (!connection->connected_.exchange(false) || connection->closing_.load()) return;
    std::string server;
    {
        const std::lock_guard lock{connection->mutex_};
        server = connection->server_for_log_;
    }
    spdlog::warn("lost NATS at {}: reconnecting", server);
    if (connection->on_change_) connection->on_change_(false);
}

void Connection::on_closed(natsConnection* handle, void* self) {
    auto* connection = static_cast<Connection*>(self);
    if (!connection->closing_.load()) {
        const char* why = nullptr;
        natsConnection_GetLastError(handle, &why);
        spdlog::critical(
            "NATS at {} refused this client for good: {}; ending, so that a supervisor starts it anew",
            connection->url_for_log_, why == nullptr ? "no reason given" : why);
        spdlog::default_logger()->flush();
        std::_Exit(1);
    }
    connection->closed_.store(true);
    connection->closed_.notify_all();
}

void Connection::on_error(natsConnection* handle, natsSubscription* subscription, natsStatus status,
                          void* self) {
    if (status == NATS_SLOW_CONSUMER) {
        spdlog::warn("NATS: messages on '{}' arrive faster than they are read; some were dropped",
                     natsSubscription_GetSubject(subscription));
        return;
    }
    const char* text = nullptr;
    natsConnection_GetLastError(handle, &text);
    // Here and nowhere else a missing right is told: what was published is lost, a request times out. The text is that
    // of the last error that had one, which may be an older one than this.
    const auto missing = status == NATS_NOT_PERMITTED
                             ? parse_permissions_violation(text == nullptr ? "" : text)
                             : std::nullopt;
    if (missing) {
        auto* const connection = static_cast<Connection*>(self);
        {
            const std::lock_guard lock{connection->mutex_};
            connection->missing_ = missing;
        }
        if (const auto line = connection->missing_rights_.line(*missing, std::chrono::steady_clock::now()))
            spdlog::error(*line);
        return;
    }
    const bool explained = text != nullptr && *text != '\0';
    const std::string line =
        std::string{"NATS: "} + natsStatus_GetText(status) + (explained ? std::string{": "} + text : "");
    // What the connection's own lines say already, or what is tried again.
    const bool passing = !explained || status == NATS_TIMEOUT || status == NATS_CONNECTION_DISCONNECTED ||
                         status == NATS_CONNECTION_CLOSED;
    spdlog::log(passing ? spdlog::level::debug : spdlog::level::err, line);
}

std::optional<MissingRight> Connection::missing_right() const {
    const std::lock_guard lock{mutex_};
    return missing_;
}

int64_t Connection::reconnect_delay(natsConnection*, int attempts, void*) {
    const int doublings = std::clamp(attempts - 1, 0, 10);
    return std::min(kFirstReconnectDelayMs << doublings, kLastReconnectDelayMs);
}

Result<void> Connection::publish(const std::string& subject, std::string_view payload) {
    const natsStatus s = natsConnection_Publish(handle_.get(), subject.c_str(), payload.data(),
                                                static_cast<int>(payload.size()));
    if (s != NATS_OK) return tl::unexpected(make_error("publish on " + subject, s));
    return {};
}

std::string Connection::new_inbox() const {
    natsInbox* raw = nullptr;
    // Fails for want of memory alone.
    if (natsInbox_Create(&raw) != NATS_OK) throw std::bad_alloc{};
    // nats.c gives no access to those that it makes with the connection's prefix.
    std::string inbox = inbox_prefix_ + (raw + kInboxPrefix.size());
    natsInbox_Destroy(raw);
    return inbox;
}

Result<void> Connection::flush(std::chrono::milliseconds timeout) {
    const natsStatus s = natsConnection_FlushTimeout(handle_.get(), timeout.count());
    if (s != NATS_OK) return tl::unexpected(make_error("flush", s));
    return {};
}

}  // namespace pgpulse::nats
