#include "probe/address_order.hpp"

#include <algorithm>
#include <utility>

namespace pgpulse::probe {

bool AddressOrder::renew(std::vector<std::string> addresses) {
    if (!addresses_.empty()) {
        const auto first = std::ranges::find(addresses, addresses_.front());
        if (first != addresses.end()) std::rotate(addresses.begin(), first, addresses.end());
    }
    if (addresses == addresses_) return false;
    addresses_ = std::move(addresses);
    ++number_;
    return true;
}

bool AddressOrder::silent(std::uint32_t number) {
    if (number != number_ || addresses_.size() < 2) return false;
    std::rotate(addresses_.begin(), addresses_.begin() + 1, addresses_.end());
    ++number_;
    return true;
}

}  // namespace pgpulse::probe
