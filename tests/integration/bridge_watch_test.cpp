#include "consul-bridge/base64.hpp"
#include "consul-bridge/desired.hpp"
#include "consul-bridge/snapshot.hpp"
#include "tests/support/bucket_author.hpp"
#include "tests/support/consul_agent.hpp"
#include "tests/support/consul_watch.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace pgpulse {
namespace {

using consul_bridge::Check;
using consul_bridge::Compat;
using consul_bridge::Documents;
using consul_bridge::Held;
using contract::Health;
using contract::Role;
using nlohmann::json;
using support::wait_until;

const std::vector<std::string> kWatchedTargets{"db1", "db2"};
constexpr int kRounds = 25;
constexpr int kBurst = 4;

std::string text(const json& object, const char* key) {
    return object.contains(key) && object[key].is_string() ? object[key].get<std::string>() : "";
}

std::vector<std::string> texts(const json& list) {
    return list.is_array() ? list.get<std::vector<std::string>>() : std::vector<std::string>{};
}

/// A check as an interface of Consul shows it.
Check to_check(const json& entry) {
    return {text(entry, "CheckID"), text(entry, "Name"),        text(entry, "Status"),
            text(entry, "Output"),  text(entry, "ServiceName"), texts(entry["ServiceTags"])};
}

std::vector<Check> sorted(std::vector<Check> checks) {
    std::ranges::sort(checks, {}, &Check::id);
    return checks;
}

/// What one call of a handler, or one reading, shows of a target; what it does not show stays empty.
struct Shown {
    std::optional<std::vector<Check>> checks;
    std::optional<std::vector<std::string>> tags;
    std::optional<std::string> value;
    std::optional<std::string> root;

    [[nodiscard]] bool is(const Documents& documents) const {
        return (!checks || *checks == documents.checks) && (!tags || *tags == documents.service.tags) &&
               (!value || *value == documents.value) && (!root || *root == documents.root_value);
    }
};

/// By target. A target that is not there yet is left out.
using Call = std::map<std::string, Shown>;

/// The input of a handler of each type of watch, one line of JSON.
Call read_checks(const json& input) {
    std::map<std::string, std::vector<Check>> checks;
    for (const json& check : input) checks[text(check, "Node")].push_back(to_check(check));
    Call call;
    for (auto& [target, list] : checks) call[target].checks = sorted(std::move(list));
    return call;
}

Call read_service(const json& input) {
    Call call;
    for (const json& instance : input) {
        Shown& shown = call[text(instance["Service"], "ID")];
        shown.tags = texts(instance["Service"]["Tags"]);
        shown.checks.emplace();
        for (const json& check : instance["Checks"]) shown.checks->push_back(to_check(check));
        shown.checks = sorted(std::move(*shown.checks));
    }
    return call;
}

void read_pair(const json& pair, Call& call) {
    const std::string key = text(pair, "Key");
    const std::string value = *consul_bridge::base64_decode(text(pair, "Value"));
    if (key.starts_with("health/")) {
        call[key.substr(std::string_view{"health/"}.size())].value = value;
    } else {
        call[key].root = value;
    }
}

Call read_key(const json& input) {
    Call call;
    if (input.is_object()) read_pair(input, call);
    return call;
}

Call read_keyprefix(const json& input) {
    Call call;
    for (const json& pair : input) read_pair(pair, call);
    return call;
}

struct Watched {
    std::string name;
    std::vector<std::string> targets;  // that the watch shows
    std::function<Call(const json&)> read;
    std::unique_ptr<support::ConsulWatch> watch;

    [[nodiscard]] std::vector<Call> calls() const {
        std::vector<Call> calls;
        for (const auto& entry : watch->entries()) calls.push_back(read(json::parse(entry.json)));
        return calls;
    }
};

/// Real handlers of real watches, and readings by transaction, beside the ledger of what was written to the
/// bucket.
class BridgeWatch : public testing::Test {
  protected:
    support::NatsServer nats;
    support::ConsulAgent consul;
    support::BucketAuthor bucket{nats.url()};
    support::Daemon bridge{
        "pgpulse-consul-bridge",
        "bridge-1",
        {"--nats", nats.url(), "--consul", consul.http_url(), "--compat", "consul-postgres"}};
    std::vector<Watched> watches;
    std::map<std::string, std::vector<Documents>> ledger;  // each state that the bucket had, oldest first

    static contract::TargetDefinition definition(const std::string& target) {
        auto definition = support::a_definition(target);
        definition.service = "orders";
        definition.tags = {"blue"};
        definition.expect_role = Role::primary;
        return definition;
    }

    void watch(const std::string& name, const std::vector<std::string>& arguments,
               std::vector<std::string> targets, std::function<Call(const json&)> read) {
        watches.push_back({name, std::move(targets), std::move(read),
                           std::make_unique<support::ConsulWatch>(consul.http_url(), arguments)});
    }

    /// Writes the target's next state, a different one each time.
    void transition(const std::string& target) {
        auto& states = ledger[target];
        const auto number = states.size() + 1;
        constexpr Health kHealths[] = {Health::up, Health::down, Health::up, Health::unknown};
        auto state = support::a_state(target, kHealths[number % 4], number);
        state.role = number % 3 == 0 ? Role::replica : Role::primary;
        state.role_unexpected = state.role == Role::replica;
        state.maintenance = number % 7 == 0;
        if (number % 5 == 0) state.conflicts_with = {target == "db1" ? "db2" : "db1"};
        const consul_bridge::Stamp stamp{epoch(), bucket.state(state)};
        states.push_back(
            consul_bridge::desired(definition(target), state, stamp, {}, Compat::consul_postgres));
    }

