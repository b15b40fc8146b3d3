#pragma once

#include <functional>
#include <thread>

namespace pgpulse::runtime {

enum class Signal { stop, reload };

/// Turns SIGTERM and SIGINT (stop) and SIGHUP (reload) into calls on a thread of its own. Make it before any
/// other thread is started: the signals are blocked from then on in every thread. SIGPIPE is ignored.
class Signals {
  public:
    using OnSignal = std::function<void(Signal)>;

    Signals();
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;
    ~Signals();

    /// Starts calling; signals that came since the constructor are not lost.
    void listen(OnSignal on_signal);

  private:
    std::thread thread_;
};

}  // namespace pgpulse::runtime
