#pragma once

#include "consul-bridge/webhook/answer.hpp"
#include "consul-bridge/webhook/queue.hpp"
#include "consul-bridge/webhook/url.hpp"

#include <tl/expected.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgpulse::consul_bridge::webhook {

/// An endpoint, as the operator named it.
struct Endpoint {
    Url url;
    std::string header_file;  // lines "Name: value"; empty: none. Its content is a secret
    std::string ca_file;      // empty: the system's
    std::string name;         // for logs and metrics, another one for each endpoint
};

/// The lines of a header file, those that are empty left out. Error: one line that names the file and quotes nothing
/// of it.
tl::expected<std::vector<std::string>, std::string> read_header_file(const std::string& file);

/// Posts events to one endpoint, several at once, with libcurl's multi interface. Certificates are verified, and
/// redirections are not followed. Of one thread, but for `wake`.
class Poster {
  public:
    static constexpr std::chrono::milliseconds kConnectTimeout{5000};
    /// Of a post in all.
    static constexpr std::chrono::milliseconds kTimeout{10'000};

    struct Done {
        Queue::PostId id = 0;
        Answer answer;
    };

    explicit Poster(const Endpoint& endpoint);
    Poster(const Poster&) = delete;
    Poster& operator=(const Poster&) = delete;
    ~Poster();

    void start(Queue::Post post);
    /// What ended; waits for it at most `timeout`, or until `wake`.
    std::vector<Done> wait(std::chrono::milliseconds timeout);
    /// Ends what is on its way; nothing is told of it.
    void abort();
    [[nodiscard]] std::size_t in_flight() const;
    /// One line, once for each time that the header file cannot be read any more; what it said before is sent on.
    std::optional<std::string> take_fault();

    /// Ends a `wait`. Any thread.
    void wake();

  private:
    struct Transfer;
    struct Handles;

    std::vector<std::string> headers();

    Endpoint endpoint_;
    std::vector<std::string> headers_;  // of the file, read last
    std::optional<std::string> fault_;
    bool fault_told_ = false;
    std::unique_ptr<Handles> handles_;
};

}  // namespace pgpulse::consul_bridge::webhook
