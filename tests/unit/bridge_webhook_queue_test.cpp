#include "consul-bridge/webhook/queue.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <map>
#include <string>
#include <vector>

namespace pgpulse::consul_bridge::webhook {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using Line = Queue::Ended::Line;

const Answer kTaken{204, true, {}, {}};
const Answer kBroken{500, true, {}, {}};
const Answer kRefused{400, true, {}, {}};
const Answer kAway{0, false, {}, "Connection refused"};

/// A queue whose posts the test answers. An event's body is "<target>/<its number>".
class WebhookQueue : public testing::Test {
  protected:
    static constexpr Queue::Settings kSettings{.in_flight = 3, .ahead = 10, .ahead_bytes = 1000};

    Queue queue{kSettings};
    Queue::Mono now{seconds{1000}};
    std::uint64_t sequence = 0;
    std::map<std::string, int> numbers;
    std::vector<Queue::Post> flying;

    WebhookQueue() { queue.begin(Place{}); }

    void add(const std::string& target) {
        ++sequence;
        queue.add({Place{sequence, {}, sequence, {}}, target,
                   target + "/" + std::to_string(++numbers[target]), now});
    }

    /// What is posted now.
    std::vector<std::string> posted() {
        std::vector<std::string> bodies;
        for (auto& post : queue.step(now)) {
            bodies.push_back(*post.body);
            flying.push_back(std::move(post));
        }
        return bodies;
    }

    Queue::Ended answer(const std::string& body, const Answer& with, double jitter = 1) {
        for (auto it = flying.begin(); it != flying.end(); ++it) {
            if (*it->body != body) continue;
            const auto id = it->id;
            flying.erase(it);
            return queue.ended(id, with, jitter, now).value();
        }
        throw std::logic_error("no post of " + body);
    }

