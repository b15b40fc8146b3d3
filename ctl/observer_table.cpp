#include "ctl/observer_table.hpp"

#include "ctl/state_table.hpp"
#include "ctl/text_table.hpp"

#include <fmt/format.h>

namespace pgpulse::ctl {
namespace {

constexpr std::size_t kVerdictColumn = 4;

std::vector<std::string> row_of(const Observer& observer, std::size_t rank) {
    std::vector<std::string> row{std::to_string(rank), observer.worker};
    if (!observer.ping) {
        row.insert(row.end(), {"-", "-", "no answer", "-", "-", "-", "-"});
        return row;
    }
    const contract::Ping& ping = *observer.ping;
    std::string reason{to_string(ping.reason)};
    if (!ping.sqlstate.empty()) reason += " " + ping.sqlstate;
    std::string opinion{to_string(ping.opinion)};
    if (ping.suspect) opinion += " (doubts itself)";
    row.insert(row.end(),
               {ping.site.empty() ? "-" : ping.site, std::move(opinion), std::string{to_string(ping.verdict)},
                std::move(reason),
                ping.rtt_us ? fmt::format("{:.1f} ms", static_cast<double>(*ping.rtt_us) / 1000) : "-",
                std::to_string(ping.streak), std::string{to_string(ping.via)}});
    return row;
}

}  // namespace

std::string observer_table(const std::vector<Observer>& observers, bool colours) {
    std::vector<std::vector<std::string>> rows{
        {"RANK", "WORKER", "SITE", "OPINION", "VERDICT", "REASON", "RTT", "STREAK", "VIA"}};
    for (std::size_t i = 0; i < observers.size(); ++i) rows.push_back(row_of(observers[i], i + 1));
    return text_table(rows, [&](std::size_t row, std::size_t column) {
        if (!colours || row == 0 || column != kVerdictColumn) return "";
        const auto& ping = observers[row - 1].ping;
        if (!ping) return colour_of(contract::Health::unknown);
        return colour_of(ping->verdict == contract::Verdict::accepting ? contract::Health::up
                                                                       : contract::Health::down);
    });
}

}  // namespace pgpulse::ctl
