#pragma once

#include "common/runtime/health.hpp"

#include <memory>

namespace pgpulse::runtime {

/// Tells the service manager that started this program (systemd with Type=notify) how it is: sd_notify(3), a datagram to
/// the socket that NOTIFY_SOCKET names. Without that variable it does nothing and starts no thread.
class ServiceManager {
  public:
    /// Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that no child speaks in this
    /// program's name. Make it before any thread is started.
    ServiceManager();
    ServiceManager(const ServiceManager&) = delete;
    ServiceManager& operator=(const ServiceManager&) = delete;
    ~ServiceManager();

    /// The options are good and the work begins. To be called once, when the signals are blocked: it starts a thread.
    void start();

    /// Calls stopping() at its end, so that what `health` looks at may go after it.
    class Watch {
      public:
        explicit Watch(ServiceManager& manager) : manager_(manager) {}
        Watch(const Watch&) = delete;
        Watch& operator=(const Watch&) = delete;
        ~Watch() { manager_.stopping(); }

      private:
        ServiceManager& manager_;
    };

    /// The working loop is there: the manager is told what `health` says, and its watchdog is fed as long as the program is
    /// healthy.
    [[nodiscard]] Watch watch(Health health);

    /// A file is read again, from the first call to the second.
    void reloading();
    void reloaded();

    /// The program ends. `health` is not called any more once this returned. From any thread, also more than once.
    void stopping();

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;  // empty: nobody is to be told
};

}  // namespace pgpulse::runtime
