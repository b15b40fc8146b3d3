#pragma once

#include "consul-bridge/consul_options.hpp"

#include <tl/expected.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace pgpulse::consul_bridge {

/// One kept-alive HTTP connection to Consul. For one thread, but for `abort`.
class ConsulClient {
  public:
    struct Reply {
        long status = 0;
        std::string body;
        std::uint64_t index = 0;              // X-Consul-Index; 0: not given
        std::chrono::seconds retry_after{0};  // as the server asks; 0: it does not
    };
    /// Error: no answer; one line that names Consul's URL and never a secret.
    using Result = tl::expected<Reply, std::string>;

    explicit ConsulClient(ConsulOptions options);
    ConsulClient(const ConsulClient&) = delete;
    ConsulClient& operator=(const ConsulClient&) = delete;
    ~ConsulClient();

    /// `path` begins with "/v1/" and is encoded. Two seconds to connect; an answer that stops coming for ten
    /// ends the request.
    Result get(const std::string& path);

    /// At most ten seconds in all.
    Result put(const std::string& path, const std::string& body);

    /// Waits, but not beyond `abort`; false where that ended it.
    bool wait(std::chrono::milliseconds time);

    /// Ends the request or wait under way and every later one. From any thread.
    void abort();

    /// For a message about what Consul answered.
    [[nodiscard]] const std::string& url() const { return options_.url; }

  private:
    struct Handles;

    void trust();
    Result perform(const std::string& path);

    ConsulOptions options_;
    std::unique_ptr<Handles> handles_;
    std::atomic<bool> aborted_{false};
};

}  // namespace pgpulse::consul_bridge
