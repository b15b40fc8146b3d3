#include "common/nats/subscription.hpp"

#include <atomic>

namespace pgpulse::nats {

/// Outlives the subscription until nats.c's delivery thread has ended.
struct SubscriptionEnd {
    std::atomic<bool> reached{false};
};

std::string_view subject_of(const Message& message) { return natsMsg_GetSubject(message.get()); }

std::string_view payload_of(const Message& message) {
    return {natsMsg_GetData(message.get()), static_cast<std::size_t>(natsMsg_GetDataLength(message.get()))};
}

Result<std::unique_ptr<Subscription>> Subscription::open(Connection& connection, const std::string& subject,
                                                         OnMessage on_message, int pending_limit) {
    std::unique_ptr<Subscription> self{new Subscription};
    self->on_message_ = std::move(on_message);
    self->connection_ = connection.handle();
    self->retired_ = connection.retired();
    self->end_ = std::make_shared<SubscriptionEnd>();
    natsSubscription* raw = nullptr;
    natsStatus s = natsConnection_Subscribe(&raw, connection.handle(), subject.c_str(),
                                            &Subscription::deliver, self.get());
    if (s != NATS_OK) return tl::unexpected(make_error("subscribe to " + subject, s));
    self->handle_.reset(raw);
    auto* end = new std::shared_ptr<SubscriptionEnd>{self->end_};
    s = natsSubscription_SetOnCompleteCB(raw, &Subscription::completed, end);
    if (s != NATS_OK) {
        delete end;
        self->end_->reached.store(true);
        return tl::unexpected(make_error("subscribe to " + subject, s));
    }
    natsSubscription_SetPendingLimits(raw, pending_limit, -1);
    return self;
}

Subscription::~Subscription() {
    if (!handle_) return;
    natsSubscription_Unsubscribe(handle_.get());
    end_->reached.wait(false);
    retired_->add(connection_, std::move(handle_));
}

std::int64_t Subscription::dropped() const {
    std::int64_t count = 0;
    natsSubscription_GetDropped(handle_.get(), &count);
    return count;
}

void Subscription::deliver(natsConnection*, natsSubscription*, natsMsg* message, void* self) {
    static_cast<Subscription*>(self)->on_message_(Message{message});
}

void Subscription::completed(void* done) {
    const std::unique_ptr<std::shared_ptr<SubscriptionEnd>> end{
        static_cast<std::shared_ptr<SubscriptionEnd>*>(done)};
    (*end)->reached.store(true);
    (*end)->reached.notify_all();
}

}  // namespace pgpulse::nats
