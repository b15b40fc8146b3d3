#include "common/nats/bucket.hpp"
#include "common/nats/connection.hpp"
#include "common/nats/subscription.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// Subscriptions that end while their messages arrive, which nats.c does not bear by itself.
namespace pgpulse::nats {
namespace {

using std::chrono::seconds;

constexpr int kRounds = 200;

class SubscriptionEnd : public testing::Test {
  protected:
    support::NatsServer server;
    std::unique_ptr<Connection> connection = connect();
    std::atomic<bool> flooding{true};
    std::thread flood;

    std::unique_ptr<Connection> connect() {
        ConnectOptions options;
        options.url = server.url();
        auto opened = Connection::open(options);
        if (!opened) throw std::runtime_error{opened.error().text};
        return std::move(*opened);
    }

    /// Publishes as fast as the server takes it, so many at once.
    void start_flood(const std::string& subject, std::uint64_t at_once) {
        flood = std::thread{[this, subject, at_once] {
            const auto own = connect();
            for (std::uint64_t i = 0; flooding; ++i) {
                static_cast<void>(own->publish(subject + std::to_string(i % 1000), "x"));
                // Not faster than the subscriber: it is to read what is new, not what is old.
                if (i % at_once == 0) static_cast<void>(own->flush(seconds{10}));
            }
        }};
    }

    void TearDown() override {
        flooding = false;
        if (flood.joinable()) flood.join();
        // The connection still does what it is told.
        EXPECT_TRUE(connection->flush(seconds{30}));
    }
};

TEST_F(SubscriptionEnd, WhileMessagesArriveHarmsNothing) {
    start_flood("flood.", 500);
    for (int round = 0; round < kRounds; ++round) {
        std::atomic<int> heard{0};
        auto subscription = Subscription::open(*connection, "flood.>", [&heard](const Message&) { ++heard; });
        ASSERT_TRUE(subscription) << subscription.error().text;
        ASSERT_TRUE(support::wait_until([&] { return heard > 0; }));
        subscription->reset();
        const int at_the_end = heard;
        ASSERT_TRUE(connection->flush(seconds{30}));
        EXPECT_EQ(heard, at_the_end) << "no message after the end";
    }
}

TEST_F(SubscriptionEnd, OfAWatchWhileItsBucketIsWrittenHarmsNothing) {
    BucketConfig config;
    config.name = "things";
    ASSERT_TRUE(ensure_bucket(*connection, config));
    // Servers from 2.10 on come to no end with a consumer of the newest values while those are written any faster.
    start_flood("$KV.things.k", 4);
    for (int round = 0; round < kRounds / 4; ++round) {
        std::atomic<int> told{0};
        auto watch =
            std::make_unique<BucketWatch>(*connection, "things", [&told](const BucketEvent&) { ++told; });
        ASSERT_TRUE(support::wait_until([&] { return told > round % 50; }));
        watch.reset();
    }
}

TEST_F(SubscriptionEnd, OutlivesItsConnection) {
    auto subscription = Subscription::open(*connection, "flood.>", [](const Message&) {});
    ASSERT_TRUE(subscription) << subscription.error().text;
    connection.reset();
    subscription->reset();
    connection = connect();
}

}  // namespace
}  // namespace pgpulse::nats
