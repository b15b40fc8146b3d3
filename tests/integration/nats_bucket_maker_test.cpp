#include "common/nats/bucket.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <utility>

namespace pgpulse::nats {
namespace {

class BucketMakerTest : public testing::Test {
  protected:
    support::NatsServer server;
    std::unique_ptr<Connection> connection = connect();
    BucketMaker maker{*connection, config()};

    static BucketConfig config() {
        BucketConfig config;
        config.name = "things";
        return config;
    }

    std::unique_ptr<Connection> connect() const {
        ConnectOptions options;
        options.url = server.url();
        auto opened = Connection::open(options);
        if (!opened) throw std::runtime_error{opened.error().text};
        return std::move(*opened);
    }

    void delete_bucket() const {
        jsCtx* raw = nullptr;
        ASSERT_EQ(natsConnection_JetStream(&raw, connection->handle(), nullptr), NATS_OK);
        const JetStreamHandle js{raw};
        ASSERT_EQ(js_DeleteKeyValue(js.get(), "things"), NATS_OK);
    }

    bool makes() {
        return support::wait_until([this] { return maker.make(); });
    }
};

TEST_F(BucketMakerTest, MakesABucketAtOnceThatWasNeverThere) { EXPECT_TRUE(maker.make()); }

TEST_F(BucketMakerTest, LetsTheNameOfADeletedBucketRestBeforeItMakesItAnew) {
    ASSERT_TRUE(maker.make());
    for (int i = 0; i < 2; ++i) {
        delete_bucket();
        EXPECT_FALSE(maker.make());
        EXPECT_TRUE(makes());
    }
}

TEST_F(BucketMakerTest, TakesWhatAnotherMadeMeanwhile) {
    ASSERT_TRUE(maker.make());
    delete_bucket();
    EXPECT_FALSE(maker.make());
    ASSERT_TRUE(ensure_bucket(*connection, config()));
    EXPECT_TRUE(maker.make());
}

}  // namespace
}  // namespace pgpulse::nats
