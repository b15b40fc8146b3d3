#include "common/nats/bucket_continuity.hpp"

#include <algorithm>
#include <functional>
#include <utility>

namespace pgpulse::nats {
namespace {

constexpr std::size_t kFewKeys = 1024;
constexpr int kSilentLooks = 3;
constexpr int kFirstPatience = 4;  // looks
constexpr int kLongestPatience = 512;

}  // namespace

void BucketContinuity::opened(const Look& look) {
    last_look_ = look;
    loaded_ = false;
    end_reached_ = false;
    told_revision_ = 0;
    told_stored_ns_ = 0;
    silent_ = true;
    silent_looks_ = 0;
    times_agreed_ = false;
    keys_.clear();
    newer_keys_.clear();
    counts_agreed_ = false;
    behind_ = false;
}

void BucketContinuity::loaded() {
    loaded_ = end_reached_ = true;
    sort_keys();
}

bool BucketContinuity::all_told() {
    // To sort them for each key that is still missing would take seconds of a bucket that is written anew as it is read.
    if (!at_the_end() || keys_.size() + newer_keys_.size() < last_look_.keys) return false;
    sort_keys();
    return keys_.size() >= last_look_.keys;
}

std::optional<BucketContinuity::Break> BucketContinuity::told(const Told& message) {
    if (loaded_ && message.revision < told_revision_) return Break::went_back;
    silent_ = false;
    if (message.revision >= told_revision_) {
        told_revision_ = message.revision;
        told_stored_ns_ = message.stored_ns;
    }
    if (message.pending == 0 || message.revision >= last_look_.last_revision) end_reached_ = true;
    const std::uint64_t key = std::hash<std::string_view>{}(message.key);
    if (end_reached_ && std::ranges::binary_search(keys_, key)) return std::nullopt;
    newer_keys_.push_back(key);
    // So rarely that each key is moved a few times, and so often that one that is told again and again takes no room.
    if (loaded_ && newer_keys_.size() >= std::max(kFewKeys, keys_.size())) sort_keys();
    return std::nullopt;
}

std::optional<BucketContinuity::Break> BucketContinuity::looked(const Look& look) {
    const Look before = last_look_;
    const bool was_silent = silent_;
    last_look_ = look;
    silent_ = true;
    if (look.created_ns != before.created_ns) return Break::created_anew;
    const std::uint64_t known = std::max(told_revision_, before.last_revision);
    if (look.last_revision < known) {
        last_look_.last_revision = known;
        if (std::exchange(behind_, true)) return Break::went_back;
        return std::nullopt;
    }
    behind_ = false;
    if (!loaded_) {
        // At the end the server's own silence says that nothing more comes.
        silent_looks_ = was_silent && !end_reached_ ? silent_looks_ + 1 : 0;
        if (silent_looks_ >= kSilentLooks) return Break::never_loaded;
        return std::nullopt;
    }
    if (look.last_revision == told_revision_) {
        const bool agree = look.last_stored_ns == told_stored_ns_;
        if (!agree && times_agreed_) return Break::rewritten;
        times_agreed_ = agree;
    }
    if (!look.lets_messages_go && counts_differ(look)) return Break::keys_vanished;
    return std::nullopt;
}

void BucketContinuity::sort_keys() {
    if (newer_keys_.empty()) return;
    const auto sorted = static_cast<std::ptrdiff_t>(keys_.size());
    std::ranges::sort(newer_keys_);
    keys_.insert(keys_.end(), newer_keys_.begin(), newer_keys_.end());
    std::ranges::inplace_merge(keys_, keys_.begin() + sorted);
    const auto doubled = std::ranges::unique(keys_);
    keys_.erase(doubled.begin(), doubled.end());
    newer_keys_ = {};
}

bool BucketContinuity::counts_differ(const Look& look) {
    sort_keys();
    if (looks_to_doubt_ > 0) --looks_to_doubt_;
    if (look.keys == 0 && look.messages != 0) return false;
    if (look.keys >= keys_.size()) {
        if (look.keys == keys_.size()) {
            counts_agreed_ = true;
            looks_to_doubt_ = patience_ = 0;
        }
        return false;
    }
    if (counts_agreed_) return true;
    if (looks_to_doubt_ > 0) return false;
    patience_ = std::clamp(patience_ * 2, kFirstPatience, kLongestPatience);
    looks_to_doubt_ = patience_;
    return true;
}

std::string_view to_string(BucketContinuity::Break what) {
    switch (what) {
        case BucketContinuity::Break::created_anew:
            return "was created anew";
        case BucketContinuity::Break::went_back:
        case BucketContinuity::Break::rewritten:
            return "lost its newest writes";
        case BucketContinuity::Break::keys_vanished:
            return "lost keys without a delete marker";
        case BucketContinuity::Break::never_loaded:
            return "changed while it was read";
    }
    return "changed";
}

}  // namespace pgpulse::nats
