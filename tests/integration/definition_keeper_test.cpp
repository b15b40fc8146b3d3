#include "aggregator/definition_keeper.hpp"

#include "common/contract/names.hpp"
#include "common/contract/target.hpp"
#include "common/nats/bucket.hpp"
#include "common/nats/bucket_writer.hpp"
#include "common/runtime/mailbox.hpp"
#include "tests/support/bucket_author.hpp"
#include "tests/support/bucket_events.hpp"
#include "tests/support/connect.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <variant>
#include <vector>

// The keeper of definitions beside a real server, on a thread of its own as the aggregator has it.
namespace pgpulse::aggregator {
namespace {

using support::wait_until;
using Kind = nats::BucketEvent::Kind;
using Values = std::map<std::string, std::string>;

const std::string kBucket{contract::kTargetsBucket};
const std::string kStream = "KV_" + kBucket;

/// A watch, a writer and the keeper between them.
class Keeping {
  public:
    Keeping(const support::NatsServer& server, Rank rank) : connection_(support::connect(server.url())) {
        Ranks ranks{};
        ranks.fill(rank);
        keeper_.ranks(ranks, {});
        auto writer = nats::BucketWriter::open(
            *connection_, kBucket, [this](nats::WriteOutcome outcome) { mailbox_.post(std::move(outcome)); });
        if (!writer) throw std::runtime_error{writer.error().text};
        writer_ = std::move(*writer);
        thread_ = std::thread{[this] { run(); }};
        watch_ = std::make_unique<nats::BucketWatch>(*connection_, kBucket, [this](nats::BucketEvent event) {
            events.take(event);
            mailbox_.post(std::move(event));
        });
    }
    Keeping(const Keeping&) = delete;
    Keeping& operator=(const Keeping&) = delete;
    ~Keeping() {
        watch_.reset();
        mailbox_.post(Stop{});
        thread_.join();
    }

    support::BucketEvents events;
    [[nodiscard]] std::uint64_t put_back() const { return put_back_; }

  private:
    using Clock = std::chrono::steady_clock;
    struct Stop {};
    using Event = std::variant<nats::BucketEvent, nats::WriteOutcome, Stop>;

    std::unique_ptr<nats::Connection> connection_;
    DefinitionKeeper keeper_;
    runtime::Mailbox<Event> mailbox_;
    std::atomic<std::uint64_t> put_back_{0};
    std::unique_ptr<nats::BucketWriter> writer_;
    std::unique_ptr<nats::BucketWatch> watch_;
    std::thread thread_;

    void run() {
        std::vector<Event> batch;
        for (;;) {
            mailbox_.take_until(batch, Clock::now() + std::chrono::milliseconds{50});
            for (Event& event : batch) {
                if (std::holds_alternative<Stop>(event)) return;
                if (auto* const told = std::get_if<nats::BucketEvent>(&event)) take(*told);
                if (const auto* const outcome = std::get_if<nats::WriteOutcome>(&event)) take(*outcome);
            }
            for (const PutDefinition& put : keeper_.take_puts(Clock::now())) {
                if (!writer_->put(put.key, put.value, put.expected))
                    keeper_.written(put.key, Written::failed, put.expected, Clock::now());
            }
            put_back_ = keeper_.put_back();
        }
    }

    void take(nats::BucketEvent& event) {
        const auto now = Clock::now();
        switch (event.kind) {
            case Kind::opened:
                keeper_.opened(event.epoch_us);
                return;
            case Kind::loaded:
                keeper_.loaded(now);
                return;
            case Kind::removed:
                keeper_.removed(event.key, event.revision, event.stored_at_us, now);
                return;
            case Kind::value:
                break;
        }
        if (contract::decode_definition(event.key, event.value))
            keeper_.value(event.key, std::move(event.value), event.revision, event.stored_at_us, now);
        else
            keeper_.invalid_value(event.key, event.revision, now);
    }

    void take(const nats::WriteOutcome& outcome) {
        const auto how = outcome.kind == nats::WriteOutcome::Kind::stored ? Written::stored
                         : outcome.kind == nats::WriteOutcome::Kind::lost ? Written::lost
                                                                          : Written::failed;
        keeper_.written(outcome.key, how, outcome.expected, Clock::now());
    }
};

class KeptDefinitions : public testing::Test {
  protected:
    support::NatsServer server;
    support::BucketAuthor author{server.url()};
    Values values;