    [[nodiscard]] std::uint64_t delivered() const { return queue.delivered()->sequence; }
};

TEST_F(WebhookQueue, InOrderOfATarget) {
    add("a");
    add("a");
    add("b");
    EXPECT_THAT(posted(), ElementsAre("a/1", "b/1"));
    EXPECT_THAT(posted(), IsEmpty());
    answer("b/1", kTaken);
    EXPECT_THAT(posted(), IsEmpty());
    answer("a/1", kTaken);
    EXPECT_THAT(posted(), ElementsAre("a/2"));
}

TEST_F(WebhookQueue, SeveralAtOnceUpToABound) {
    for (const char* target : {"a", "b", "c", "d"}) add(target);
    EXPECT_THAT(posted(), ElementsAre("a/1", "b/1", "c/1"));
    answer("b/1", kTaken);
    EXPECT_THAT(posted(), ElementsAre("d/1"));
}

TEST_F(WebhookQueue, CursorIsBehind) {
    add("a");
    add("b");
    add("a");
    posted();
    answer("b/1", kTaken);
    EXPECT_EQ(delivered(), 0U);
    answer("a/1", kTaken);
    EXPECT_EQ(delivered(), 2U);
    posted();
    answer("a/2", kTaken);
    EXPECT_EQ(delivered(), 3U);
    EXPECT_EQ(queue.pending(), 0U);
}

TEST_F(WebhookQueue, NoneIsLost) {
    add("a");
    add("a");
    seconds wait{1};
    for (int i = 0; i < 20; ++i) {
        EXPECT_THAT(posted(), ElementsAre("a/1"));
        EXPECT_EQ(answer("a/1", kBroken).line, i == 0 ? Line::target_fails : Line::none);
        EXPECT_EQ(queue.next_step(), now + wait);
        now += wait - milliseconds{1};
        EXPECT_THAT(posted(), IsEmpty());
        now += milliseconds{1};
        wait = std::min(wait * 2, seconds{60});
    }
    EXPECT_THAT(posted(), ElementsAre("a/1"));
    answer("a/1", kTaken);
    EXPECT_THAT(posted(), ElementsAre("a/2")) << "at once: the next event has not failed yet";
}

TEST_F(WebhookQueue, TheEndpointSaysWhenToTryAgain) {
    add("a");
    add("b");
    posted();
    answer("a/1", {429, true, seconds{100}, {}});
    EXPECT_THAT(posted(), IsEmpty());
    answer("b/1", {503, true, seconds{200}, {}});
    EXPECT_EQ(queue.next_step(), now + seconds{200});
    now += seconds{199};
    EXPECT_THAT(posted(), IsEmpty());
    now += seconds{1};
    EXPECT_THAT(posted(), ElementsAre("a/1"));
}

TEST_F(WebhookQueue, MoreThanADayIsNotBelieved) {
    add("a");
    posted();
    answer("a/1", {503, true, seconds{10'000'000}, {}});
    EXPECT_EQ(queue.next_step(), now + std::chrono::hours{24});
}

TEST_F(WebhookQueue, JitterHalvesThePauseAtMost) {
    add("a");
    posted();
    answer("a/1", kBroken, 0);
    EXPECT_EQ(queue.next_step(), now + milliseconds{500});
}

TEST_F(WebhookQueue, WhatTheEndpointRefusesIsDropped) {
    add("a");
    add("a");
    posted();
    EXPECT_EQ(answer("a/1", kRefused).line, Line::event_dropped);
    EXPECT_EQ(delivered(), 1U);
    EXPECT_THAT(posted(), ElementsAre("a/2"));
}

TEST_F(WebhookQueue, OneTries) {
    for (const char* target : {"a", "b", "c", "d"}) add(target);
    posted();
    EXPECT_EQ(answer("a/1", kAway).line, Line::endpoint_fails);
    // Those that were on their way say the same, and do not lengthen the pause.
    EXPECT_EQ(answer("b/1", kAway).line, Line::none);
    EXPECT_EQ(answer("c/1", kAway).line, Line::none);
    EXPECT_TRUE(queue.failing());
    EXPECT_EQ(queue.next_step(), now + seconds{1});
    const auto began = now;
    seconds wait{1};
    for (int i = 0; i < 8; ++i) {
        now += wait;
        EXPECT_THAT(posted(), ElementsAre("a/1"));
        EXPECT_THAT(posted(), IsEmpty()) << "while one tries";
        EXPECT_EQ(queue.next_step(), std::nullopt);
        answer("a/1", kAway);
        wait = std::min(wait * 2, seconds{60});
        EXPECT_EQ(queue.next_step(), now + wait);
    }
    now += wait;
    posted();
    const auto back = answer("a/1", kTaken);
    EXPECT_EQ(back.line, Line::endpoint_is_back);
    EXPECT_EQ(back.failed_for, now - began);
    EXPECT_THAT(posted(), ElementsAre("b/1", "c/1", "d/1")) << "at once";
}

TEST_F(WebhookQueue, TheFaultOfOneTargetHoldsUpNoOther) {
    add("a");
    add("a");
    add("b");
    posted();
    answer("a/1", kBroken);
    answer("b/1", kTaken);
    add("b");
    EXPECT_THAT(posted(), ElementsAre("b/2"));
    answer("b/2", kTaken);
    EXPECT_FALSE(queue.failing());
    EXPECT_EQ(delivered(), 0U);
}

TEST_F(WebhookQueue, SeveralTargetsThatFailAreTheEndpointsFault) {
    for (const char* target : {"a", "b", "c", "d"}) add(target);
    posted();
    answer("a/1", kBroken);
    answer("b/1", kBroken);
    EXPECT_FALSE(queue.failing());
    EXPECT_EQ(answer("c/1", kBroken).line, Line::endpoint_fails);
    // The one whose turn it is: not again the one that failed.
    now += seconds{1};
    EXPECT_THAT(posted(), ElementsAre("d/1"));
    EXPECT_EQ(answer("d/1", kTaken).line, Line::endpoint_is_back);
    EXPECT_THAT(posted(), ElementsAre("a/1", "b/1", "c/1"));
}

TEST_F(WebhookQueue, WhoWantsNoEventsAnyMoreIsAskedOnceAnHour) {
    add("a");
    posted();
    EXPECT_EQ(answer("a/1", {410, true, {}, {}}).line, Line::endpoint_fails);
    EXPECT_EQ(queue.next_step(), now + std::chrono::hours{1});
}

TEST_F(WebhookQueue, Bounded) {
    for (int i = 0; i < 9; ++i) add("a");
    EXPECT_TRUE(queue.wants_more());
    add("a");
    EXPECT_FALSE(queue.wants_more());
    for (int i = 1; i <= 5; ++i) {
        EXPECT_FALSE(queue.wants_more()) << i;
        posted();
        answer("a/" + std::to_string(i), kTaken);
    }
    EXPECT_TRUE(queue.wants_more());
}

TEST_F(WebhookQueue, BoundedInBytes) {
    queue.add({Place{1, {}, 1, {}}, "a", std::string(1000, 'x'), now});
    EXPECT_FALSE(queue.wants_more());
}

TEST_F(WebhookQueue, APostOfBeforeIsNobodys) {
    add("a");
    posted();
    queue.begin(std::nullopt);
    EXPECT_EQ(queue.ended(flying.front().id, kTaken, 0, now), std::nullopt);
    EXPECT_EQ(queue.delivered(), std::nullopt);
    EXPECT_EQ(queue.read(), std::nullopt);
}

TEST(WebhookAnswer, MeansWhatTheDocumentSays) {
    const std::map<long, Meaning> meanings{
        {200, Meaning::taken},     {201, Meaning::taken},   {202, Meaning::taken},
        {204, Meaning::taken},     {301, Meaning::away},    {307, Meaning::away},
        {400, Meaning::dropped},   {401, Meaning::away},    {403, Meaning::away},
        {404, Meaning::unsettled}, {405, Meaning::away},    {407, Meaning::away},
        {408, Meaning::unsettled}, {409, Meaning::dropped}, {410, Meaning::gone},
        {413, Meaning::dropped},   {415, Meaning::dropped}, {422, Meaning::dropped},
        {425, Meaning::unsettled}, {429, Meaning::away},    {500, Meaning::unsettled},
        {502, Meaning::unsettled}, {503, Meaning::away},    {504, Meaning::unsettled},
    };
    for (const auto& [status, meaning] : meanings)
        EXPECT_EQ(meaning_of({status, true, {}, {}}), meaning) << status;
    EXPECT_EQ(meaning_of({0, false, {}, {}}), Meaning::away);
    EXPECT_EQ(meaning_of({0, true, {}, {}}), Meaning::unsettled);
}

}  // namespace
}  // namespace pgpulse::consul_bridge::webhook
