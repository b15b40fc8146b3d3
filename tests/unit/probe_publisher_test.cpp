#include "common/contract/names.hpp"
#include "probe/publisher.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace pgpulse::probe {
namespace {

using namespace std::chrono_literals;

std::vector<Outgoing> pings(std::uint64_t from, std::uint64_t to) {
    std::vector<Outgoing> list;
    for (std::uint64_t seq = from; seq <= to; ++seq) {
        contract::Ping ping;
        ping.target = "db1";
        ping.worker = "w1";
        ping.run = "00000000000000aa";
        ping.seq = seq;
        list.emplace_back(ping);
    }
    return list;
}

TEST(Publisher, SendsInOrderOnTheTargetsSubject) {
    std::vector<std::string> subjects;
    std::vector<std::uint64_t> sequence;
    Publisher publisher{[&](const std::string& subject, std::string_view payload) {
        subjects.push_back(subject);
        sequence.push_back(contract::decode_ping(payload).value().seq);
        return true;
    }};
    auto some = pings(1, 3);
    publisher.push(some);
    EXPECT_TRUE(some.empty());
    ASSERT_TRUE(publisher.drain(30s));
    EXPECT_EQ(sequence, (std::vector<std::uint64_t>{1, 2, 3}));
    EXPECT_EQ(subjects[0], contract::ping_subject("w1", "db1"));
}

TEST(Publisher, SendsACallWithNothingInItBetweenThePings) {
    std::vector<std::string> subjects;
    std::string of_the_call = "not sent";
    Publisher publisher{[&](const std::string& subject, std::string_view payload) {
        subjects.push_back(subject);
        if (subject == contract::check_subject("db1")) of_the_call = payload;
        return true;
    }};
    auto messages = pings(1, 1);
    messages.emplace_back(CallObservers{"db1"});
    messages.emplace_back(pings(2, 2).front());
    publisher.push(messages);
    ASSERT_TRUE(publisher.drain(30s));
    const std::string of_a_ping = contract::ping_subject("w1", "db1");
    EXPECT_EQ(subjects, (std::vector{of_a_ping, std::string{"health.check.db1"}, of_a_ping}));
    EXPECT_EQ(of_the_call, "");
}

TEST(Publisher, CountsACallThatWasDroppedOrNotTaken) {
    std::promise<void> release;
    auto released = release.get_future().share();
    std::promise<void> entered;
    std::atomic<bool> first{true};
    Publisher publisher{[&](const std::string&, std::string_view) {
                            if (first.exchange(false)) entered.set_value();
                            released.wait();
                            return false;
                        },
                        1};
    std::vector<Outgoing> calls{CallObservers{"db1"}};
    publisher.push(calls);
    entered.get_future().wait();
    calls = {CallObservers{"db2"}, CallObservers{"db3"}};
    publisher.push(calls);
    EXPECT_EQ(publisher.dropped(), 1U);
    release.set_value();
    ASSERT_TRUE(publisher.drain(30s));
    EXPECT_EQ(publisher.unsent(), 2U);
}

TEST(Publisher, DropsTheOldestAndCountsWhenASendHangs) {
    std::promise<void> release;
    auto released = release.get_future().share();
    std::promise<void> entered;
    std::atomic<bool> first{true};
    std::vector<std::uint64_t> sequence;
    Publisher publisher{[&](const std::string&, std::string_view payload) {
                            if (first.exchange(false)) entered.set_value();
                            released.wait();
                            sequence.push_back(contract::decode_ping(payload).value().seq);
                            return true;
                        },
                        10};
    auto one = pings(1, 1);
    publisher.push(one);
    entered.get_future().wait();
    auto many = pings(2, 101);
    publisher.push(many);
    EXPECT_EQ(publisher.dropped(), 90U);
    EXPECT_FALSE(publisher.drain(1ms));
    release.set_value();
    ASSERT_TRUE(publisher.drain(30s));
    ASSERT_EQ(sequence.size(), 11U);
    EXPECT_EQ(sequence[0], 1U);
    EXPECT_EQ(sequence[1], 92U) << "the newest ones are kept";
}

TEST(Publisher, CountsWhatWasNotTaken) {
    Publisher publisher{[](const std::string&, std::string_view) { return false; }};
    auto some = pings(1, 5);
    publisher.push(some);
    ASSERT_TRUE(publisher.drain(30s));
    EXPECT_EQ(publisher.unsent(), 5U);
    EXPECT_EQ(publisher.dropped(), 0U);
}

}  // namespace
}  // namespace pgpulse::probe
