#pragma once

#include <cstdint>
#include <string>
#include <vector>

// Pure: in which order the addresses of a host name are tried.
//
// libpq goes on to the next address where one refuses, but it waits for one that says nothing until the ping's
// deadline, and so never comes to the others.
//
// The rules, each tested under its name:
//   silent_goes_last    When a ping that began with the first address ended in silence, the next one begins
//                       with the second. The other pings that began so say nothing new.
//   first_stays_first   New addresses of the name keep the first one where they hold it: a name server deals
//                       them out in another order each time.
namespace pgpulse::probe {

class AddressOrder {
  public:
    /// The name's addresses, as found last; at least one. True: the order is another one.
    bool renew(std::vector<std::string> addresses);

    /// A ping that began in the order of this number was not answered. True: the order is another one.
    bool silent(std::uint32_t number);

    /// Empty: the name was never found.
    [[nodiscard]] const std::vector<std::string>& addresses() const { return addresses_; }
    /// Counts the orders there were.
    [[nodiscard]] std::uint32_t number() const { return number_; }

  private:
    std::vector<std::string> addresses_;
    std::uint32_t number_ = 0;
};

}  // namespace pgpulse::probe
