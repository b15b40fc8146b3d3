#pragma once

#include "common/nats/bucket.hpp"
#include "common/nats/connection.hpp"
#include "common/nats/handles.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace pgpulse::nats {

/// A real nats-server, one connection to it, and what a test does by hand with the bucket `things` there.
class BucketTest : public testing::Test {
  protected:
    static inline const std::string kBucket = "things";
    static inline const std::string kStream = "KV_things";

    static BucketConfig republished() {
        BucketConfig config;
        config.name = kBucket;
        config.history = 64;
        config.republish_to = "things.changed";
        return config;
    }

    support::NatsServer server;
    std::unique_ptr<Connection> connection = connect();

    std::unique_ptr<Connection> connect() { return connect(server.port()); }

    static std::unique_ptr<Connection> connect(std::uint16_t port) {
        ConnectOptions options;
        options.url = "nats://127.0.0.1:" + std::to_string(port);
        auto opened = Connection::open(options);
        if (!opened) throw std::runtime_error{opened.error().text};
        return std::move(*opened);
    }

    void wait_until_connected() {
        ASSERT_TRUE(support::wait_until([&] { return connection->connected(); })) << server.log();
    }

    JetStreamHandle jetstream() {
        jsOptions options;
        jsOptions_Init(&options);
        jsCtx* raw = nullptr;
        EXPECT_EQ(natsConnection_JetStream(&raw, connection->handle(), &options), NATS_OK);
        return JetStreamHandle{raw};
    }

    StreamInfoHandle stream_info() {
        const auto js = jetstream();
        jsStreamInfo* raw = nullptr;
        jsErrCode code{};
        EXPECT_EQ(js_GetStreamInfo(&raw, js.get(), kStream.c_str(), nullptr, &code), NATS_OK);
        return StreamInfoHandle{raw};
    }

    KeyValueHandle bucket() {
        // A kvStore keeps what it needs of the context it came from.
        static thread_local JetStreamHandle js;
        js = jetstream();
        kvStore* raw = nullptr;
        EXPECT_EQ(js_KeyValue(&raw, js.get(), kBucket.c_str()), NATS_OK);
        return KeyValueHandle{raw};
    }

    std::uint64_t put(const std::string& key, const std::string& value) {
        std::uint64_t revision = 0;
        EXPECT_EQ(kvStore_PutString(&revision, bucket().get(), key.c_str(), value.c_str()), NATS_OK);
        return revision;
    }

    void remove(const std::string& key) { EXPECT_EQ(kvStore_Delete(bucket().get(), key.c_str()), NATS_OK); }

    void delete_bucket() {
        const auto js = jetstream();
        EXPECT_EQ(js_DeleteKeyValue(js.get(), kBucket.c_str()), NATS_OK);
    }

    void create(const BucketConfig& config) {
        ASSERT_TRUE(support::wait_until([&] { return ensure_bucket(*connection, config).has_value(); }))
            << server.log();
    }
};

}  // namespace pgpulse::nats
