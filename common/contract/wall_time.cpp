#include "common/contract/wall_time.hpp"

#include <array>
#include <charconv>
#include <cstdint>

namespace pgpulse::contract {
namespace {

void put_digits(char* at, int width, std::int64_t value) {
    for (int i = width - 1; i >= 0; --i) {
        at[i] = static_cast<char>('0' + value % 10);
        value /= 10;
    }
}

/// Takes exactly `width` digits off the front of `text`; -1 if they are not there.
int take_digits(std::string_view& text, std::size_t width) {
    if (text.size() < width) return -1;
    int value = 0;
    for (std::size_t i = 0; i < width; ++i) {
        if (text[i] < '0' || text[i] > '9') return -1;
        value = value * 10 + (text[i] - '0');
    }
    text.remove_prefix(width);
    return value;
}

bool take(std::string_view& text, char expected) {
    if (text.empty() || text.front() != expected) return false;
    text.remove_prefix(1);
    return true;
}

}  // namespace

std::string to_rfc3339(WallTime time) {
    using namespace std::chrono;
    const auto day = floor<days>(time);
    const year_month_day date{day};
    const hh_mm_ss clock{time - day};
    std::array<char, 27> text{'0', '0', '0', '0', '-', '0', '0', '-', '0', '0', 'T', '0', '0', ':',
                              '0', '0', ':', '0', '0', '.', '0', '0', '0', '0', '0', '0', 'Z'};
    put_digits(&text[0], 4, static_cast<int>(date.year()));
    put_digits(&text[5], 2, static_cast<unsigned>(date.month()));
    put_digits(&text[8], 2, static_cast<unsigned>(date.day()));
    put_digits(&text[11], 2, clock.hours().count());
    put_digits(&text[14], 2, clock.minutes().count());
    put_digits(&text[17], 2, clock.seconds().count());
    put_digits(&text[20], 6, clock.subseconds().count());
    return {text.data(), text.size()};
}

std::optional<WallTime> parse_rfc3339(std::string_view text) {
    using namespace std::chrono;
    const int y = take_digits(text, 4);
    if (y < 0 || !take(text, '-')) return std::nullopt;
    const int mo = take_digits(text, 2);
    if (mo < 0 || !take(text, '-')) return std::nullopt;
    const int d = take_digits(text, 2);
    if (d < 0 || !take(text, 'T')) return std::nullopt;
    const int h = take_digits(text, 2);
    if (h < 0 || h > 23 || !take(text, ':')) return std::nullopt;
    const int mi = take_digits(text, 2);
    if (mi < 0 || mi > 59 || !take(text, ':')) return std::nullopt;
    const int s = take_digits(text, 2);
    if (s < 0 || s > 59) return std::nullopt;
    std::int64_t micros = 0;
    if (take(text, '.')) {
        int digits = 0;
        while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
            if (digits == 9) return std::nullopt;
            if (digits < 6) micros = micros * 10 + (text.front() - '0');
            ++digits;
            text.remove_prefix(1);
        }
        if (digits == 0) return std::nullopt;
        for (; digits < 6; ++digits) micros *= 10;
    }
    if (text != "Z") return std::nullopt;
    const year_month_day date{year{y}, month{static_cast<unsigned>(mo)}, day{static_cast<unsigned>(d)}};
    if (!date.ok()) return std::nullopt;
    return sys_days{date} + hours{h} + minutes{mi} + seconds{s} + microseconds{micros};
}

}  // namespace pgpulse::contract
