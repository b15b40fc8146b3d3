#include "common/nats/bucket.hpp"
#include "common/nats/bucket_writer.hpp"
#include "tests/support/bucket_events.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace pgpulse::nats {
namespace {

using OutcomeKind = WriteOutcome::Kind;
using std::chrono::seconds;

const std::string kWritersBucket = "things";
constexpr seconds kDrain{30};

/// A writer and every outcome it told.
class Writer {
  public:
    explicit Writer(Connection& connection, const std::string& bucket = kWritersBucket) {
        auto opened = BucketWriter::open(connection, bucket, [this](WriteOutcome outcome) {
            const std::lock_guard lock{mutex_};
            outcomes_.push_back(std::move(outcome));
        });
        if (!opened) throw std::runtime_error{opened.error().text};
        writer_ = std::move(*opened);
    }

    BucketWriter& operator*() { return *writer_; }
    BucketWriter* operator->() { return writer_.get(); }

    /// The outcome of one write, waited for.
    WriteOutcome put(const std::string& key, const std::string& value, std::uint64_t expected) {
        return outcome_of([&] { return writer_->put(key, value, expected); });
    }
    WriteOutcome remove(const std::string& key, std::uint64_t expected) {
        return outcome_of([&] { return writer_->remove(key, expected); });
    }

    std::vector<WriteOutcome> outcomes() {
        const std::lock_guard lock{mutex_};
        return outcomes_;
    }

    bool wait_for_outcomes(std::size_t count) {
        return support::wait_until([&] { return outcomes().size() >= count; });
    }

  private:
    std::mutex mutex_;
    std::vector<WriteOutcome> outcomes_;
    std::unique_ptr<BucketWriter> writer_;

    template <typename Write>
    WriteOutcome outcome_of(Write write) {
        const std::size_t before = outcomes().size();
        if (const Result<void> sent = write(); !sent) {
            WriteOutcome outcome;
            outcome.text = sent.error().text;
            return outcome;
        }
        EXPECT_TRUE(wait_for_outcomes(before + 1));
        return outcomes().back();
    }
};

class BucketWriterTest : public testing::Test {
  protected:
    support::NatsServer server;
    std::unique_ptr<Connection> connection = connect();

    std::unique_ptr<Connection> connect() {
        ConnectOptions options;
        options.url = server.url();
        auto opened = Connection::open(options);
        if (!opened) throw std::runtime_error{opened.error().text};
        return std::move(*opened);
    }

