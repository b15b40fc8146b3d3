#pragma once

#include "common/contract/state.hpp"

#include <cstddef>
#include <map>
#include <string>

// Pure: the table that `pgpulse watch` keeps on a terminal.
namespace pgpulse::ctl {

struct ScreenSize {
    std::size_t rows = 24;
    std::size_t columns = 80;
};

class LiveTable {
  public:
    /// What is known begins anew: targets that are not told of before `loaded` are gone.
    void reset();
    void loaded();
    void take(contract::State state);
    void remove(const std::string& target);

    /// Scrolls by so many rows, as far as there are any.
    void scroll(std::ptrdiff_t rows);
    void scroll_to_top() { offset_ = 0; }

    /// The screen, a line each and as many as it has: the headline with how many targets are in each state, the head of the
    /// table, then targets: what is not up first, then what changed last. No line is wider than the screen. `notice`: what is
    /// wrong with the picture; empty: nothing.
    [[nodiscard]] std::string frame(ScreenSize size, const std::string& notice, bool colours);

  private:
    std::map<std::string, contract::State> states_;
    std::map<std::string, contract::State> coming_;  // while the bucket is read anew
    bool loading_ = true;
    std::size_t offset_ = 0;  // rows that are scrolled past
};

}  // namespace pgpulse::ctl
