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

#include <algorithm>
#include <array>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace pgpulse::support {
namespace {

using asio::ip::tcp;

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLate{50};
constexpr std::chrono::milliseconds kBeat{10};

/// When something took longer than it may.
class Book {
  public:
    /// What was due at `due` happens now.
    void note(Clock::time_point due) {
        const auto now = Clock::now();
        if (now - due <= kLate) return;
        const std::lock_guard lock{mutex_};
        late_.emplace_back(due, now);
    }
    bool any(Clock::time_point from, Clock::time_point to) const {
        const std::lock_guard lock{mutex_};
        return std::ranges::any_of(late_,
                                   [&](const auto& time) { return time.first <= to && time.second >= from; });
    }

  private:
    mutable std::mutex mutex_;
    std::vector<std::pair<Clock::time_point, Clock::time_point>> late_;
};

/// The two connections of one client.
struct Pair {
    tcp::socket client;
    tcp::socket server;
    std::optional<Clock::time_point> asked;  // the server got something and has not answered yet
};

}  // namespace

struct Distance::Impl {
    Impl(std::uint16_t listen, std::uint16_t to, std::chrono::milliseconds time)
        : acceptor(io, {asio::ip::address_v4::loopback(), listen}), server(to), delay(time) {
        asio::co_spawn(io, accept(), asio::detached);
        asio::co_spawn(io, beat(), asio::detached);
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
            auto pair = std::make_shared<Pair>(Pair{std::move(client), tcp::socket{io}, {}});
            asio::co_spawn(io, join(std::move(pair)), asio::detached);
        }
    }

    asio::awaitable<void> join(std::shared_ptr<Pair> pair) {
        std::error_code error;
        co_await pair->server.async_connect({asio::ip::address_v4::loopback(), server},
                                            asio::redirect_error(asio::use_awaitable, error));
        if (error) co_return;
        asio::co_spawn(io, carry(pair, &Pair::client, &Pair::server), asio::detached);
        asio::co_spawn(io, carry(pair, &Pair::server, &Pair::client), asio::detached);
    }

    /// Carries one way until either side ends, and ends the other then: a Postgres connection is closed as a
    /// whole. What is read while something is held comes the later, which suits a dialogue.
    asio::awaitable<void> carry(std::shared_ptr<Pair> pair, tcp::socket Pair::* source,
                                tcp::socket Pair::* drain) {
        tcp::socket& from = *pair.*source;
        tcp::socket& to = *pair.*drain;
        asio::steady_timer held{io};
        std::array<char, 16384> bytes{};
        std::error_code error;
        while (!error) {
            const std::size_t got = co_await from.async_read_some(
                asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, error));
            // The answer, or the end of a client that has waited for it.
            if (pair->asked) book.note(*std::exchange(pair->asked, std::nullopt));
            std::error_code ignored;
            held.expires_after(delay);
            co_await held.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
            if (error) break;
            co_await asio::async_write(to, asio::buffer(bytes, got),
                                       asio::redirect_error(asio::use_awaitable, error));
            if (source == &Pair::client) pair->asked = Clock::now();
        }
        std::error_code ignored;
        from.close(ignored);
        to.close(ignored);
    }

    /// Sees whether this thread gets its turn.
    asio::awaitable<void> beat() {
        asio::steady_timer timer{io};
        for (;;) {
            std::error_code ignored;
            timer.expires_after(kBeat);
            const auto due = timer.expiry();
            co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
            book.note(due);
        }
    }

    asio::io_context io{1};
    tcp::acceptor acceptor;
    const std::uint16_t server;
    const std::chrono::milliseconds delay;
    Book book;
    std::thread thread;
};

Distance::Distance(std::uint16_t server, std::chrono::milliseconds delay)
    : port_(free_port()), impl_(std::make_unique<Impl>(port_, server, delay)) {}

Distance::~Distance() = default;

bool Distance::was_late(Clock::time_point from, Clock::time_point to) const {
    return impl_->book.any(from, to);
}

}  // namespace pgpulse::support
