// Its checked version of recv() would be an inline function of the same name as ours.
#undef _FORTIFY_SOURCE

#include "probe/read_budget.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace pgpulse::probe {
namespace {

thread_local std::uint64_t* budget = nullptr;

}  // namespace

ReadBudget::ReadBudget(std::uint64_t& left) : outer_(std::exchange(budget, &left)) {}

ReadBudget::~ReadBudget() { budget = outer_; }

}  // namespace pgpulse::probe

/// Stands before the C library's for this program and all libraries it loads: recv(2), less where a budget
/// says so. A budget that is used up is EAGAIN, as of a socket with nothing to read.
extern "C" ssize_t recv(int socket, void* buffer, size_t length, int flags) {
    std::uint64_t* const left = pgpulse::probe::budget;
    if (left == nullptr || (flags & MSG_PEEK) != 0)
        return recvfrom(socket, buffer, length, flags, nullptr, nullptr);
    if (*left == 0 && length != 0) {
        errno = EAGAIN;
        return -1;
    }
    const ssize_t got =
        recvfrom(socket, buffer, std::min<std::uint64_t>(length, *left), flags, nullptr, nullptr);
    if (got > 0) *left -= static_cast<std::uint64_t>(got);
    return got;
}
