#include "tests/support/coverage_ledger.hpp"

#include "common/contract/names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace pgpulse::support {

std::int64_t mono_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

bool is_counted_failure(const contract::Ping& ping) {
    return !ping.suspect &&
           (ping.verdict == contract::Verdict::no_response || ping.verdict == contract::Verdict::rejecting);
}

CoverageLedger::CoverageLedger(nats::Connection& connection, std::chrono::milliseconds fresh)
    : fresh_(fresh),
      subscription_(nats::Subscription::open(connection, std::string{contract::kAllPings},
                                             [this](const nats::Message& message) { take(message); })
                        .value()) {}

template <typename Predicate>
CoverageLedger::Owners CoverageLedger::late_pingers(Predicate&& counts) {
    const std::lock_guard lock{mutex_};
    const std::int64_t since = mono_ms() - fresh_.count();
    Owners owners;
    for (const auto& [pair, ping] : last_) {
        if (ping.mono_ms >= since && counts(ping)) owners[pair.first].insert(pair.second);
    }
    return owners;
}

CoverageLedger::Owners CoverageLedger::owners() {
    return late_pingers([](const contract::Ping&) { return true; });
}

CoverageLedger::Owners CoverageLedger::holding_up() {
    return late_pingers([](const contract::Ping& ping) { return ping.opinion == contract::Opinion::up; });
}

std::int64_t CoverageLedger::longest_gap(const std::string& target, std::int64_t since) {
    const std::lock_guard lock{mutex_};
    std::vector<std::int64_t> times = times_[target];
    std::ranges::sort(times);
    const auto first = std::ranges::lower_bound(times, since);
    if (first != times.begin()) times.erase(times.begin(), std::prev(first));
    std::int64_t longest = 0;
    for (std::size_t i = 1; i < times.size(); ++i) longest = std::max(longest, times[i] - times[i - 1]);
    return longest;
}

std::size_t CoverageLedger::pings(const std::string& target, const std::string& worker) {
    const std::lock_guard lock{mutex_};
    return counts_[{target, worker}];
}

std::optional<contract::Ping> CoverageLedger::newest(const std::string& target, const std::string& worker) {
    const std::lock_guard lock{mutex_};
    const auto it = last_.find({target, worker});
    return it == last_.end() ? std::nullopt : std::optional{it->second};
}

std::int64_t CoverageLedger::newest_distance(const std::string& target, const std::string& worker) {
    const std::lock_guard lock{mutex_};
    return distances_[{target, worker}];
}

std::uint64_t CoverageLedger::newest_seq(const std::string& worker) {
    const std::lock_guard lock{mutex_};
    return newest_seq_[worker];
}

std::optional<std::int64_t> CoverageLedger::first_failure(const std::string& target,
                                                          const std::string& worker) {
    const std::lock_guard lock{mutex_};
    const auto it = first_failures_.find({target, worker});
    return it == first_failures_.end() ? std::nullopt : std::optional{it->second};
}

std::size_t CoverageLedger::pings() {
    const std::lock_guard lock{mutex_};
    std::size_t all = 0;
    for (const auto& [verdict, count] : verdicts_) all += count;
    return all;
}

std::size_t CoverageLedger::pings(contract::Verdict verdict) {
    const std::lock_guard lock{mutex_};
    return verdicts_[verdict];
}

std::vector<contract::Ping> CoverageLedger::accusations(std::int64_t since) {
    const std::lock_guard lock{mutex_};
    std::vector<contract::Ping> found;
    std::ranges::copy_if(accusations_, std::back_inserter(found),
                         [since](const contract::Ping& ping) { return ping.mono_ms >= since; });
    return found;
}

void CoverageLedger::take(const nats::Message& message) {
    const auto ping = contract::decode_ping(nats::subject_of(message), nats::payload_of(message));
    if (!ping) return;
    const std::lock_guard lock{mutex_};
    const Pair pair{ping->target, ping->worker};
    times_[ping->target].push_back(ping->mono_ms);
    ++counts_[pair];
    ++verdicts_[ping->verdict];
    if (const auto last = last_.find(pair); last != last_.end())
        distances_[pair] = ping->mono_ms - last->second.mono_ms;
    last_.insert_or_assign(pair, *ping);
    std::uint64_t& seq = newest_seq_[ping->worker];
    seq = std::max(seq, ping->seq);
    if (ping->verdict == contract::Verdict::no_response) first_failures_.try_emplace(pair, ping->mono_ms);
    if (is_counted_failure(*ping) || ping->opinion == contract::Opinion::down) accusations_.push_back(*ping);
}

std::string shown(const std::vector<contract::Ping>& pings) {
    constexpr std::size_t kShown = 10;
    std::string text = fmt::format("{} pings", pings.size());
    for (std::size_t i = 0; i < std::min(pings.size(), kShown); ++i) {
        const contract::Ping& ping = pings[i];
        text += fmt::format("\n  {} of {} at {} ms: {} ({}), opinion {}, streak {}{}", ping.worker,
                            ping.target, ping.mono_ms, to_string(ping.verdict), to_string(ping.reason),
                            to_string(ping.opinion), ping.streak, ping.suspect ? ", suspect" : "");
    }
    return text;
}

}  // namespace pgpulse::support
