#include "common/runtime/membership_feed.hpp"

#include "common/contract/names.hpp"
#include "common/nats/subscription.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

namespace pgpulse::runtime {
namespace {

using support::wait_until;

/// Two workers, of whom one gets no answer to any question about the bucket.
const std::string kUsers = R"(
authorization { users: [
    { user: "unanswered", password: "p", permissions: { publish: { deny: "$JS.API.>" } } }
    { user: "answered", password: "p" }
] }
)";

std::unique_ptr<nats::Connection> connect(const support::NatsServer& server, const std::string& user) {
    nats::ConnectOptions options;
    options.url = server.url();
    options.user = user;
    options.password = "p";
    auto opened = nats::Connection::open(options);
    if (!opened) throw std::runtime_error{opened.error().text};
    return std::move(*opened);
}

/// A member, and how often it has written its key.
class Refreshing {
  public:
    Refreshing(const support::NatsServer& server, const std::string& user)
        : connection_(connect(server, user)),
          refreshes_(count_refreshes(user)),
          feed_(*connection_, {contract::MemberKind::probe, user, random_run(), "", {}}, events()) {}

    [[nodiscard]] int count() const { return count_.load(); }

  private:
    std::atomic<int> count_{0};
    std::unique_ptr<nats::Connection> connection_;
    std::unique_ptr<nats::Subscription> refreshes_;
    MembershipFeed feed_;

    std::unique_ptr<nats::Subscription> count_refreshes(const std::string& id) {
        const std::string subject = "$KV." + std::string{contract::kMembersBucket} + "." +
                                    contract::member_key(contract::MemberKind::probe, id);
        auto opened = nats::Subscription::open(*connection_, subject,
                                               [this](const nats::Message&) { count_.fetch_add(1); });
        if (!opened) throw std::runtime_error{opened.error().text};
        return std::move(*opened);
    }

    static MembershipFeed::Events events() {
        return {[] { return true; }, [](const cluster::Membership::View&) {}, [](const std::string&) {}};
    }
};

TEST(MembershipFeed, RefreshesInTimeWhileJetStreamDoesNotAnswer) {
    const support::NatsServer server{{.extra_config = kUsers}};
    const Refreshing answered{server, "answered"};
    const Refreshing unanswered{server, "unanswered"};
    const int before = unanswered.count();
    const int from = answered.count();
    // Each question is given up after two seconds, which is as long as a member that is silent lives.
    ASSERT_TRUE(wait_until([&] { return answered.count() >= from + 20; }));
    EXPECT_GE(unanswered.count(), before + 10);
}

}  // namespace
}  // namespace pgpulse::runtime
