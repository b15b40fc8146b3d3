#pragma once

#include "tests/support/file_descriptor.hpp"

#include <string>
#include <vector>

namespace pgpulse::support {

/// A network namespace with a loopback interface that is up and with nothing else: no way leads out of it. It
/// has no name in the file system, so nothing is left of it when this process is gone, however it ended.
class NetworkNamespace {
  public:
    /// Throws std::runtime_error with one line where this process may make none. One that is not root makes the
    /// first one before it starts a thread.
    NetworkNamespace();

    /// While it lives, the thread that made it is in the namespace, and so is all that it starts: threads,
    /// sockets and processes.
    class Visit {
      public:
        explicit Visit(const NetworkNamespace& to);
        ~Visit();
        Visit(const Visit&) = delete;
        Visit& operator=(const Visit&) = delete;

      private:
        FileDescriptor home_;
    };

    /// Runs `ip ARGUMENTS` in the namespace; throws std::runtime_error with what it says when it fails.
    void ip(const std::vector<std::string>& arguments) const;

    /// Lays a cable to another namespace: an interface `name` at either end, with `address/30` here and
    /// `other_address/30` there.
    void connect(const NetworkNamespace& other, const std::string& name, const std::string& address,
                 const std::string& other_address) const;

  private:
    FileDescriptor namespace_;
};

}  // namespace pgpulse::support
