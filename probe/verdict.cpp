#include "probe/verdict.hpp"

#include <algorithm>
#include <array>

namespace pgpulse::probe {
namespace {

using contract::Reason;
using contract::Verdict;

/// How libpq begins its message on each address it tried.
constexpr std::string_view kAttempt = "connection to server at ";

constexpr std::string_view kCannotConnectNow = "57P03";
constexpr std::string_view kTooManyConnections = "53300";

struct Phrase {
    std::string_view text;
    Reason reason;
};

/// What the server says with 57P03, by the source of PostgreSQL's postmaster.
constexpr std::array kRejections{
    Phrase{"the database system is starting up", Reason::starting_up},
    Phrase{"the database system is shutting down", Reason::shutting_down},
    Phrase{"the database system is in recovery mode", Reason::in_recovery},
    Phrase{"the database system is not yet accepting connections", Reason::in_recovery},
    Phrase{"the database system is not accepting connections", Reason::in_recovery},  // hot_standby = off
};

/// What libpq and the C library say where no server answered. The first phrase found counts.
constexpr std::array kFailures{
    Phrase{"Connection refused", Reason::refused},
    Phrase{"Connection reset by peer", Reason::reset},
    Phrase{"server closed the connection unexpectedly", Reason::reset},
    Phrase{"SSL SYSCALL error: EOF detected", Reason::reset},
    Phrase{"Broken pipe", Reason::reset},
    Phrase{"Connection timed out", Reason::timeout},
    Phrase{"No route to host", Reason::unreachable},
    Phrase{"Network is unreachable", Reason::unreachable},
    Phrase{"Network is down", Reason::unreachable},
    Phrase{"Host is down", Reason::unreachable},
    Phrase{"Cannot assign requested address", Reason::unreachable},
    Phrase{"Operation not permitted", Reason::unreachable},  // a local firewall
    Phrase{"Permission denied", Reason::unreachable},
    Phrase{"could not translate host name", Reason::dns},
    Phrase{"SSL", Reason::tls},
    Phrase{"certificate", Reason::tls},
    Phrase{"private key", Reason::tls},
};

template <std::size_t N>
Reason reason_in(std::string_view text, const std::array<Phrase, N>& phrases, Reason otherwise) {
    const auto* const found = std::ranges::find_if(
        phrases, [text](const Phrase& phrase) { return text.find(phrase.text) != std::string_view::npos; });
    return found == phrases.end() ? otherwise : found->reason;
}

/// libpq joins the messages of all addresses it tried; the last one is what it judges.
std::string_view last_attempt(std::string_view message) {
    std::size_t at = message.rfind(kAttempt);
    while (at != std::string_view::npos && at != 0 && message[at - 1] != '\n') {
        at = message.rfind(kAttempt, at - 1);
    }
    return at == std::string_view::npos ? message : message.substr(at);
}

constexpr std::size_t kCode = 5;

bool is_code_character(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); }

}  // namespace

bool is_sqlstate(std::string_view text) {
    return text.size() == kCode && std::ranges::all_of(text, is_code_character);
}

std::string_view sqlstate_of(std::string_view message) {
    // "<severity>:  <code>: <text>": libpq writes two spaces after the severity and takes the rest from the
    // server, so the first place of this form is libpq's.
    const std::string_view text = last_attempt(message);
    for (std::size_t at = text.find(":  "); at != std::string_view::npos; at = text.find(":  ", at + 1)) {
        const std::string_view rest = text.substr(at + 3);
        if (rest.size() >= kCode + 2 && rest.substr(kCode, 2) == ": " && is_sqlstate(rest.substr(0, kCode)))
            return rest.substr(0, kCode);
    }
    return {};
}

PingResult judge(const FailedAttempt& attempt) {
    const std::string_view code = sqlstate_of(attempt.message);
    PingResult result;
    std::ranges::copy(code, result.sqlstate.begin());
    if (code == kCannotConnectNow && !attempt.authentication_requested) {
        result.verdict = Verdict::rejecting;
        result.reason = reason_in(last_attempt(attempt.message), kRejections, Reason::not_accepting);
    } else if (attempt.authentication_requested || !code.empty()) {
        result.verdict = Verdict::accepting;
        result.reason = code == kTooManyConnections ? Reason::too_many_connections : Reason::ok;
    } else {
        result.verdict = Verdict::no_response;
        result.reason = reason_in(last_attempt(attempt.message), kFailures, Reason::protocol);
    }
    return result;
}

bool attempted(std::string_view message) { return message.find(kAttempt) != std::string_view::npos; }

bool observer_exhausted(std::string_view message) {
    constexpr std::array<std::string_view, 4> kPhrases{"Too many open files", "Cannot allocate memory",
                                                       "out of memory", "No buffer space available"};
    return std::ranges::any_of(kPhrases, [message](std::string_view phrase) {
        return message.find(phrase) != std::string_view::npos;
    });
}

}  // namespace pgpulse::probe
