#pragma once

#include "aggregator/history_copy.hpp"
#include "aggregator/history_pace.hpp"
#include "aggregator/history_stream.hpp"
#include "aggregator/metrics.hpp"
#include "common/nats/connection.hpp"
#include "common/runtime/logging.hpp"
#include "common/runtime/mailbox.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace pgpulse::aggregator {

/// Copies the transitions of the bucket `health` into the stream `HEALTH_TRANSITIONS` while this aggregator is the one
/// that does (history_copy.hpp has the rules), on a thread of its own. Creates the stream where it is absent. Waits for
/// NATS as long as it takes.
class HistoryCopier {
  public:
    /// How many states this aggregator writes or is about to write, empty until it has read the buckets; called on
    /// the copier's thread.
    using Writing = std::function<std::optional<std::size_t>()>;

    /// `id`: this aggregator's.
    HistoryCopier(nats::Connection& connection, std::string id, const HistoryConfig& config, Metrics& metrics,
                  Writing writing);
    HistoryCopier(const HistoryCopier&) = delete;
    HistoryCopier& operator=(const HistoryCopier&) = delete;
    /// Takes a second at most, or two where NATS is frozen, unless the connection is closed.
    ~HistoryCopier();

    /// The aggregators that serve are these; any thread.
    void serving(const std::vector<std::string>& aggregators);
    /// Copies no more from now on; any thread, does not wait.
    void stop();

  private:
    class Session;

    nats::Connection& connection_;
    const std::string id_;
    const HistoryConfig config_;
    Metrics& metrics_;
    const Writing writing_;
    std::atomic<bool> chosen_{false};
    std::atomic<bool> stop_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
    runtime::Mailbox<HistoryOutcome> outcomes_;
    std::vector<HistoryOutcome> batch_;
    std::unique_ptr<HistoryStream> stream_;
    HistoryCopy copy_;
    HistoryPace pace_;
    bool copied_ = false;  // something, in this session
    runtime::LineLimit faults_;
    std::chrono::nanoseconds max_age_told_{-1};
    int replicas_told_ = 0;
    int troubles_ = 0;  // sessions in a row that copied nothing
    std::thread thread_;

    void run();
    void pause(std::chrono::milliseconds time);
    [[nodiscard]] bool goes_on() const;
    void fault(const std::string& text);

    /// Copies until it is to copy no more, or something went wrong. Whether anything was copied.
    bool copy();
    bool settled();
    void take_outcomes(std::chrono::milliseconds patience);
    void tell_of_max_age(const nats::StreamFacts& history);
    void tell_of_replicas(const nats::StreamFacts& history);
};

}  // namespace pgpulse::aggregator
