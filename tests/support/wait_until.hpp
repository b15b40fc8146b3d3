#pragma once

#include <poll.h>

#include <chrono>
#include <concepts>

namespace pgpulse::support {

/// How long a test waits for a condition before it fails: far above what a loaded machine needs, since a
/// deadline is there to end a broken test and not to measure anything.
inline constexpr std::chrono::seconds default_deadline{30};

namespace detail {
/// The only pause in the tests: between two looks at a condition that nobody announces.
inline void pause_between_looks() {
    constexpr int step_ms = 5;
    ::poll(nullptr, 0, step_ms);
}
}  // namespace detail

/// Looks at `condition` every few milliseconds until it holds or `deadline` has passed, and once more then.
/// Returns whether it held.
template <std::predicate Condition>
[[nodiscard]] bool wait_until(Condition&& condition,
                              std::chrono::steady_clock::duration deadline = default_deadline) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    while (!condition()) {
        if (std::chrono::steady_clock::now() >= end) {
            return condition();
        }
        detail::pause_between_looks();
    }
    return true;
}

/// Calls `read`, which returns a std::optional, until it returns a value or `deadline` has passed.
/// Returns that value, or nullopt at the deadline.
template <std::invocable Read>
[[nodiscard]] auto eventually(Read&& read, std::chrono::steady_clock::duration deadline = default_deadline)
    -> std::invoke_result_t<Read> {
    std::invoke_result_t<Read> value;
    (void)wait_until(
        [&] {
            value = read();
            return value.has_value();
        },
        deadline);
    return value;
}

}  // namespace pgpulse::support
