#include "probe/first_message.hpp"

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>

namespace pgpulse::probe {
namespace {

// Message-type byte and length word; the length counts itself.
constexpr std::size_t kHeader = 5;
// The bounds of libpq's PQconnectPoll for an authentication request.
constexpr std::uint32_t kShortest = 8;
constexpr std::uint32_t kLongest = 2000;

}  // namespace

FirstMessage look_at_first_message(PGconn* connection) {
    std::array<unsigned char, 1 + kLongest> bytes{};
    int got = 0;
    const bool tls = PQsslInUse(connection) == 1;
    if (tls) {
        auto* const session = static_cast<SSL*>(PQsslStruct(connection, "OpenSSL"));
        if (session == nullptr) return {};
        got = SSL_peek(session, bytes.data(), static_cast<int>(bytes.size()));
    } else {
        got =
            static_cast<int>(recv(PQsocket(connection), bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT));
    }
    if (got <= 0 || bytes[0] != 'R') return {};
    const auto beginning = [tls](std::size_t bytes_wanted) {
        // A server puts a message into one TLS record. What comes in several is libpq's to put together.
        return tls ? FirstMessage{} : FirstMessage{FirstMessage::Kind::beginning, bytes_wanted};
    };
    const auto available = static_cast<std::size_t>(got);
    if (available < kHeader) return beginning(kHeader);
    const std::uint32_t length = std::uint32_t{bytes[1]} << 24U | std::uint32_t{bytes[2]} << 16U |
                                 std::uint32_t{bytes[3]} << 8U | std::uint32_t{bytes[4]};
    if (length < kShortest || length > kLongest) return {};
    if (available < 1 + length) return beginning(1 + length);
    return {FirstMessage::Kind::authentication_request, 0};
}

}  // namespace pgpulse::probe
