#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace asio {
class io_context;
}

namespace pgpulse::probe {

/// A place that is reachable as long as this worker's network is: a gateway, a name server, another site's
/// router.
struct Reference {
    std::string host;  // a name or an address
    std::uint16_t port = 0;
};

/// Tries whether any reference can be reached, by TCP: one that takes the connection or refuses it is there.
/// On one event loop; not for several threads at once.
class References {
  public:
    using OnAnswer = std::function<void(bool any)>;

    /// `on_answer` is called on the loop, once for each `ask`.
    References(asio::io_context& loop, std::vector<Reference> references, OnAnswer on_answer);
    References(const References&) = delete;
    References& operator=(const References&) = delete;
    /// No call after it returned.
    ~References();

    /// Tries all of them; the answer is that of the first that is there, or `false` after kPatience. None is
    /// open.
    void ask();

    static constexpr int kPatienceMs = 500;

  private:
    struct Impl;
    std::shared_ptr<Impl> impl_;  // what is still on the loop knows by it that nobody asks any more
};

}  // namespace pgpulse::probe
