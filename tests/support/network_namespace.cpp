#include "tests/support/network_namespace.hpp"

#include "tests/support/process.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
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

void write_file(const char* path, const std::string& text) {
    const FileDescriptor file{::open(path, O_WRONLY | O_CLOEXEC)};
    if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        throw std::system_error(errno, std::generic_category(), path);
}

/// Takes this process into a user namespace where it has the rights to make networks, and all that it starts has them
/// too; it stays the same user there. Only as long as it has one thread. False: that may not be.
bool gain_rights() {
    const std::string user = std::to_string(::geteuid());
    const std::string group = std::to_string(::getegid());
    if (::unshare(CLONE_NEWUSER) != 0) return false;
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", user + " " + user + " 1");
    write_file("/proc/self/gid_map", group + " " + group + " 1");
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> rights{};
    if (::syscall(SYS_capget, &header, rights.data()) != 0) return false;
    for (auto& half : rights) half.inheritable = half.permitted;
    if (::syscall(SYS_capset, &header, rights.data()) != 0) return false;
    // The last one lets `ip` open this process's descriptor of another namespace.
    for (const unsigned long right : {CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_SYS_PTRACE}) {
        if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, right, 0, 0) != 0) return false;
    }
    return true;
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
            std::string{"this test needs to make network namespaces (run it as root, or where users may make "
                        "user namespaces): "} +
            std::strerror(error));
    }
    return made;
}

}  // namespace

NetworkNamespace::NetworkNamespace() {
    static const bool has_rights = ::geteuid() == 0 || gain_rights();
    (void)has_rights;  // without them the next call says what is missing
    namespace_ = new_namespace();
    ip({"link", "set", "lo", "up"});
}

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
