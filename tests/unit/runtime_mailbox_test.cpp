#include "common/runtime/mailbox.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

namespace pgpulse::runtime {
namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kDeadline = 30s;

TEST(Mailbox, GivesEventsInTheOrderInWhichTheyCame) {
    Mailbox<int> mailbox;
    for (int i = 0; i < 1000; ++i) mailbox.post(i);
    std::vector<int> batch{-1};
    mailbox.take_until(batch, steady_clock::now() + kDeadline);
    ASSERT_EQ(batch.size(), 1000U);
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(batch[static_cast<std::size_t>(i)], i);
    mailbox.post(7);
    mailbox.take_until(batch, steady_clock::now() + kDeadline);
    EXPECT_EQ(batch, std::vector{7});
}

TEST(Mailbox, GivesNothingAtTheDeadlineWhenNothingCame) {
    Mailbox<int> mailbox;
    std::vector<int> batch{1, 2, 3};
    mailbox.take_until(batch, steady_clock::now());
    EXPECT_TRUE(batch.empty());
}

TEST(Mailbox, GivesWhatWaitsEvenAfterTheDeadline) {
    Mailbox<int> mailbox;
    mailbox.post(1);
    std::vector<int> batch;
    mailbox.take_until(batch, steady_clock::now() - 1h);
    EXPECT_EQ(batch, std::vector{1});
}

TEST(Mailbox, RefusesOverItsLimitAndTakesAgainOnceEmptied) {
    Mailbox<int> mailbox;
    EXPECT_TRUE(mailbox.try_post(1, 2));
    EXPECT_TRUE(mailbox.try_post(2, 2));
    EXPECT_FALSE(mailbox.try_post(3, 2));
    mailbox.post(4);  // has no limit
    EXPECT_FALSE(mailbox.try_post(5, 3));
    std::vector<int> batch;
    mailbox.take_until(batch, steady_clock::now() + kDeadline);
    EXPECT_EQ(batch, (std::vector{1, 2, 4}));
    EXPECT_TRUE(mailbox.try_post(6, 2));
    EXPECT_FALSE(mailbox.try_post(7, 0));
}

TEST(Mailbox, WakesItsOwner) {
    Mailbox<int> mailbox;
    std::vector<int> batch;
    std::thread owner{[&] { mailbox.take_until(batch, steady_clock::now() + kDeadline); }};
    mailbox.post(1);
    owner.join();
    EXPECT_EQ(batch, std::vector{1});
}

TEST(Mailbox, LosesNothingOfSeveralThreadsAndKeepsTheOrderOfEach) {
    struct Event {
        int thread;
        int number;
    };
    constexpr int kThreads = 4;
    constexpr int kEach = 20'000;
    Mailbox<Event> mailbox;
    std::vector<std::thread> threads;
    threads.reserve(kThreads);
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&mailbox, t] {
            for (int i = 0; i < kEach; ++i) mailbox.post({t, i});
        });
    }
    std::vector<int> next(kThreads, 0);
    int received = 0;
    const auto deadline = steady_clock::now() + kDeadline;
    std::vector<Event> batch;
    while (received < kThreads * kEach && steady_clock::now() < deadline) {
        mailbox.take_until(batch, deadline);
        for (const Event& event : batch) {
            EXPECT_EQ(event.number, next[static_cast<std::size_t>(event.thread)]++);
            ++received;
        }
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(received, kThreads * kEach);
}

}  // namespace
}  // namespace pgpulse::runtime
