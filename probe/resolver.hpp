#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pgpulse::probe {

/// Looks host names up on threads of its own, over and over: every 30 s, every second while a name has never
/// been found, and sooner where a target does not answer.
class Resolver {
  public:
    struct Answer {
        std::vector<std::string> addresses;  // numeric, in the order of getaddrinfo
        /// Why there are none: this process or machine had no descriptor or memory left for the lookup.
        /// Otherwise the name was not found, or nobody answered.
        bool observer_exhausted = false;
    };
    using OnAnswer = std::function<void(const std::string& name, Answer answer)>;

    /// `on_answer` is called on the resolver's threads, once for every lookup.
    explicit Resolver(OnAnswer on_answer);
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;
    /// Does not wait for a lookup under way, which can take as long as the system's resolver likes; no call
    /// after it returned.
    ~Resolver();

    /// Looks `name` up at once and from then on. Nothing to do where it is followed already.
    void follow(const std::string& name);
    void forget(const std::string& name);

    /// What was found does not answer: looks `name` up now, unless that was done within the last second.
    void doubt(const std::string& name);

  private:
    struct State;
    std::shared_ptr<State> state_;
};

/// True for an IPv4 or IPv6 address, which needs no lookup.
bool is_numeric_address(const std::string& text);

}  // namespace pgpulse::probe
