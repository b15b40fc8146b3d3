#pragma once

#include <nats/nats.h>

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace pgpulse::bench {

/// A bucket as the one of the states is (file, history 64, republished), and nothing between it and nats.c: each put is
/// a compare-and-set against the newest revision that was acknowledged here, and none waits for another. Ends the
/// program with one line where anything fails.
class BareBucket {
  public:
    /// `name` is its own; its values are republished on `<republish_to>.<key>`.
    BareBucket(natsConnection* connection, const std::string& name, const std::string& republish_to);
    BareBucket(const BareBucket&) = delete;
    BareBucket& operator=(const BareBucket&) = delete;
    ~BareBucket();

    /// A key that was not put here yet is put without a condition.
    void put(const std::string& key, std::string_view value);
    /// Waits until all are acknowledged.
    void finish();

  private:
    std::string prefix_;
    jsCtx* js_ = nullptr;
    std::mutex mutex_;
    std::unordered_map<std::string, std::uint64_t> revisions_;

    static void on_ack(jsCtx*, natsMsg* message, jsPubAck* ack, jsPubAckErr* error, void* self);
};

/// Ends the program with one line unless it is NATS_OK.
void check(const char* what, natsStatus status);

}  // namespace pgpulse::bench
