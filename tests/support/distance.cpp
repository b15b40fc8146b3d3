#include "tests/support/distance.hpp"

#include "tests/support/free_port.hpp"

#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <asio/write.hpp>

#include <algorithm>
#include <array>
#include <memory>
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
class Link : public std::enable_shared_from_this<Link> {
  public:
    Link(tcp::socket accepted, std::chrono::milliseconds time, Book& to_write)
        : client_(std::move(accepted)), server_(client_.get_executor()), delay_(time), book_(to_write) {}

    void begin(std::uint16_t server) {
        server_.async_connect(
            {asio::ip::address_v4::loopback(), server},
            [self = shared_from_this(), began = Clock::now()](const std::error_code& error) {
                self->book_.note(began);
                if (error) return;
                self->read(self->there_);
                self->read(self->back_);
            });
    }

  private:
    struct Way {
        tcp::socket& from;
        tcp::socket& to;
        asio::steady_timer held;
        std::array<char, 16384> bytes;
    };

    tcp::socket client_;
    tcp::socket server_;
    const std::chrono::milliseconds delay_;
    Book& book_;
    std::optional<Clock::time_point> asked_;  // the server got something and has not answered yet
    Way there_{client_, server_, asio::steady_timer{client_.get_executor()}, {}};
    Way back_{server_, client_, asio::steady_timer{client_.get_executor()}, {}};

    /// What comes while something is held comes the later, which suits a dialogue.
    void read(Way& way) {
        way.from.async_read_some(asio::buffer(way.bytes), [self = shared_from_this(), &way](
                                                              const std::error_code& error, std::size_t got) {
            // The answer, or the end of a client that has waited for it.
            if (self->asked_) self->book_.note(*std::exchange(self->asked_, std::nullopt));
            way.held.expires_after(self->delay_);
            way.held.async_wait([self, &way, ended = static_cast<bool>(error), got](const std::error_code&) {
                if (ended)
                    self->close();
                else
                    self->write(way, got);
            });
        });
    }

    void write(Way& way, std::size_t size) {
        asio::async_write(way.to, asio::buffer(way.bytes, size),
                          [self = shared_from_this(), &way](const std::error_code& error, std::size_t) {
                              if (error) {
                                  self->close();
                                  return;
                              }
                              if (&way == &self->there_) self->asked_ = Clock::now();
                              self->read(way);
                          });
    }

    /// Either side's end is the other's: a Postgres connection is closed as a whole.
    void close() {
        std::error_code ignored;
        (void)client_.close(ignored);
        (void)server_.close(ignored);
    }
};

}  // namespace

struct Distance::Impl {
    Impl(std::uint16_t listen, std::uint16_t to, std::chrono::milliseconds time)
        : acceptor(io, {asio::ip::address_v4::loopback(), listen}), server(to), delay(time) {
        accept();
        beat();
        thread = std::thread{[this] { io.run(); }};
    }
    ~Impl() {
        io.stop();
        thread.join();
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    void accept() {
        acceptor.async_accept([this](const std::error_code& error, tcp::socket client) {
            if (!error) std::make_shared<Link>(std::move(client), delay, book)->begin(server);
            accept();
        });
    }

    /// Sees whether this thread gets its turn.
    void beat() {
        timer.expires_after(kBeat);
        timer.async_wait([this, due = timer.expiry()](const std::error_code&) {
            book.note(due);
            beat();
        });
    }

    Book book;  // outlives what waits in the loop
    asio::io_context io{1};
    tcp::acceptor acceptor;
    asio::steady_timer timer{io};
    const std::uint16_t server;
    const std::chrono::milliseconds delay;
    std::thread thread;
};

Distance::Distance(std::uint16_t server, std::chrono::milliseconds delay)
    : port_(free_port()), impl_(std::make_unique<Impl>(port_, server, delay)) {}

Distance::~Distance() = default;

bool Distance::was_late(Clock::time_point from, Clock::time_point to) const {
    return impl_->book.any(from, to);
}

}  // namespace pgpulse::support
