#include "ctl/connect.hpp"

#include <iostream>
#include <utility>

namespace pgpulse::ctl {

tl::expected<std::unique_ptr<nats::Connection>, int> connect(const Options& options) {
    auto connection = nats::Connection::open(options.nats);
    if (connection) return std::move(*connection);
    std::cerr << "pgpulse: " << connection.error().text << '\n';
    return tl::unexpected(exit_code_of(connection.error()));
}

}  // namespace pgpulse::ctl
