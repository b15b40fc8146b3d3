#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// Pure: who of the live members owns what, by rendezvous hashing (highest random weight; Thaler and
// Ravishankar, 1998). Every member computes it from the same list and comes to the same answer, so nothing is
// agreed upon and nobody leads. When a member comes or goes, only what it owns changes hands.
namespace pgpulse::cluster {

/// The members, and the rank each has for an item.
class Rendezvous {
  public:
    Rendezvous() = default;
    /// `members` without duplicates, in any order.
    explicit Rendezvous(std::vector<std::string> members);

    /// Whether `member` is among the first `count` members by their weight for `item`. False for one that is
    /// not in the list.
    [[nodiscard]] bool owns(std::string_view member, std::string_view item, std::size_t count) const;

    /// The first `count` members (all of them where there are fewer), the heaviest first.
    [[nodiscard]] std::vector<std::string> owners(std::string_view item, std::size_t count) const;

    /// The same as indexes into `members()`, into `out`, which is emptied first.
    void owners(std::string_view item, std::size_t count, std::vector<std::uint32_t>& out) const;

    [[nodiscard]] const std::vector<std::string>& members() const { return members_; }

  private:
    std::vector<std::string> members_;   // sorted
    std::vector<std::uint64_t> hashes_;  // of the members, by index
};

}  // namespace pgpulse::cluster
