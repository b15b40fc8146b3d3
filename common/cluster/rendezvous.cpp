#include "common/cluster/rendezvous.hpp"

#include "common/contract/hash.hpp"

#include <algorithm>
#include <numeric>

namespace pgpulse::cluster {
namespace {

using contract::fnv1a;
using contract::mix;

std::uint64_t weight(std::uint64_t member, std::uint64_t item) { return mix(member ^ mix(item)); }

}  // namespace

Rendezvous::Rendezvous(std::vector<std::string> members) : members_(std::move(members)) {
    std::ranges::sort(members_);
    hashes_.reserve(members_.size());
    for (const std::string& member : members_) hashes_.push_back(mix(fnv1a(member)));
}

bool Rendezvous::owns(std::string_view member, std::string_view item, std::size_t count) const {
    const auto it = std::ranges::lower_bound(members_, member);
    if (it == members_.end() || *it != member) return false;
    if (count >= members_.size()) return true;
    const auto self = static_cast<std::size_t>(it - members_.begin());
    const std::uint64_t hash = fnv1a(item);
    const std::uint64_t own = weight(hashes_[self], hash);
    std::size_t heavier = 0;
    for (std::size_t i = 0; i < hashes_.size(); ++i) {
        const std::uint64_t other = weight(hashes_[i], hash);
        // Equal weights are as good as impossible; the names settle them.
        if (other > own || (other == own && i < self)) ++heavier;
        if (heavier >= count) return false;
    }
    return true;
}

void Rendezvous::owners(std::string_view item, std::size_t count, std::vector<std::uint32_t>& out) const {
    const std::uint64_t hash = fnv1a(item);
    out.resize(members_.size());
    std::iota(out.begin(), out.end(), std::uint32_t{0});
    const std::size_t first = std::min(count, out.size());
    std::partial_sort(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(first), out.end(),
                      [&](std::uint32_t a, std::uint32_t b) {
                          const std::uint64_t of_a = weight(hashes_[a], hash);
                          const std::uint64_t of_b = weight(hashes_[b], hash);
                          return of_a != of_b ? of_a > of_b : a < b;
                      });
    out.resize(first);
}

std::vector<std::string> Rendezvous::owners(std::string_view item, std::size_t count) const {
    std::vector<std::uint32_t> indexes;
    owners(item, count, indexes);
    std::vector<std::string> owners;
    owners.reserve(indexes.size());
    for (const std::uint32_t index : indexes) owners.push_back(members_[index]);
    return owners;
}

}  // namespace pgpulse::cluster
