// Its checked version of recv() would be an inline function of the same name as ours.
#undef _FORTIFY_SOURCE

#include "probe/read_budget.hpp"

#include <dlfcn.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace pgpulse::probe {
namespace {

thread_local std::uint64_t* budget = nullptr;

using Receive = ssize_t (*)(int, void*, size_t, int);

/// The recv() that would be called without ours: the C library's, or a sanitizer's before it.
Receive next_recv() {
    static const auto next = reinterpret_cast<Receive>(dlsym(RTLD_NEXT, "recv"));
    return next;
}

}  // namespace

ReadBudget::ReadBudget(std::uint64_t& left) : outer_(std::exchange(budget, &left)) {}

ReadBudget::~ReadBudget() { budget = outer_; }

}  // namespace pgpulse::probe

/// Stands before the C library's for this program and all libraries it loads: recv(2), less where a budget
/// says so. A budget that is used up is EAGAIN, as of a socket with nothing to read.
extern "C" ssize_t recv(int socket, void* buffer, size_t length, int flags) {
    std::uint64_t* const left = pgpulse::probe::budget;
    const auto next = pgpulse::probe::next_recv();
    if (left == nullptr || (flags & MSG_PEEK) != 0) return next(socket, buffer, length, flags);
    if (*left == 0 && length != 0) {
        errno = EAGAIN;
        return -1;
    }
    const ssize_t got = next(socket, buffer, std::min<std::uint64_t>(length, *left), flags);
    if (got > 0) *left -= static_cast<std::uint64_t>(got);
    return got;
}
