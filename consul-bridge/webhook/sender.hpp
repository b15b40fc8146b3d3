#pragma once

#include "common/nats/connection.hpp"
#include "common/nats/stream_facts.hpp"
#include "common/nats/stream_reader.hpp"
#include "common/runtime/clock.hpp"
#include "common/runtime/logging.hpp"
#include "consul-bridge/webhook/cursor.hpp"
#include "consul-bridge/webhook/cursors.hpp"
#include "consul-bridge/webhook/meters.hpp"
#include "consul-bridge/webhook/poster.hpp"
#include "consul-bridge/webhook/queue.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace pgpulse::consul_bridge::webhook {

/// Posts the history's transitions to one endpoint while this bridge is the one that does. One thread reads the history,
/// keeps the cursor and waits for NATS; another one posts and never calls NATS. Neither holds up anybody else.
class Sender {
  public:
    /// A bridge that takes over waits so long, so that the one before it has ended what was on its way and written its
    /// cursor.
    static constexpr std::chrono::milliseconds kHandover{1000};

    /// `bridge`: this bridge's id.
    Sender(nats::Connection& connection, Cursors& cursors, prometheus::Registry& registry, Endpoint endpoint,
           std::string bridge);
    Sender(const Sender&) = delete;
    Sender& operator=(const Sender&) = delete;
    /// Takes two seconds at most where NATS is frozen, unless the connection is closed.
    ~Sender();

    /// The bridges that serve are these; any thread.
    void serving(const std::vector<std::string>& bridges);
    /// `steady`: what this bridge says of who is alive stands; asked from any thread.
    void start(std::function<bool()> steady);
    /// Posts nothing more from now on; what is on its way has a moment. Any thread, does not wait.
    void stop();
    /// Waits until the cursor is written after `stop`; false where it is not in that time.
    bool stopped_within(std::chrono::milliseconds time);

  private:
    [[nodiscard]] bool chosen() const { return owns_.load() && steady_(); }

    // The thread that reads.
    void read();
    bool begin_term();
    void end_term(std::chrono::milliseconds grace);
    void turn();
    bool all_is_as_it_was();
    bool open_reader();
    void take();
    void put_cursor();
    void show(const nats::StreamFacts& facts);
    void say_how_it_begins(const Resumption& resumption, const std::optional<Cursor>& cursor,
                           const nats::StreamFacts& facts) const;
    void fault(const std::string& text);
    void pause(std::chrono::milliseconds time);

    // The thread that posts.
    void post();
    void tell(const Queue::Ended& ended, const Answer& answer, runtime::Mono now);

    nats::Connection& connection_;
    Cursors& cursors_;
    Meters meters_;
    const Endpoint endpoint_;
    const std::string bridge_;
    std::function<bool()> steady_;
    std::atomic<bool> owns_{false};
    std::atomic<bool> stop_{false};
    Poster poster_;

    std::mutex mutex_;
    std::condition_variable wake_;     // of the thread that reads
    std::condition_variable settled_;  // nothing is on its way; the cursor is written
    Queue queue_;
    bool posting_ = false;
    bool abort_ = false;  // what is on its way
    std::size_t flying_ = 0;
    bool stopped_ = false;  // the cursor is written for the last time
    bool ended_ = false;    // so is the thread that reads

    // Of the thread that reads.
    bool term_ = false;  // between begin_term and end_term
    std::optional<runtime::Mono> chosen_since_;
    std::optional<Cursor> own_;  // as it is, whether stored or not
    std::optional<Resumption> resumption_;
    bool doubted_ = false;  // the history is not what the cursor says
    bool absent_ = false;   // the history was
    bool absence_told_ = false;
    contract::WallTime history_{};
    nats::StreamFacts facts_;
    bool read_before_ = false;  // in this term
    bool full_told_ = false;
    std::unique_ptr<nats::StreamReader> reader_;
    runtime::Mono next_look_{};
    runtime::LineLimit faults_;
    runtime::LineLimit refusals_;

    // Of the thread that posts.
    std::mt19937_64 random_;
    runtime::LineLimit dropped_lines_;
    runtime::LineLimit failed_lines_;

    std::thread reading_;
    std::thread posts_;
};

}  // namespace pgpulse::consul_bridge::webhook