    /// As `pgpulse apply` writes one, and as a person may have typed one.
    void define(int count) {
        for (int i = 0; i < count; ++i) {
            const std::string name = "db" + std::to_string(i);
            const std::string by_hand =
                "{ \"name\":\"" + name +
                "\",\n\t\"address\" : \"127.0.0.1\",  \"port\": 5433,"
                "\"later\": [1.50, {\"\\u00e9\": null}], \"meta\": {\"b\":\"2\",\"a\":\"1\"} }\n";
            values[name] =
                i % 2 == 0 ? by_hand : encode(contract::StoredDefinition{support::a_definition(name)});
            author.put(kBucket, name, values[name]);
        }
    }

    static bool holds(const Keeping& keeping, const Values& values) {
        return keeping.events.wait_until_held(values);
    }

    nats::JetStreamHandle jetstream() {
        jsCtx* js = nullptr;
        EXPECT_EQ(natsConnection_JetStream(&js, author.connection().handle(), nullptr), NATS_OK);
        return nats::JetStreamHandle{js};
    }

    std::uint64_t last_revision() {
        const auto js = jetstream();
        jsStreamInfo* info = nullptr;
        EXPECT_EQ(js_GetStreamInfo(&info, js.get(), kStream.c_str(), nullptr, nullptr), NATS_OK);
        const nats::StreamInfoHandle owner{info};
        return info->State.LastSeq;
    }

    void purge() { ASSERT_EQ(js_PurgeStream(jetstream().get(), kStream.c_str(), nullptr, nullptr), NATS_OK); }
};

TEST_F(KeptDefinitions, ComeBackByteForByteIntoABucketThatWasCreatedAnew) {
    define(200);
    const Keeping first{server, Rank::first};
    const Keeping second{server, Rank::second};
    ASSERT_TRUE(holds(first, values));
    ASSERT_TRUE(holds(second, values));
    author.recreate(kBucket);
    ASSERT_TRUE(first.events.wait_for(Kind::loaded, 2));
    EXPECT_TRUE(holds(first, values));
    EXPECT_TRUE(holds(second, values));
    EXPECT_TRUE(wait_until([&] { return first.put_back() + second.put_back() == 200; }));
    EXPECT_EQ(last_revision(), 200U) << "each is written once";
}

TEST_F(KeptDefinitions, ComeBackAfterAPurgeAndThoseThatWereRemovedDoNot) {
    define(20);
    const Keeping keeping{server, Rank::first};
    ASSERT_TRUE(holds(keeping, values));
    author.undefine("db3");
    values.erase("db3");
    ASSERT_TRUE(holds(keeping, values));
    purge();
    ASSERT_TRUE(keeping.events.wait_for(Kind::loaded, 2));
    EXPECT_TRUE(holds(keeping, values));
    EXPECT_TRUE(wait_until([&] { return keeping.put_back() == 19; }));
}

TEST_F(KeptDefinitions, TakeThePlaceOfAnInvalidEdit) {
    define(2);
    const Keeping keeping{server, Rank::first};
    ASSERT_TRUE(holds(keeping, values));
    author.put(kBucket, "db0", "{ \"name\": \"db0\", \"port\": 0 }");
    EXPECT_TRUE(wait_until([&] { return keeping.put_back() == 1; }));
    EXPECT_TRUE(holds(keeping, values));
    // A valid one stands.
    values["db1"] = values["db1"] + " ";
    author.put(kBucket, "db1", values["db1"]);
    EXPECT_TRUE(holds(keeping, values));
    EXPECT_EQ(keeping.put_back(), 1U);
}

TEST_F(KeptDefinitions, TakeThePlaceOfOlderOnesThatAServerCameBackWith) {
    define(2);
    const auto established = author.connection().times_established();
    server.stop();
    const support::TempDir copies;
    const auto older = copies / "older";
    std::filesystem::copy(server.store_dir(), older, std::filesystem::copy_options::recursive);
    server.start();
    ASSERT_TRUE(wait_until([&] { return author.connection().times_established() > established; }));
    const Keeping keeping{server, Rank::first};
    for (auto& [name, value] : values) author.put(kBucket, name, value += " ");
    author.put(kBucket, "db9",
               values["db9"] = encode(contract::StoredDefinition{support::a_definition("db9")}));
    ASSERT_TRUE(holds(keeping, values));
    server.kill9();
    server.wipe_store();
    std::filesystem::copy(older, server.store_dir(), std::filesystem::copy_options::recursive);
    server.start();
    EXPECT_TRUE(wait_until([&] { return keeping.put_back() == 3; }));
    EXPECT_TRUE(holds(keeping, values));
}

}  // namespace
}  // namespace pgpulse::aggregator
