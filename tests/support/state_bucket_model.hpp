#pragma once

#include "common/contract/state.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgpulse::support {

/// The bucket `health` in memory, as JetStream keeps it: a revision for each message, compare-and-set against a key's
/// last one, and watches that are read at any pace.
class StateBucketModel {
  public:
    struct Message {
        enum class Kind { opened, value, spoiled, removed, loaded };
        Kind kind = Kind::opened;
        std::string key;
        contract::State state;  // of `value`
        std::uint64_t revision = 0;
        bool by_aggregator = false;
    };

    struct Watch {
        std::deque<Message> unread;
        bool blind = true;  // the bucket that it reads is no longer the one there is
    };

    /// A watch that has not been opened yet.
    Watch& add_watch() { return *watches_.emplace_back(std::make_unique<Watch>()); }

    /// Reads the bucket anew.
    void open(Watch& watch) {
        watch.blind = false;
        watch.unread.push_back({});
        std::vector<Message> messages;
        for (const auto& [key, message] : newest_) messages.push_back(message);
        std::ranges::sort(messages, {}, &Message::revision);
        watch.unread.insert(watch.unread.end(), messages.begin(), messages.end());
        watch.unread.push_back({Message::Kind::loaded, {}, {}, 0, false});
    }

    /// Stores a state, or a delete marker, if `expected` is the key's last revision; its revision where it is stored.
    std::optional<std::uint64_t> write(const std::string& key, const std::optional<contract::State>& state,
                                       std::uint64_t expected) {
        if (revision_of(key) != expected) return std::nullopt;
        store({state ? Message::Kind::value : Message::Kind::removed, key, state.value_or(contract::State{}),
               0, true});
        return revision_;
    }

    /// Whatever somebody's hand does.
    void edit(Message message) {
        message.by_aggregator = false;
        store(std::move(message));
    }

    /// The bucket is lost and created anew.
    void wipe() {
        newest_.clear();
        log_.clear();
        revision_ = 0;
        blind_all();
    }

    /// The server loses its newest writes.
    void roll_back(std::size_t messages) {
        log_.resize(log_.size() - std::min(messages, log_.size()));
        newest_.clear();
        revision_ = 0;
        for (const Message& message : log_) {
            newest_[message.key] = message;
            revision_ = message.revision;
        }
        blind_all();
    }

    [[nodiscard]] std::uint64_t revision_of(const std::string& key) const {
        const auto it = newest_.find(key);
        return it == newest_.end() ? 0 : it->second.revision;
    }

    /// Nullopt where there is none, or no readable one.
    [[nodiscard]] std::optional<contract::State> state_of(const std::string& key) const {
        const auto it = newest_.find(key);
        if (it == newest_.end() || it->second.kind != Message::Kind::value) return std::nullopt;
        return it->second.state;
    }

    /// What it holds, the oldest first.
    [[nodiscard]] const std::vector<Message>& log() const { return log_; }

    /// How often it was lost, in whole or in part: whatever does that to a server ends its connections, and with them
    /// the answers that are on their way.
    [[nodiscard]] int losses() const { return losses_; }

  private:
    int losses_ = 0;
    std::vector<Message> log_;
    std::map<std::string, Message> newest_;
    std::uint64_t revision_ = 0;
    std::vector<std::unique_ptr<Watch>> watches_;

    void store(Message message) {
        message.revision = ++revision_;
        newest_[message.key] = message;
        log_.push_back(message);
        for (const auto& watch : watches_) {
            if (!watch->blind) watch->unread.push_back(message);
        }
    }

    void blind_all() {
        ++losses_;
        for (const auto& watch : watches_) watch->blind = true;
    }
};

}  // namespace pgpulse::support
