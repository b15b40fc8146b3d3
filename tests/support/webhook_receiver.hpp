#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pgpulse::support {

/// A user's endpoint for webhooks: an HTTP server that keeps what is posted to it. Any thread.
class WebhookReceiver {
  public:
    struct Event {
        std::string path;
        std::map<std::string, std::string> headers;  // names in lower case
        std::string body;
        std::string id;                // of the CloudEvent
        std::string sequence;          // likewise
        std::string subject;           // likewise
        std::uint64_t transition = 0;  // of its state; 0: a removal
        int status = 0;                // that it was answered with
    };
    struct Answer {
        int status = 204;
        std::map<std::string, std::string> headers = {};
    };
    using Decide = std::function<Answer(const Event&)>;

    struct Tls {
        std::string certificate;
        std::string key;
    };

    /// Listens at a free port, which stays the same. Empty `tls`: plain HTTP.
    explicit WebhookReceiver(Tls tls = {});
    ~WebhookReceiver();
    WebhookReceiver(const WebhookReceiver&) = delete;
    WebhookReceiver& operator=(const WebhookReceiver&) = delete;

    /// Nobody listens from then on, and connections are closed.
    void stop();
    void start();
    /// What each event is answered with; may wait. By default 204.
    void answer_with(Decide decide);

    /// "http://127.0.0.1:PORT/hook", or https.
    [[nodiscard]] std::string url() const;
    /// What was posted, in the order of its arrival, whatever the answer.
    [[nodiscard]] std::vector<Event> events() const;
    /// The transitions that were answered with 2xx, by target, each once, as docs/webhooks.md tells receivers: an event
    /// whose `sequence` is not greater than those of its subject before it is left out.
    [[nodiscard]] std::map<std::string, std::vector<std::uint64_t>> stories() const;
    /// How many events there were.
    [[nodiscard]] std::size_t count() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace pgpulse::support
