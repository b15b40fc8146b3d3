#pragma once

#include "common/nats/connection.hpp"

#include <memory>
#include <string>

namespace pgpulse::support {

/// A connection of the test's own. Throws std::runtime_error where the server does not answer.
std::unique_ptr<nats::Connection> connect(const std::string& url);

}  // namespace pgpulse::support
