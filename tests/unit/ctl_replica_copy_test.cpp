#include "ctl/replica_copy.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <chrono>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace pgpulse::ctl {
namespace {

using contract::WallTime;
using std::chrono::microseconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr WallTime kEpoch{microseconds{1'700'000'000'000'000}};
constexpr WallTime kNextEpoch{microseconds{1'700'000'900'000'000}};

/// A bucket: messages by their sequence, of which the copier is shown some.
struct Source {
    WallTime epoch = kEpoch;
    std::vector<SourceMessage> messages;
    int life = 0;  // tells apart what was stored by the same number

    void put(const std::string& key, const std::string& value) { add(key, value, ""); }
    void remove(const std::string& key) { add(key, "", "DEL"); }
    void wipe(WallTime at) {
        messages.clear();
        epoch = at;
    }
    /// Its server lost the newest writes.
    void rewind(std::size_t to) {
        messages.resize(to);
        ++life;
    }
    [[nodiscard]] std::uint64_t last() const { return messages.size(); }

    [[nodiscard]] std::map<std::string, std::string> values() const {
        std::map<std::string, std::string> values;
        for (const SourceMessage& message : messages) {
            values.erase(message.key);
            if (message.operation.empty()) values[message.key] = message.value;
        }
        return values;
    }

  private:
    void add(const std::string& key, const std::string& value, const std::string& operation) {
        const std::uint64_t revision = last() + 1;
        messages.push_back(
            {key, revision, epoch + microseconds{revision + life * 1'000'000ULL}, operation, value});
    }
};

/// The copy's stream, as its server keeps it.
struct Stored {
    std::vector<ReplicaMessage> messages;

    bool publish(const ReplicaMessage& message) {
        if (message.expected_last != messages.size()) return false;
        messages.push_back(message);
        return true;
    }
    [[nodiscard]] std::map<std::string, std::string> values() const {
        std::map<std::string, std::string> values;
        for (const ReplicaMessage& message : messages) {
            values.erase(message.key);
            if (message.operation.empty()) values[message.key] = message.value;
        }
        return values;
    }
};

class ReplicaCopyTest : public testing::Test {
  protected:
    Source source;
    Stored stored;
    ReplicaCopy copy;
    std::uint64_t next = 1;  // what the copier reads next

    /// As a copier that starts; returns what it begins with.
    std::optional<std::uint64_t> open() {
        copy.copy_opened(stored.messages.size(), false);
        std::map<std::string, std::uint64_t> last;
        for (std::size_t i = 0; i < stored.messages.size(); ++i) last[stored.messages[i].key] = i;
        std::map<std::uint64_t, std::string> in_order;
        for (const auto& [key, at] : last) in_order[at] = key;
        for (const auto& [at, key] : in_order) {
            const ReplicaMessage& message = stored.messages[at];
            copy.copy_entry(key, at + 1,
                            message.mark.revision == 0 ? std::nullopt : std::optional{message.mark},
                            !message.operation.empty());
        }
        const auto from = copy.source_opened(source.epoch, source.last());
        next = from.value_or(1);
        every_key_ = !from;
        return from;
    }

    /// Reads the source to its end; returns the keys that were written.
    std::vector<std::string> read(std::size_t at_most = SIZE_MAX) {
        std::vector<std::string> written;
        const std::uint64_t end = source.last();
        for (; next <= end && at_most > 0 && !copy.broken(); ++next, --at_most) {
            const SourceMessage& message = source.messages[next - 1];
            if (every_key_ && superseded(message)) continue;
            if (const auto out = copy.message(SourceMessage{message})) {
                written.push_back(out->key);
                answer(*out);
            }
        }
        return written;
    }

    void answer(const ReplicaMessage& message) {
        if (stored.publish(message))
            copy.stored(message.expected_last, stored.messages.size());
        else
            copy.failed();
    }

    /// As after a restart, until all is copied.
    void copy_all() {
        for (int round = 0; round < 3; ++round) {
            open();
            read();
            if (!copy.broken()) return;
        }
        FAIL() << "does not come to an end";
    }

  private:
    bool every_key_ = false;

    /// A reading of each key's last message passes over those that were followed by another before it began.
    [[nodiscard]] bool superseded(const SourceMessage& message) const {
        for (std::size_t i = message.revision; i < source.messages.size(); ++i) {
            if (source.messages[i].key == message.key) return true;
        }
        return false;
    }
};

using ReplicaCopyRule = ReplicaCopyTest;

TEST_F(ReplicaCopyRule, ResumesAfterTheLast) {
    source.put("db1", "a");
    source.put("db2", "b");
    EXPECT_EQ(open(), std::nullopt);
    EXPECT_THAT(read(), ElementsAre("db1", "db2"));
    source.put("db1", "c");
    source.put("db1", "d");
    EXPECT_EQ(open(), 2U);
    // Every message in between, not the newest alone.
    EXPECT_THAT(read(), ElementsAre("db1", "db1"));
    EXPECT_EQ(stored.values(), source.values());
}

TEST_F(ReplicaCopyRule, EachMessageOnce) {
    source.put("db1", "a");
    source.put("db2", "b");
    open();
    EXPECT_THAT(read(1), ElementsAre("db1"));
    // Another one goes on, and the first reads what it read already.
    EXPECT_EQ(open(), 1U);
    EXPECT_THAT(read(), ElementsAre("db2"));
    open();
    EXPECT_THAT(read(), IsEmpty());
}

TEST_F(ReplicaCopyRule, MarkerRemoves) {
    source.put("db1", "a");
    copy_all();
    source.remove("db1");
    source.remove("db9");
    open();
    EXPECT_THAT(read(), ElementsAre("db1"));
    EXPECT_EQ(stored.messages.back().operation, "DEL");
    EXPECT_THAT(stored.values(), IsEmpty());
}

TEST_F(ReplicaCopyRule, AbsenceKeeps) {
    source.put("db1", "a");
    source.put("db2", "b");
    copy_all();
    // Its key was purged and left no marker.
    std::erase_if(source.messages, [](const SourceMessage& message) { return message.key == "db1"; });
    copy.copy_opened(stored.messages.size(), false);
    copy.copy_entry("db1", 1, stored.messages[0].mark, false);
    copy.copy_entry("db2", 2, stored.messages[1].mark, false);
    copy.source_opened(source.epoch, 2);
    copy.source_read();
    EXPECT_THAT(copy.vanished(), IsEmpty());
}

TEST_F(ReplicaCopyRule, CreatedAnew) {
    source.put("db1", "a");
    source.put("db2", "b");
    copy_all();
    source.wipe(kNextEpoch);
    EXPECT_EQ(open(), std::nullopt);
    // Empty, it says nothing of anybody.
    copy.source_read();
    EXPECT_THAT(copy.vanished(), IsEmpty());
    source.put("db1", "a");
    EXPECT_THAT(read(), ElementsAre("db1"));
    EXPECT_THAT(copy.vanished(), ElementsAre("db2"));
    answer(copy.removal("db2"));
    EXPECT_THAT(copy.vanished(), IsEmpty());
    EXPECT_EQ(stored.values(), source.values());
    // The next one goes on behind it.
    EXPECT_EQ(open(), 1U);
    EXPECT_THAT(read(), IsEmpty());
}

TEST_F(ReplicaCopyRule, CreatedAnewAndFollowedByTwoOneAfterTheOther) {
    source.put("db1", "a");
    source.put("db2", "b");
    copy_all();
    source.wipe(kNextEpoch);
    source.put("db1", "a");
    source.put("db3", "c");
    open();
    EXPECT_THAT(read(1), ElementsAre("db1"));
    EXPECT_THAT(copy.vanished(), IsEmpty()) << "it is not read to its end";
    // The first died before it knew what is gone.
    EXPECT_EQ(open(), std::nullopt);
    EXPECT_THAT(read(), ElementsAre("db3"));
    EXPECT_THAT(copy.vanished(), ElementsAre("db2"));
}

TEST_F(ReplicaCopyRule, RewoundSource) {
    source.put("db1", "a");
    source.put("db2", "b");
    source.put("db1", "lost");
    copy_all();
    source.rewind(2);
    // Shorter than what was copied, and then as long, with other messages.
    copy_all();
    EXPECT_EQ(stored.values(), source.values());
    source.put("db2", "c");
    source.put("db1", "d");
    copy_all();
    EXPECT_EQ(stored.values(), source.values());
    source.rewind(3);
    source.put("db1", "e");
    copy_all();
    EXPECT_EQ(stored.values(), source.values());
}

TEST_F(ReplicaCopyTest, PutsBackWhatSomebodyWroteIntoTheCopy) {
    source.put("db1", "a");
    copy_all();
    stored.messages.push_back({"db1", {}, "", "by hand", 1, {}, false});
    stored.messages.push_back({"db2", {}, "", "by hand", 2, {}, false});
    EXPECT_EQ(open(), std::nullopt);
    EXPECT_THAT(read(), ElementsAre("db1"));
    EXPECT_THAT(copy.vanished(), ElementsAre("db2"));
}

TEST_F(ReplicaCopyTest, GivesOutNothingThatWouldStandOutOfPlace) {
    source.put("db1", "a");
    source.put("db1", "b");
    open();
    const auto first = copy.message(SourceMessage{source.messages[0]});
    const auto second = copy.message(SourceMessage{source.messages[1]});
    ASSERT_TRUE(first && second);
    EXPECT_EQ(second->expected_last, first->expected_last + 1);
    EXPECT_EQ(second->expected_last_id, "2023-11-14T22:13:20.000000Z/1@0");
    // Another copier came first: what follows is refused as well.
    stored.messages.push_back(*first);
    answer(*first);
    EXPECT_TRUE(copy.broken());
    EXPECT_EQ(copy.in_flight(), 1U);
}

TEST_F(ReplicaCopyTest, HasHeadersOfItsOwnAlone) {
    ReplicaMessage message{"db1", {kEpoch, 7, kEpoch + microseconds{5}}, "DEL", "", 3, "x/6", false};
    EXPECT_THAT(headers_of(message),
                ElementsAre(std::pair{"Nats-Msg-Id", "2023-11-14T22:13:20.000000Z/7@3"},
                            std::pair{"Nats-Expected-Last-Sequence", "3"},
                            std::pair{"Pgpulse-Epoch", "2023-11-14T22:13:20.000000Z"},
                            std::pair{"Pgpulse-Revision", "7"},
                            std::pair{"Pgpulse-Stored-At", "2023-11-14T22:13:20.000005Z"},
                            std::pair{"Nats-Expected-Last-Msg-Id", "x/6"}, std::pair{"KV-Operation", "DEL"}));
    message.vanished = true;
    EXPECT_EQ(headers_of(message).front().second, "2023-11-14T22:13:20.000000Z/7/db1@3");
}

TEST_F(ReplicaCopyTest, EndsAsItsSourceWhateverHappensToEither) {
    for (unsigned seed = 0; seed < 300; ++seed) {
        std::mt19937 random{seed};
        const auto below = [&random](unsigned limit) { return random() % limit; };
        source = {};
        stored = {};
        copy = {};
        open();
        for (int step = 0; step < 60; ++step) {
            const std::string key = "db" + std::to_string(below(4));
            switch (below(12)) {
                case 0:
                    source.remove(key);
                    break;
                case 1:
                    if (source.last() > 0) source.rewind(below(static_cast<unsigned>(source.last())));
                    open();
                    break;
                case 2:
                    source.wipe(source.epoch + std::chrono::hours{1});
                    open();
                    break;
                case 3:
                    open();
                    break;
                case 4:
                case 5:
                    read(below(5));
                    if (copy.broken()) open();
                    break;
                default:
                    source.put(key, std::to_string(seed) + '/' + std::to_string(step));
            }
        }
        for (int i = 0; i < 4; ++i) source.put("db" + std::to_string(i), "end");
        source.remove("db3");
        copy_all();
        ASSERT_EQ(stored.values(), source.values()) << "seed " << seed;
    }
}

}  // namespace
}  // namespace pgpulse::ctl
