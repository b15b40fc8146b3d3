#include "tests/support/distance.hpp"

#include "tests/support/free_port.hpp"

#include <asio/awaitable.hpp>
#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <array>
#include <system_error>
#include <thread>
#include <utility>

namespace pgpulse::support {
namespace {

using asio::ip::tcp;

/// The two connections of one client.
struct Pair {
    tcp::socket client;
    tcp::socket server;
};

/// Carries one way until either side ends, and ends the other then: a Postgres connection is closed as a
/// whole. What is read while something is held comes the later, which suits a dialogue.
asio::awaitable<void> carry(std::shared_ptr<Pair> pair, tcp::socket Pair::* source, tcp::socket Pair::* drain,
                            std::chrono::milliseconds delay) {
    tcp::socket& from = *pair.*source;
    tcp::socket& to = *pair.*drain;
    asio::steady_timer held{from.get_executor()};
    std::array<char, 16384> bytes{};
    std::error_code error;
    while (!error) {
        const std::size_t got = co_await from.async_read_some(
            asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, error));
        std::error_code ignored;
        held.expires_after(delay);
        co_await held.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        if (!error)
            co_await asio::async_write(to, asio::buffer(bytes, got),
                                       asio::redirect_error(asio::use_awaitable, error));
    }
    std::error_code ignored;
    from.close(ignored);
    to.close(ignored);
}

}  // namespace

struct Distance::Impl {
    Impl(std::uint16_t listen, std::uint16_t to, std::chrono::milliseconds time)
        : acceptor(io, {asio::ip::address_v4::loopback(), listen}), server(to), delay(time) {
        asio::co_spawn(io, accept(), asio::detached);
        thread = std::thread{[this] { io.run(); }};
    }
    ~Impl() {
        io.stop();
        thread.join();
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    asio::awaitable<void> accept() {
        for (;;) {
            std::error_code error;
            tcp::socket client =
                co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
            if (error) continue;
            auto pair = std::make_shared<Pair>(Pair{std::move(client), tcp::socket{io}});
            asio::co_spawn(io, join(std::move(pair)), asio::detached);
        }
    }

    asio::awaitable<void> join(std::shared_ptr<Pair> pair) {
        std::error_code error;
        co_await pair->server.async_connect({asio::ip::address_v4::loopback(), server},
                                            asio::redirect_error(asio::use_awaitable, error));
        if (error) co_return;
        asio::co_spawn(io, carry(pair, &Pair::client, &Pair::server, delay), asio::detached);
        asio::co_spawn(io, carry(pair, &Pair::server, &Pair::client, delay), asio::detached);
    }

    asio::io_context io{1};
    tcp::acceptor acceptor;
    const std::uint16_t server;
    const std::chrono::milliseconds delay;
    std::thread thread;
};

Distance::Distance(std::uint16_t server, std::chrono::milliseconds delay)
    : port_(free_port()), impl_(std::make_unique<Impl>(port_, server, delay)) {}

Distance::~Distance() = default;

}  // namespace pgpulse::support
