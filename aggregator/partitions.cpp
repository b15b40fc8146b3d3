#include "aggregator/partitions.hpp"

#include "common/cluster/rendezvous.hpp"

#include <algorithm>

namespace pgpulse::aggregator {
namespace {

constexpr std::size_t kTalliers = 2;

}  // namespace

Ranks ranks_of(const std::string& id, const std::vector<std::string>& aggregators) {
    Ranks ranks{};
    const cluster::Rendezvous rendezvous{aggregators};
    for (unsigned partition = 0; partition < contract::kPartitions; ++partition) {
        const auto owners = rendezvous.owners("partition." + std::to_string(partition), kTalliers);
        for (std::size_t rank = 0; rank < owners.size(); ++rank) {
            if (owners[rank] == id) ranks[partition] = rank == 0 ? Rank::first : Rank::second;
        }
    }
    return ranks;
}

std::size_t tallied(const Ranks& ranks) {
    return static_cast<std::size_t>(
        std::ranges::count_if(ranks, [](Rank rank) { return rank != Rank::none; }));
}

}  // namespace pgpulse::aggregator
