#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

namespace pgpulse::consul_bridge {

/// What of Consul is watched for writes of others.
enum class Table { values, checks, services };
inline constexpr std::size_t kTables = 3;

/// Decides whether what moved Consul's index was somebody else, so that everything is to be read. Pure.
///
/// The rules:
///  1. A table's index that moved is this bridge's own doing where exactly one of its transactions lies between the
///     last index and this one, and this one is its index. Where several do, somebody else's may be among them.
///  2. It is judged a moment after it was seen: a transaction's own answer may come later than the wake.
///  3. An index that went back (a snapshot was restored) is somebody else's.
///  4. At most one alarm in `kInterval`; what comes sooner waits.
///  5. With more than `kMaxTargets` targets there is none: a read of everything costs too much to be made so often.
class DriftAlarm {
  public:
    using Mono = std::chrono::steady_clock::time_point;

    static constexpr std::chrono::milliseconds kInterval{10'000};
    static constexpr std::chrono::milliseconds kJudgedAfter{500};
    static constexpr std::size_t kMaxTargets = 10'000;

    /// A transaction of this bridge has this index.
    void committed(std::uint64_t index);

    /// The table's index has moved to this one. The first index of a table is where watching begins.
    void moved(Table table, std::uint64_t index, Mono now);

    /// True where everything is to be read now.
    bool due(std::size_t targets, Mono now);

    /// When `due` may answer otherwise even if nothing happens.
    [[nodiscard]] std::optional<Mono> next() const;

  private:
    struct Move {
        std::uint64_t from = 0;
        std::uint64_t to = 0;
        Mono judged_at{};
    };

    [[nodiscard]] bool is_own(const Move& move) const;

    std::array<std::uint64_t, kTables> seen_{};
    std::deque<Move> moves_;
    std::deque<std::uint64_t> own_;  // the newest ones, as they came
    bool alarmed_ = false;
    Mono not_before_{};
};

}  // namespace pgpulse::consul_bridge
