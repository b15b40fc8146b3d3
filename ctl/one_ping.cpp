#include "ctl/one_ping.hpp"

#include "common/runtime/clock.hpp"
#include "ctl/connection_string.hpp"
#include "probe/ping.hpp"

#include <asio/io_context.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <netdb.h>
#include <sys/socket.h>

#include <array>
#include <iostream>
#include <memory>

namespace pgpulse::ctl {
namespace {

using contract::Reason;
using contract::Verdict;
using std::chrono::microseconds;

constexpr int kNoAttempt = 3;

struct AddressesDeleter {
    void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

struct Lookup {
    std::vector<std::string> addresses;  // numeric, in the order of getaddrinfo
    std::string fault;                   // why there are none
};

Lookup look_up(const std::string& host) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* raw = nullptr;
    if (const int code = getaddrinfo(host.c_str(), nullptr, &hints, &raw); code != 0)
        return {{}, gai_strerror(code)};
    const std::unique_ptr<addrinfo, AddressesDeleter> list{raw};
    Lookup found;
    for (const addrinfo* one = list.get(); one != nullptr; one = one->ai_next) {
        std::array<char, NI_MAXHOST> text{};
        if (getnameinfo(one->ai_addr, one->ai_addrlen, text.data(), text.size(), nullptr, 0,
                        NI_NUMERICHOST) == 0)
            found.addresses.emplace_back(text.data());
    }
    return found;
}

probe::PingResult ping(const contract::TargetDefinition& target, const std::vector<std::string>& addresses,
                       std::chrono::milliseconds timeout) {
    asio::io_context loop;
    std::optional<probe::PingResult> result;
    probe::PingEngine engine{loop, [&](probe::PingId, const probe::PingResult& found) { result = found; }};
    const probe::PingId id{0, 1};
    const auto deadline = runtime::mono_now() + timeout;
    engine.start(id, probe::ConnectionParameters{target, addresses});
    while (!result && runtime::mono_now() < deadline) {
        loop.restart();
        loop.run_one_until(deadline);
    }
    if (!result) result = engine.expire(id);
    return result.value_or(probe::PingResult{});
}

const char* in_words(Verdict verdict) {
    switch (verdict) {
        case Verdict::accepting:
            return "accepting connections";
        case Verdict::rejecting:
            return "rejecting connections";
        case Verdict::no_response:
            return "no response";
        case Verdict::not_attempted:
        case Verdict::inconclusive:
            break;
    }
    return "no attempt";
}

int exit_code(Verdict verdict) {
    switch (verdict) {
        case Verdict::accepting:
            return 0;
        case Verdict::rejecting:
            return 1;
        case Verdict::no_response:
            return 2;
        case Verdict::not_attempted:
        case Verdict::inconclusive:
            break;
    }
    return kNoAttempt;
}

std::string in_ms(microseconds time) {
    return fmt::format("{:.1f} ms", static_cast<double>(time.count()) / 1000);
}

void print_text(const contract::TargetDefinition& target, const probe::PingResult& result,
                const Lookup& lookup, microseconds looked) {
    std::string line = fmt::format("{}:{} - {}", target.address, target.port, in_words(result.verdict));
    if (result.reason != Reason::ok) line += fmt::format(": {}", contract::in_words(result.reason));
    if (!lookup.fault.empty()) line += " (" + lookup.fault + ")";
    // A server that only refuses this user accepts connections all the same.
    if (!result.sqlstate_text().empty() && result.verdict != Verdict::accepting)
        line += fmt::format(" (SQLSTATE {})", result.sqlstate_text());
    if (result.rtt) line += ", answered in " + in_ms(*result.rtt);
    if (!lookup.addresses.empty() && lookup.addresses.front() != target.address)
        line += fmt::format(", {} found in {}", lookup.addresses.front(), in_ms(looked));
    std::cout << line << '\n';
}

void print_json(const contract::TargetDefinition& target, const probe::PingResult& result,
                const Lookup& lookup, microseconds looked) {
    nlohmann::ordered_json line{{"host", target.address},
                                {"port", target.port},
                                {"verdict", to_string(result.verdict)},
                                {"reason", to_string(result.reason)},
                                {"addresses", lookup.addresses},
                                {"lookup_us", looked.count()}};
    if (!result.sqlstate_text().empty()) line["sqlstate"] = result.sqlstate_text();
    if (result.rtt) line["rtt_us"] = result.rtt->count();
    std::cout << line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
}

}  // namespace

int run_ping(const Options& options) {
    const auto target = target_of(options.connection_string);
    if (!target) {
        std::cerr << "pgpulse: " << target.error() << '\n';
        return kNoAttempt;
    }
    // From here on the definition alone counts, as in a worker.
    probe::clear_libpq_environment();
    const auto began = runtime::mono_now();
    const Lookup lookup = look_up(target->address);
    const auto looked = std::chrono::duration_cast<microseconds>(runtime::mono_now() - began);
    const probe::PingResult result =
        lookup.addresses.empty() ? probe::PingResult{Verdict::no_response, Reason::dns, {}, std::nullopt}
                                 : ping(*target, lookup.addresses, options.timeout);
    if (options.json)
        print_json(*target, result, lookup, looked);
    else
        print_text(*target, result, lookup, looked);
    std::cout.flush();
    return exit_code(result.verdict);
}

}  // namespace pgpulse::ctl
