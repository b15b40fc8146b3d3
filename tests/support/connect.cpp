#include "tests/support/connect.hpp"

#include <stdexcept>

namespace pgpulse::support {

std::unique_ptr<nats::Connection> connect(const std::string& url) {
    nats::ConnectOptions options;
    options.url = url;
    auto opened = nats::Connection::open(options);
    if (!opened) throw std::runtime_error{opened.error().text};
    return std::move(*opened);
}

}  // namespace pgpulse::support
