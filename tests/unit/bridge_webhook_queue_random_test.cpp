#include "consul-bridge/webhook/queue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace pgpulse::consul_bridge::webhook {
namespace {

using std::chrono::milliseconds;

/// An endpoint that answers at random while a queue is filled, stopped and begun again from its cursor, as when another
/// bridge takes over. Each event is "<target>/<its sequence>".
class WebhookQueueRandomly : public testing::TestWithParam<unsigned> {
  protected:
    static constexpr Queue::Settings kSettings{.in_flight = 4, .ahead = 30, .ahead_bytes = 100'000};
    static constexpr int kEvents = 400;

    std::mt19937 random{GetParam()};
    Queue queue{kSettings};
    Queue::Mono now{std::chrono::hours{1}};
    std::vector<std::string> history;  // the target of each sequence, from 1
    std::vector<Queue::Post> flying;
    std::map<std::string, std::vector<std::uint64_t>> settled;  // taken or dropped, by target
    std::set<std::uint64_t> all_settled;
    std::map<std::string, std::uint64_t> since_begin;  // the last one settled

    unsigned pick(unsigned below) { return static_cast<unsigned>(random() % below); }

    [[nodiscard]] std::uint64_t read() const { return queue.read()->sequence; }

    void read_on() {
        while (queue.wants_more() && read() < history.size() && pick(4) != 0) {
            const std::uint64_t next = read() + 1;
            const std::string& target = history[next - 1];
            queue.add({Place{next, {}, next, {}}, target, std::to_string(next), now});
        }
    }

    Answer some_answer() {
        static const std::vector<Answer> kAnswers{{200, true, {}, {}},
                                                  {204, true, {}, {}},
                                                  {400, true, {}, {}},
                                                  {500, true, {}, {}},
                                                  {503, true, std::chrono::seconds{7}, {}},
                                                  {0, false, {}, "Connection refused"},
                                                  {0, true, {}, "timed out"},
                                                  {410, true, {}, {}}};
        return pick(3) != 0 ? kAnswers[0] : kAnswers[pick(static_cast<unsigned>(kAnswers.size()))];
    }

    void answer(const Queue::Post& post, const Answer& with) {
        const std::uint64_t sequence = std::stoull(*post.body);
        const auto ended = queue.ended(post.id, with, pick(100) / 100.0, now);
        ASSERT_TRUE(ended);
        const std::string& target = history[sequence - 1];
        EXPECT_EQ(ended->target, target);
        if (ended->meaning != Meaning::taken && ended->meaning != Meaning::dropped) return;
        // In the order of its target, from each beginning on.
        EXPECT_GT(sequence, since_begin[target]);
        since_begin[target] = sequence;
        settled[target].push_back(sequence);
        all_settled.insert(sequence);
    }

    void check() {
        // Nothing up to the cursor is unsettled.
        const std::uint64_t cursor = queue.delivered()->sequence;
        for (std::uint64_t each = 1; each <= cursor; ++each) ASSERT_TRUE(all_settled.contains(each)) << each;
        ASSERT_LE(read() - cursor, kSettings.ahead);
        ASSERT_LE(flying.size(), kSettings.in_flight);
        ASSERT_EQ(queue.in_flight(), flying.size());
        std::set<std::string> targets;
        for (const Queue::Post& post : flying)
            ASSERT_TRUE(targets.insert(history[std::stoull(*post.body) - 1]).second) << "two of one target";
    }

    void step() {
        const bool failing = queue.failing();
        const auto next = queue.next_step();
        auto posts = queue.step(now);
        EXPECT_TRUE(posts.empty() || (next && *next <= now));
        if (failing) {
            EXPECT_LE(posts.size(), 1U);
        }
        for (auto& post : posts) flying.push_back(std::move(post));
    }
};

TEST_P(WebhookQueueRandomly, EachIsSettledInOrderAndTheCursorIsBehind) {
    for (int i = 0; i < kEvents; ++i) history.push_back("t" + std::to_string(pick(7)));
    queue.begin(Place{});
    int rounds = 0;
    while (queue.delivered()->sequence < history.size()) {
        ASSERT_LT(++rounds, 100'000) << "the queue stands still";
        read_on();
        step();
        check();
        if (!flying.empty() && pick(3) != 0) {
            const auto index = pick(static_cast<unsigned>(flying.size()));
            const Queue::Post post = flying[index];
            flying.erase(flying.begin() + index);
            answer(post, some_answer());
            check();
        }
        if (pick(300) == 0) {
            const auto cursor = queue.delivered();
            queue.begin(cursor);
            since_begin.clear();
            for (const Queue::Post& post : flying)
                ASSERT_EQ(queue.ended(post.id, {200, true, {}, {}}, 0, now), std::nullopt);
            flying.clear();
        }
        now += milliseconds{pick(2000)};
        if (flying.empty()) {
            if (const auto next = queue.next_step()) now = std::max(now, *next);
        }
    }
    EXPECT_EQ(all_settled.size(), history.size());
    EXPECT_EQ(queue.pending(), 0U);
    EXPECT_TRUE(queue.wants_more());
}

INSTANTIATE_TEST_SUITE_P(Seeds, WebhookQueueRandomly, testing::Range(0U, 50U));

}  // namespace
}  // namespace pgpulse::consul_bridge::webhook
