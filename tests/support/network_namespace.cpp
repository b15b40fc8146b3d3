#include "tests/support/network_namespace.hpp"

#include "tests/support/process.hpp"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace pgpulse::support {
namespace {

FileDescriptor current_namespace() {
    FileDescriptor current{::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)};
    if (!current) throw std::system_error(errno, std::generic_category(), "open /proc/thread-self/ns/net");
    return current;
}

/// A new one, made on a thread of its own that ends in it.
FileDescriptor new_namespace() {
    FileDescriptor made;
    int error = 0;
    std::thread{[&] {
        if (::unshare(CLONE_NEWNET) != 0)
            error = errno;
        else
            made = current_namespace();
    }}.join();
    if (error != 0) {
        throw std::runtime_error(
            std::string{"this test needs to make network namespaces (run it as root, with "
                        "CAP_SYS_ADMIN and CAP_NET_ADMIN): "} +
            std::strerror(error));
    }
    return made;
}

}  // namespace

NetworkNamespace::NetworkNamespace() : namespace_(new_namespace()) { ip({"link", "set", "lo", "up"}); }

NetworkNamespace::Visit::Visit(const NetworkNamespace& to) : home_(current_namespace()) {
    if (::setns(to.namespace_.get(), CLONE_NEWNET) != 0)
        throw std::system_error(errno, std::generic_category(), "setns");
}

NetworkNamespace::Visit::~Visit() { (void)::setns(home_.get(), CLONE_NEWNET); }

void NetworkNamespace::ip(const std::vector<std::string>& arguments) const {
    const Visit inside{*this};
    std::vector<std::string> command{"ip"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    const CommandResult result = run_to_end(command);
    if (result.exit_code == 0) return;
    std::string line;
    for (const std::string& word : command) line += word + " ";
    throw std::runtime_error(line + "failed: " + result.err);
}

void NetworkNamespace::connect(const NetworkNamespace& other, const std::string& name,
                               const std::string& address, const std::string& other_address) const {
    const std::string there =
        "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(other.namespace_.get());
    ip({"link", "add", name, "type", "veth", "peer", "name", name, "netns", there});
    const auto take_up = [&name](const NetworkNamespace& end, const std::string& own) {
        end.ip({"address", "add", own + "/30", "dev", name});
        end.ip({"link", "set", name, "up"});
    };
    take_up(*this, address);
    take_up(other, other_address);
}

}  // namespace pgpulse::support
