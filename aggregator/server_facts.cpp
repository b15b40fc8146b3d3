#include "aggregator/server_facts.hpp"

#include <algorithm>

namespace pgpulse::aggregator {
namespace {

/// So many of a server's past lives are told from its present one.
constexpr std::size_t kPastLives = 8;

}  // namespace

std::optional<ServerLife> life_of(const contract::Ping& ping) {
    if (!ping.started_at) return std::nullopt;
    return ServerLife{*ping.started_at, ping.crashed_at};
}

std::optional<ServerLife> life_of(const contract::State& state) {
    if (!state.started_at) return std::nullopt;
    return ServerLife{*state.started_at, state.crashed_at};
}

void ServerLives::adopt(const ServerLife& life) {
    if (present_ == life) return;
    if (present_) {
        past_.push_back(*present_);
        if (past_.size() > kPastLives) past_.erase(past_.begin());
    }
    std::erase(past_, life);
    present_ = life;
    earlier_since_.reset();
}

bool ServerLives::tells_restart(const ServerLife& told) {
    if (!present_) {
        adopt(told);
        return false;
    }
    if (*present_ == told || std::ranges::find(past_, told) != past_.end()) return false;
    const bool same_start = told.started_at == present_->started_at;
    if (same_start &&
        (!told.crashed_at || (present_->crashed_at && *told.crashed_at < *present_->crashed_at)))
        return false;
    return true;
}

bool ServerLives::waits(const ServerLife& told, std::chrono::milliseconds now,
                        std::chrono::milliseconds longest_lateness) {
    if (told == present_) earlier_since_.reset();
    if (!present_ || told.started_at >= present_->started_at) return false;
    if (!earlier_since_) earlier_since_ = now;
    return now - *earlier_since_ <= longest_lateness;
}

void RoleReports::add(const RoleReport& report) {
    ++reports_;
    ++(report.role == contract::Role::primary ? primaries_ : replicas_);
    ++(report.writable ? writable_ : read_only_);
}

std::optional<contract::Role> RoleReports::role(std::optional<contract::Role> before) const {
    if (2 * primaries_ > reports_) return contract::Role::primary;
    if (2 * replicas_ > reports_) return contract::Role::replica;
    return before;
}

std::optional<bool> RoleReports::writable(std::optional<bool> before) const {
    if (2 * writable_ > reports_) return true;
    if (2 * read_only_ > reports_) return false;
    return before;
}

}  // namespace pgpulse::aggregator