    void SetUp() override {
        BucketConfig config;
        config.name = kWritersBucket;
        config.history = 64;
        const auto ensured = ensure_bucket(*connection, config);
        ASSERT_TRUE(ensured) << ensured.error().text;
    }
};

TEST_F(BucketWriterTest, StoresACreateAndAnUpdate) {
    Writer writer{*connection};
    const auto created = writer.put("a", "1", 0);
    EXPECT_EQ(created.kind, OutcomeKind::stored) << created.text;
    EXPECT_EQ(created.key, "a");
    EXPECT_EQ(created.expected, 0U);
    EXPECT_EQ(created.revision, 1U);
    const auto updated = writer.put("a", "2", created.revision);
    EXPECT_EQ(updated.kind, OutcomeKind::stored) << updated.text;
    EXPECT_EQ(updated.expected, 1U);
    EXPECT_EQ(updated.revision, 2U);
}

TEST_F(BucketWriterTest, LosesAgainstAnEarlierWrite) {
    Writer writer{*connection};
    ASSERT_EQ(writer.put("a", "1", 0).kind, OutcomeKind::stored);
    ASSERT_EQ(writer.put("a", "2", 1).kind, OutcomeKind::stored);
    EXPECT_EQ(writer.put("a", "x", 0).kind, OutcomeKind::lost) << "a create of a key that is there";
    const auto stale = writer.put("a", "x", 1);
    EXPECT_EQ(stale.kind, OutcomeKind::lost);
    EXPECT_EQ(stale.key, "a");
    EXPECT_EQ(stale.expected, 1U);
    EXPECT_EQ(writer.put("a", "x", 99).kind, OutcomeKind::lost);
    EXPECT_EQ(writer.put("a", "3", 2).kind, OutcomeKind::stored) << "a lost write leaves nothing behind";
}

TEST_F(BucketWriterTest, TwoWritersAtOneRevisionHaveOneWinner) {
    const auto other_connection = connect();
    Writer one{*connection};
    Writer other{*other_connection};
    std::uint64_t revision = one.put("a", "0", 0).revision;
    constexpr std::size_t kRounds = 50;
    for (std::size_t round = 1; round <= kRounds; ++round) {
        ASSERT_TRUE(one->put("a", "one", revision));
        ASSERT_TRUE(other->put("a", "other", revision));
        ASSERT_TRUE(one.wait_for_outcomes(round + 1));
        ASSERT_TRUE(other.wait_for_outcomes(round));
        const auto a = one.outcomes().back();
        const auto b = other.outcomes().back();
        ASSERT_NE(a.kind == OutcomeKind::stored, b.kind == OutcomeKind::stored) << "round " << round;
        ASSERT_EQ((a.kind == OutcomeKind::stored ? b : a).kind, OutcomeKind::lost);
        revision = std::max(a.revision, b.revision);
    }
}

TEST_F(BucketWriterTest, TheSameWriteTwiceIsStoredOnce) {
    Writer writer{*connection};
    ASSERT_EQ(writer.put("a", "1", 0).kind, OutcomeKind::stored);
    ASSERT_TRUE(writer->put("a", "2", 1));
    ASSERT_TRUE(writer->put("a", "2", 1));
    ASSERT_TRUE(writer->drain(kDrain));
    ASSERT_TRUE(writer.wait_for_outcomes(3));
    const auto outcomes = writer.outcomes();
    EXPECT_EQ(std::ranges::count(outcomes, OutcomeKind::stored, &WriteOutcome::kind), 2);
    EXPECT_EQ(std::ranges::count(outcomes, OutcomeKind::lost, &WriteOutcome::kind), 1);
}

TEST_F(BucketWriterTest, RemovesAndWritesAgain) {
    Writer writer{*connection};
    support::BucketEvents events;
    const BucketWatch watch{*connection, kWritersBucket,
                            [&](BucketEvent event) { events.take(std::move(event)); }};
    ASSERT_EQ(writer.put("a", "1", 0).kind, OutcomeKind::stored);
    EXPECT_EQ(writer.remove("a", 7).kind, OutcomeKind::lost);
    const auto removed = writer.remove("a", 1);
    ASSERT_EQ(removed.kind, OutcomeKind::stored) << removed.text;
    ASSERT_TRUE(events.wait_for(BucketEvent::Kind::removed, 1));
    EXPECT_EQ(writer.put("a", "2", 0).kind, OutcomeKind::lost) << "a delete marker is a revision as well";
    const auto again = writer.put("a", "2", removed.revision);
    EXPECT_EQ(again.kind, OutcomeKind::stored) << again.text;
    EXPECT_TRUE(events.wait_until_held({{"a", "2"}}));
}

TEST_F(BucketWriterTest, KeepsManyWritesInFlight) {
    Writer writer{*connection};
    constexpr std::size_t kKeys = 5000;
    for (std::size_t i = 0; i < kKeys; ++i) {
        ASSERT_TRUE(writer->put("k" + std::to_string(i), std::string(300, 'x'), 0));
    }
    ASSERT_TRUE(writer->drain(kDrain));
    ASSERT_TRUE(writer.wait_for_outcomes(kKeys));
    std::map<std::string, int> told;
    for (const WriteOutcome& outcome : writer.outcomes()) {
        EXPECT_EQ(outcome.kind, OutcomeKind::stored) << outcome.text;
        ++told[outcome.key];
    }
    EXPECT_EQ(told.size(), kKeys);
    EXPECT_EQ(writer.outcomes().size(), kKeys) << "one outcome a write";
}

TEST_F(BucketWriterTest, SaysThatTheBucketIsNotThere) {
    Writer writer{*connection, "absent"};
    const auto outcome = writer.put("a", "1", 0);
    EXPECT_EQ(outcome.kind, OutcomeKind::failed);
    EXPECT_EQ(outcome.text.find("write a: "), 0U) << outcome.text;
    EXPECT_EQ(outcome.text.find('\n'), std::string::npos);
}

TEST_F(BucketWriterTest, TellsTheOutcomeOfAWriteThatNobodyAcknowledges) {
    Writer writer{*connection};
    ASSERT_EQ(writer.put("a", "1", 0).kind, OutcomeKind::stored);
    server.process().stop();
    ASSERT_TRUE(writer->put("a", "2", 1));
    ASSERT_TRUE(writer.wait_for_outcomes(2));
    EXPECT_EQ(writer.outcomes().back().kind, OutcomeKind::failed);
    EXPECT_EQ(writer.outcomes().back().key, "a");
    EXPECT_EQ(writer.outcomes().back().expected, 1U);
    server.process().cont();
    ASSERT_TRUE(support::wait_until([&] { return connection->connected(); }));
    // Whether it was stored was not known: the write is repeated, and at most one of the two counts.
    const auto repeated = writer.put("a", "2", 1);
    EXPECT_NE(repeated.kind, OutcomeKind::failed) << repeated.text;
}

TEST_F(BucketWriterTest, GoesOnAfterTheServerWasKilled) {
    Writer writer{*connection};
    ASSERT_EQ(writer.put("a", "1", 0).kind, OutcomeKind::stored);
    server.kill9();
    ASSERT_TRUE(support::wait_until([&] { return !connection->connected(); }));
    server.start();
    ASSERT_TRUE(support::wait_until([&] { return connection->connected(); }));
    const auto updated = writer.put("a", "2", 1);
    EXPECT_EQ(updated.kind, OutcomeKind::stored) << updated.text;
}

TEST_F(BucketWriterTest, MayGoWhileWritesAreInFlight) {
    for (int i = 0; i < 20; ++i) {
        Writer writer{*connection};
        for (int k = 0; k < 100; ++k) {
            ASSERT_TRUE(writer->put("r" + std::to_string(i) + "-" + std::to_string(k), "x", 0));
        }
    }
    Writer writer{*connection};
    EXPECT_EQ(writer.put("last", "x", 0).kind, OutcomeKind::stored);
}

}  // namespace
}  // namespace pgpulse::nats
