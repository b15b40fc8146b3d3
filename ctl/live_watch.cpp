#include "ctl/live_watch.hpp"

#include "common/contract/names.hpp"
#include "common/nats/bucket.hpp"
#include "common/runtime/signals.hpp"
#include "ctl/live_table.hpp"
#include "ctl/state_table.hpp"

#include <spdlog/spdlog.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <iostream>
#include <mutex>
#include <string_view>

namespace pgpulse::ctl {
namespace {

constexpr int kRedrawMs = 1000;  // without an event: the window may have another size
constexpr std::ptrdiff_t kPage = 10;

/// The terminal's other screen, without a cursor, its keys taken one by one; all as before when it ends.
class Screen {
  public:
    Screen() {
        if (tcgetattr(STDIN_FILENO, &before_) == 0) {
            termios raw = before_;
            // Signals stay those of the keys: Ctrl-C ends the program in order.
            raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
            changed_ = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
        }
        write("\x1b[?1049h\x1b[?25l");
    }
    Screen(const Screen&) = delete;
    Screen& operator=(const Screen&) = delete;
    ~Screen() {
        write("\x1b[?25h\x1b[?1049l");
        if (changed_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    }

    static ScreenSize size() {
        winsize window{};
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_row == 0 || window.ws_col == 0)
            return {};
        return {window.ws_row, window.ws_col};
    }

    /// Over what is there, so that nothing flickers.
    static void show(const std::string& frame) {
        std::string text = "\x1b[H";
        for (const char c : frame) text += c == '\n' ? std::string{"\x1b[K\n"} : std::string(1, c);
        write(text + "\x1b[K\x1b[J");
    }

  private:
    termios before_{};
    bool changed_ = false;

    static void write(const std::string& text) { std::cout << text << std::flush; }
};

/// What the threads of NATS and of signals leave for the one that draws.
class Shared {
  public:
    Shared() : wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;
    ~Shared() { close(wake_); }

    void take(const nats::BucketEvent& event) {
        {
            const std::lock_guard lock{mutex_};
            switch (event.kind) {
                case nats::BucketEvent::Kind::opened:
                    table_.reset();
                    break;
                case nats::BucketEvent::Kind::loaded:
                    table_.loaded();
                    read_ = true;
                    break;
                case nats::BucketEvent::Kind::removed:
                    table_.remove(event.key);
                    break;
                case nats::BucketEvent::Kind::value:
                    if (auto state = contract::decode_state(event.key, event.value))
                        table_.take(std::move(*state));
                    break;
            }
        }
        wake();
    }
    void connection_is(bool connected) {
        connected_ = connected;
        wake();
    }
    void stop() {
        stopped_ = true;
        wake();
    }
    [[nodiscard]] bool stopped() const { return stopped_; }
    [[nodiscard]] int descriptor() const { return wake_; }
    void taken() const {
        std::uint64_t count = 0;
        [[maybe_unused]] const auto got = read(wake_, &count, sizeof count);
    }

    void keys(std::string_view typed) {
        const std::lock_guard lock{mutex_};
        if (typed == "q") stopped_ = true;
        if (typed == "j" || typed == "\x1b[B") table_.scroll(1);
        if (typed == "k" || typed == "\x1b[A") table_.scroll(-1);
        if (typed == " " || typed == "\x1b[6~") table_.scroll(kPage);
        if (typed == "b" || typed == "\x1b[5~") table_.scroll(-kPage);
        if (typed == "g" || typed == "\x1b[H") table_.scroll_to_top();
    }

    std::string frame(ScreenSize size, bool colours) {
        const std::lock_guard lock{mutex_};
        const char* notice = !connected_ ? "NATS is away: this is the last known"
                             : !read_    ? "reading ..."
                                         : "";
        return table_.frame(size, notice, colours);
    }

  private:
    std::mutex mutex_;
    LiveTable table_;
    bool read_ = false;
    std::atomic<bool> connected_{false};
    std::atomic<bool> stopped_{false};
    int wake_;

    void wake() const {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto put = write(wake_, &one, sizeof one);
    }
};

/// Draws until it is told to end. False: the terminal takes no more.
bool draw(Shared& shared) {
    const Screen screen;
    const bool colours = colours_wanted();
    bool keys_come = true;
    while (!shared.stopped()) {
        Screen::show(shared.frame(Screen::size(), colours));
        if (!std::cout.good()) return false;
        std::array<pollfd, 2> waiting{
            {{shared.descriptor(), POLLIN, 0}, {keys_come ? STDIN_FILENO : -1, POLLIN, 0}}};
        if (poll(waiting.data(), waiting.size(), kRedrawMs) <= 0) continue;
        if (waiting[0].revents != 0) shared.taken();
        if (waiting[1].revents != 0) {
            std::array<char, 16> typed{};
            const ssize_t got = read(STDIN_FILENO, typed.data(), typed.size());
            keys_come = got > 0;
            if (got > 0) shared.keys({typed.data(), static_cast<std::size_t>(got)});
        }
    }
    return true;
}

}  // namespace

int run_live_watch(const Options& options) {
    Shared shared;
    runtime::Signals signals;
    const auto connection =
        nats::Connection::open(options.nats, [&](bool connected) { shared.connection_is(connected); });
    if (!connection) {
        std::cerr << "pgpulse: " << connection.error().text << '\n';
        return exit_code_of(connection.error());
    }
    signals.listen([&](runtime::Signal) { shared.stop(); });
    // The headline says what a line on top of the table would.
    spdlog::set_level(spdlog::level::off);
    const nats::BucketWatch watch{**connection, std::string{contract::kStateBucket},
                                  [&](const nats::BucketEvent& event) { shared.take(event); }};
    draw(shared);
    (*connection)->close(std::chrono::milliseconds{0});
    return 0;
}

}  // namespace pgpulse::ctl
