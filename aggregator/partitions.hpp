#pragma once

#include "common/contract/names.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pgpulse::aggregator {

/// What an aggregator is to a partition. The first two by rendezvous rank tally it, and both write: the death of
/// one leaves no gap, and compare-and-set makes the other's write harmless.
enum class Rank : std::uint8_t { none, first, second };

using Ranks = std::array<Rank, contract::kPartitions>;

/// The ranks of aggregator `id` among those that serve. Pure.
Ranks ranks_of(const std::string& id, const std::vector<std::string>& aggregators);

/// How many partitions it tallies.
std::size_t tallied(const Ranks& ranks);

}  // namespace pgpulse::aggregator
