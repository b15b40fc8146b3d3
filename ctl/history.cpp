#include "ctl/history.hpp"

#include "common/contract/history_mark.hpp"
#include "common/contract/names.hpp"
#include "common/nats/stream_reader.hpp"
#include "common/runtime/clock.hpp"
#include "ctl/connect.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/state_table.hpp"
#include "ctl/timeline.hpp"

#include <nlohmann/json.hpp>

#include <iostream>

namespace pgpulse::ctl {
namespace {

using nats::StreamReader;

constexpr std::chrono::milliseconds kSlice{100};
constexpr std::chrono::milliseconds kOneTry{1000};

/// One line of --json: what the message's headers say, and the state as it is stored.
void print_json(const contract::HistoryMark& mark, const StreamReader& reader) {
    nlohmann::ordered_json line{{"sequence", reader.sequence()},
                                {"stored_at", contract::to_rfc3339(mark.stored_at)},
                                {"epoch", contract::to_rfc3339(mark.epoch)},
                                {"revision", mark.revision}};
    if (mark.removal)
        line["removed"] = true;
    else
        line["state"] = nlohmann::ordered_json::parse(reader.payload(), nullptr, false);
    std::cout << line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
}

/// All that the stream has of the target. Error: one line.
tl::expected<std::vector<TimelineEntry>, std::string> read_history(nats::Connection& connection,
                                                                   const Options& options,
                                                                   const std::string& target,
                                                                   contract::WallTime from) {
    const std::string stream{contract::kHistoryStream};
    const auto deadline = runtime::mono_now() + options.timeout;
    const auto goes_on = [&] { return connection.connected() && runtime::mono_now() < deadline; };
    // A consumer that was made on a server that is away never answers; the next is made elsewhere.
    const StreamReader::Start start{.subjects = contract::history_subject(target), .patience = kOneTry};
    auto reader = StreamReader::open(connection, stream, start, goes_on);
    while (!reader && reader.error().status == NATS_TIMEOUT && goes_on())
        reader = StreamReader::open(connection, stream, start, goes_on);
    if (!reader) return tl::unexpected(reader.error().text);
    std::vector<TimelineEntry> entries;
    while (goes_on()) {
        switch ((*reader)->next(kSlice)) {
            case StreamReader::Got::nothing:
                continue;
            case StreamReader::Got::everything:
                return entries;
            case StreamReader::Got::lost:
                return tl::unexpected("stream '" + stream + "' cannot be read to its end");
            case StreamReader::Got::message:
                break;
        }
        const auto mark = contract::mark_of([&](const char* name) { return (*reader)->header(name); });
        if (!mark) continue;
        auto state = contract::decode_state(target, (*reader)->payload());
        if (!mark->removal && !state) continue;
        if (options.json && mark->stored_at >= from) print_json(*mark, **reader);
        TimelineEntry entry{mark->stored_at, {}};
        if (!mark->removal) entry.state = std::move(*state);
        entries.push_back(std::move(entry));
    }
    return tl::unexpected("stream '" + stream + "' cannot be read to its end");
}

}  // namespace

int run_history(const Options& options) {
    const auto connection = connect(options);
    if (!connection) return connection.error();
    const std::string& target = options.targets.front();
    const contract::WallTime now = runtime::wall_now();
    const auto from = options.since.value_or(contract::WallTime{});
    const auto entries = read_history(**connection, options, target, from);
    if (!entries) {
        std::cerr << "pgpulse: " << entries.error() << '\n';
        return kUnreachable;
    }
    if (entries->empty()) {
        std::cerr << "pgpulse: '" << target << "' has no history\n";
        return kNotFound;
    }
    if (options.json) return 0;
    std::cout << timeline_table(*entries, from, now, colours_wanted())
              << in_words(time_in_states(*entries, from, now)) << '\n';
    std::cout.flush();
    return 0;
}

}  // namespace pgpulse::ctl
