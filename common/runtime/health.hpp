#pragma once

#include <functional>
#include <string>

namespace pgpulse::runtime {

/// How a program is, for whoever watches over it. Called on the watchers' threads.
struct Health {
    std::function<bool()> healthy;                   // the working loop turns
    std::function<std::string()> not_ready_because;  // one line; empty: ready
};

}  // namespace pgpulse::runtime
