#pragma once

#include <cstdint>

namespace pgpulse::probe {

/// What a peer's answer may take: a server's to a ping takes some hundred bytes, its certificates some
/// thousand more.
constexpr std::uint64_t kMostBytes = 65'536;

/// While one lives, everything that libpq reads on this thread counts against `left` (bytes); once that is
/// used up, its sockets look empty.
///
/// libpq has no such bound. It follows a message that claims 1 GB, and as long as a peer keeps sending, one
/// call of it reads on and does not return. It reads by recv() alone, with TLS as well, so this program brings
/// a recv() of its own that keeps the count.
class ReadBudget {
  public:
    /// `left` outlives this object. The innermost one on a thread counts.
    explicit ReadBudget(std::uint64_t& left);
    ReadBudget(const ReadBudget&) = delete;
    ReadBudget& operator=(const ReadBudget&) = delete;
    ~ReadBudget();

  private:
    std::uint64_t* outer_;
};

}  // namespace pgpulse::probe
