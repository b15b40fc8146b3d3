#pragma once

#include "common/nats/connection.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace pgpulse::nats {

/// The message's subject and payload; the views live as long as the message.
std::string_view subject_of(const Message& message);
std::string_view payload_of(const Message& message);

/// A core NATS subscription whose messages arrive on a thread of their own.
class Subscription {
  public:
    using OnMessage = std::function<void(Message)>;

    /// `pending_limit`: messages that may wait for the callback; further ones are dropped and counted.
    static Result<std::unique_ptr<Subscription>> open(Connection& connection, const std::string& subject,
                                                      OnMessage on_message, int pending_limit = 512 * 1024);

    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    ~Subscription();

    /// Messages the library dropped because the callback did not keep up.
    [[nodiscard]] std::int64_t dropped() const;

  private:
    Subscription() = default;
    static void deliver(natsConnection*, natsSubscription*, natsMsg* message, void* self);
    static void completed(void* done);

    OnMessage on_message_;
    natsConnection* connection_ = nullptr;
    std::shared_ptr<RetiredSubscriptions> retired_;
    SubscriptionHandle handle_;
    std::shared_ptr<struct SubscriptionEnd> end_;
};

}  // namespace pgpulse::nats
