#pragma once

#include "consul-bridge/mirror.hpp"
#include "tests/support/bucket_author.hpp"
#include "tests/support/consul_model.hpp"

#include <algorithm>
#include <chrono>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace pgpulse::support {

/// The epoch of the states that a stage's mirror observes.
inline constexpr contract::WallTime kStageEpoch{std::chrono::microseconds{1'000'000}};

/// A mirror, a model of Consul, and between them requests that are under way.
struct MirrorStage {
    consul_bridge::Mirror mirror;
    ConsulModel consul;
    consul_bridge::Mono now{std::chrono::hours{1}};
    std::deque<consul_bridge::SendTransaction> transactions;
    std::deque<consul_bridge::ReadEverything> full_reads;
    std::deque<consul_bridge::ReadTargets> reads;
    std::deque<consul_bridge::AskBucket> questions;
    /// What NATS answers.
    consul_bridge::BucketState bucket{kStageEpoch, 1'000'000};
    std::vector<std::string> lines;

    /// The only bridge unless others are named, and it hears itself.
    explicit MirrorStage(const std::string& id = "bridge")
        : MirrorStage(consul_bridge::Mirror::Settings{.id = id}) {}

    explicit MirrorStage(const consul_bridge::Mirror::Settings& settings) : mirror(settings) {
        mirror.members({settings.id}, now);
        mirror.hear(true, now);
    }

    void step() {
        for (consul_bridge::Action& action : mirror.step(now)) {
            if (auto* transaction = std::get_if<consul_bridge::SendTransaction>(&action)) {
                transactions.push_back(std::move(*transaction));
            } else if (auto* everything = std::get_if<consul_bridge::ReadEverything>(&action)) {
                full_reads.push_back(*everything);
            } else if (auto* some = std::get_if<consul_bridge::ReadTargets>(&action)) {
                reads.push_back(std::move(*some));
            } else if (const auto* question = std::get_if<consul_bridge::AskBucket>(&action)) {
                questions.push_back(*question);
            } else {
                lines.push_back(std::get<consul_bridge::Say>(action).text);
            }
        }
    }

    void pass(std::chrono::milliseconds time) {
        now += time;
        step();
    }

    consul_bridge::SendTransaction take_transaction() {
        consul_bridge::SendTransaction transaction = std::move(transactions.front());
        transactions.pop_front();
        return transaction;
    }

    /// Consul answers one request; false where none is under way.
    bool answer_one() {
        if (!transactions.empty()) {
            const consul_bridge::SendTransaction transaction = take_transaction();
            mirror.finished(transaction.id, consul.execute(transaction.body), now);
        } else if (!full_reads.empty()) {
            mirror.read(full_reads.front().id, consul.everything(), now);
            full_reads.pop_front();
        } else if (!reads.empty()) {
            mirror.read(reads.front().id, consul.read(reads.front().targets), now);
            reads.pop_front();
        } else if (!questions.empty()) {
            mirror.bucket_is(questions.front().id, bucket, now);
            questions.pop_front();
        } else {
            return false;
        }
        step();
        return true;
    }

    void settle() {
        step();
        while (answer_one()) {
        }
    }

    void fail_one(const consul_bridge::Unreachable& how = {"no answer"}) {
        if (!transactions.empty()) {
            mirror.finished(take_transaction().id, how, now);
        } else if (!full_reads.empty()) {
            mirror.read_failed(full_reads.front().id, how, now);
            full_reads.pop_front();
        } else if (!reads.empty()) {
            mirror.read_failed(reads.front().id, how, now);
            reads.pop_front();
        } else if (!questions.empty()) {
            mirror.bucket_is(questions.front().id, std::nullopt, now);
            questions.pop_front();
        }
        step();
    }

    void define(const std::string& target) { mirror.define(a_definition(target), now); }

    void observe(const std::string& target, contract::Health health, std::uint64_t revision,
                 contract::WallTime epoch = kStageEpoch) {
        mirror.observe(a_state(target, health, revision), {epoch, revision}, now);
    }

    /// Registered and settled.
    void have(const std::string& target, contract::Health health, std::uint64_t revision) {
        define(target);
        observe(target, health, revision);
        settle();
    }

    std::string status(const std::string& target) {
        const consul_bridge::Held& held = consul.at(target);
        return held.checks.empty() ? "none" : held.checks.front().status;
    }

    std::uint64_t revision(const std::string& target) {
        const auto& value = consul.at(target).value;
        return value && value->stamp ? value->stamp->revision : 0;
    }

    [[nodiscard]] std::size_t said(const std::string& part) const {
        return static_cast<std::size_t>(std::ranges::count_if(
            lines, [&](const std::string& line) { return line.find(part) != std::string::npos; }));
    }

    [[nodiscard]] std::size_t pending() const { return mirror.counters().pending; }
};

}  // namespace pgpulse::support