    contract::WallTime epoch() {
        if (!epoch_) epoch_ = bucket.epoch("health");
        return *epoch_;
    }

    /// The number of the state that is shown, or nothing where the bucket had none such.
    std::optional<std::size_t> find(const std::string& target, const Shown& shown) {
        const auto& states = ledger[target];
        const auto at =
            std::ranges::find_if(states, [&](const Documents& documents) { return shown.is(documents); });
        if (at == states.end()) return std::nullopt;
        return static_cast<std::size_t>(at - states.begin());
    }

    bool shows_the_last(const std::string& target, const Call& call) {
        const auto it = call.find(target);
        return it != call.end() && it->second.is(ledger[target].back());
    }

  private:
    std::optional<contract::WallTime> epoch_;
};

TEST_F(BridgeWatch, EveryCallShowsAStateTheBucketHadAndNeverAnOlderOne) {
    watch("checks", {"-type=checks", "-service=orders"}, kWatchedTargets, read_checks);
    watch("service", {"-type=service", "-service=orders"}, kWatchedTargets, read_service);
    watch("key", {"-type=key", "-key=health/db1"}, {"db1"}, read_key);
    watch("key at the root", {"-type=key", "-key=db1"}, {"db1"}, read_key);
    watch("keyprefix", {"-type=keyprefix", "-prefix=health/"}, kWatchedTargets, read_keyprefix);
    // All of a target at one point in time, as often as Consul answers.
    std::atomic<bool> end{false};
    std::vector<std::string> answers;
    std::thread reader{[&] {
        std::string body = "[";
        for (const std::string& target : kWatchedTargets) {
            for (const char* check : {"-isready", "-isprimary"}) {
                body += R"({"Check":{"Verb":"get","Check":{"Node":")" + target + R"(","CheckID":")" + target +
                        check + R"("}}},)";
            }
            body += R"({"Service":{"Verb":"get","Node":")" + target + R"(","Service":{"ID":")" + target +
                    R"("}}},)";
            body += R"({"KV":{"Verb":"get","Key":"health/)" + target + R"("}},)";
            body += R"({"KV":{"Verb":"get","Key":")" + target + R"("}},)";
        }
        body.back() = ']';
        while (!end) {
            auto answer = consul.put("/v1/txn", body);
            if (answer.status == 200) answers.push_back(std::move(answer.body));
        }
    }};

    for (const std::string& target : kWatchedTargets) bucket.define(definition(target));
    for (int round = 0; round < kRounds; ++round) {
        // A burst is more than a watch can show; before the next one Consul has all of it.
        for (int i = 0; i < kBurst; ++i) {
            for (const std::string& target : kWatchedTargets) transition(target);
        }
        EXPECT_TRUE(wait_until([&] {
            return std::ranges::all_of(kWatchedTargets, [&](const std::string& target) {
                return consul.kv_get_raw("health/" + target) == ledger[target].back().value;
            });
        })) << bridge.log();
    }
    for (const Watched& each : watches) {
        EXPECT_TRUE(wait_until([&] {
            const auto calls = each.calls();
            return !calls.empty() && std::ranges::all_of(each.targets, [&](const std::string& target) {
                return shows_the_last(target, calls.back());
            });
        })) << each.name
            << " does not end with the last state";
    }
    end = true;
    reader.join();

    for (const Watched& each : watches) {
        std::map<std::string, std::size_t> last;
        const auto calls = each.calls();
        for (const Call& call : calls) {
            for (const auto& [target, shown] : call) {
                const auto at = find(target, shown);
                ASSERT_TRUE(at) << each.name << " shows a state of " << target
                                << " that the bucket never had";
                EXPECT_GE(*at, last[target]) << each.name << " goes back with " << target;
                last[target] = *at;
            }
        }
        // At least what each round ended with could be seen, if not on a machine under load.
        EXPECT_GE(calls.size(), 3) << each.name;
        RecordProperty(each.name, static_cast<int>(calls.size()));
    }

    std::map<std::string, std::size_t> last;
    for (const std::string& answer : answers) {
        consul_bridge::Snapshot snapshot;
        ASSERT_TRUE(consul_bridge::add_results(answer, "health/", snapshot));
        for (const std::string& target : kWatchedTargets) {
            const Held& held = snapshot[target];
            ASSERT_TRUE(held.service && held.value && held.root) << answer;
            Shown shown;
            shown.value = held.value->value;
            const auto at = find(target, shown);
            ASSERT_TRUE(at) << answer;
            EXPECT_GE(*at, last[target]) << "a reading goes back with " << target;
            last[target] = *at;
            const Documents& documents = ledger[target][*at];
            for (const Check& check : held.checks) {
                EXPECT_NE(std::ranges::find(documents.checks, check), documents.checks.end())
                    << "check and KV disagree: " << answer;
            }
            EXPECT_EQ(held.checks.size(), 2);
            EXPECT_EQ(*held.service, documents.service);
            EXPECT_EQ(held.root->value, documents.root_value);
        }
    }
    EXPECT_GE(answers.size(), 10);
    RecordProperty("readings", static_cast<int>(answers.size()));
}

}  // namespace
}  // namespace pgpulse
