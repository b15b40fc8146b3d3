#include "tests/support/hostile_peers.hpp"

#include <chrono>
#include <cstdint>

namespace pgpulse::support {
namespace {

using namespace std::chrono_literals;
using contract::Verdict;

/// A message of the protocol: its type, its length by what the peer claims, what it really sends.
std::string message(char type, std::uint32_t claimed, const std::string& body) {
    std::string text{type};
    for (unsigned shift = 32; shift > 0; shift -= 8)
        text += static_cast<char>(claimed >> (shift - 8) & 0xffU);
    return text + body;
}

const std::string kAuthenticationOk = message('R', 8, std::string(4, '\0'));
const std::string kReady = message('Z', 5, "I");
const std::string kNoticeOfOneGigabyte = message('N', 1'000'000'000, "");
/// One that libpq takes whole, over and over.
const std::string kNotices = [] {
    const std::string body = "SNOTICE" + std::string{'\0'} + "C00000" + std::string{'\0'} + "M" +
                             std::string(4000, 'x') + std::string(2, '\0');
    return message('N', static_cast<std::uint32_t>(body.size() + 4), body);
}();

}  // namespace

const std::vector<HostileKind>& hostile_kinds() {
    const std::string block(60'000, 'x');
    static const std::vector<HostileKind> all{
        {"silent", {}, Verdict::no_response},
        {"garbage", {.reply = block, .forever = block}, Verdict::no_response},
        {"tls-record", {.reply = "\x16\x03\x03\x40\x18", .forever = block}, Verdict::no_response},
        {"first-gigabyte",
         {.reply = message('R', 1'000'000'000, ""), .forever = block},
         Verdict::no_response},
        {"gigabyte",
         {.reply = kAuthenticationOk + kNoticeOfOneGigabyte, .forever = block},
         Verdict::accepting},
        // Below 32 KiB a read, from which on libpq reads in a loop.
        {"paced-gigabyte",
         {.reply = kAuthenticationOk + kNoticeOfOneGigabyte, .forever = std::string(2000, 'x'), .pause = 1ms},
         Verdict::accepting},
        {"notices", {.reply = kAuthenticationOk, .forever = kNotices}, Verdict::accepting},
        {"ready-gigabyte",
         {.reply = kAuthenticationOk + kReady + kNoticeOfOneGigabyte, .forever = block},
         Verdict::accepting},
        {"byte-by-byte",
         {.reply = "R", .forever = std::string(1, '\0'), .pause = 100ms},
         Verdict::no_response},
    };
    return all;
}

}  // namespace pgpulse::support
