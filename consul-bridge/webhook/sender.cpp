#include "consul-bridge/webhook/sender.hpp"

#include "common/cluster/rendezvous.hpp"
#include "common/contract/history_mark.hpp"
#include "common/contract/names.hpp"
#include "common/contract/state.hpp"
#include "consul-bridge/webhook/event.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace pgpulse::consul_bridge::webhook {
namespace {

using nats::StreamReader;
using runtime::Mono;
using runtime::mono_now;
using std::chrono::milliseconds;

constexpr milliseconds kIdle{100};
constexpr milliseconds kAgain{250};
constexpr milliseconds kTick{100};
constexpr milliseconds kNothingToPost{1000};
constexpr milliseconds kLook{1000};
/// Whoever stood still for so long waits until it is known whether its word on who is alive still stands.
constexpr milliseconds kStandstill{1000};
/// What is on its way when another bridge takes over: as long as that one waits.
constexpr milliseconds kGrace = Sender::kHandover;
constexpr milliseconds kLastGrace{300};
constexpr milliseconds kLineInterval{10'000};

const std::string kHistory{contract::kHistoryStream};

std::string kept_back(std::uint64_t lines) {
    return lines > 0 ? fmt::format(" ({} further lines like this kept back)", lines) : std::string{};
}

}  // namespace

Sender::Sender(nats::Connection& connection, Cursors& cursors, prometheus::Registry& registry,
               Endpoint endpoint, std::string bridge)
    : connection_(connection),
      cursors_(cursors),
      meters_(registry, endpoint.name),
      endpoint_(std::move(endpoint)),
      bridge_(std::move(bridge)),
      poster_(endpoint_),
      faults_(kLineInterval),
      refusals_(kLineInterval),
      random_(std::random_device{}()),
      dropped_lines_(kLineInterval),
      failed_lines_(kLineInterval) {}

Sender::~Sender() {
    stop();
    if (reading_.joinable()) reading_.join();
    {
        const std::lock_guard lock{mutex_};
        ended_ = true;
    }
    poster_.wake();
    if (posts_.joinable()) posts_.join();
}

void Sender::serving(const std::vector<std::string>& bridges) {
    owns_.store(cluster::Rendezvous{bridges}.owns(bridge_, "webhook." + endpoint_.url.key, 1));
}

void Sender::start(std::function<bool()> steady) {
    steady_ = std::move(steady);
    posts_ = std::thread{[this] { post(); }};
    reading_ = std::thread{[this] { read(); }};
}

void Sender::stop() {
    {
        const std::lock_guard lock{mutex_};
        stop_.store(true);
        posting_ = false;
    }
    wake_.notify_one();
}

bool Sender::stopped_within(milliseconds time) {
    std::unique_lock lock{mutex_};
    return settled_.wait_for(lock, time, [this] { return stopped_; });
}

void Sender::pause(milliseconds time) {
    std::unique_lock lock{mutex_};
    wake_.wait_for(lock, time, [this] { return stop_.load(); });
}

void Sender::fault(const std::string& text) {
    // While the connection is lost requests fail by nature: the connection's own line says so.
    if (!connection_.connected()) return;
    if (const auto lines = faults_.allow(mono_now()))
        spdlog::warn("webhook {}: {}: trying again{}", endpoint_.name, text, kept_back(*lines));
}

void Sender::read() {
    while (!stop_.load()) {
        if (!chosen()) {
            chosen_since_.reset();
            end_term(kGrace);
            pause(kIdle);
            continue;
        }
        if (!chosen_since_) chosen_since_ = mono_now();
        if (term_) {
            turn();
        } else if (mono_now() - *chosen_since_ < kHandover || !connection_.connected()) {
            pause(kIdle);
        } else if (!begin_term()) {
            pause(kAgain);
        }
    }
    end_term(kLastGrace);
    const std::lock_guard lock{mutex_};
    stopped_ = true;
    settled_.notify_all();
}

bool Sender::begin_term() {
    const auto stored = cursors_.of(endpoint_.url.key);
    if (!stored) return false;
    const auto facts = nats::look_at_stream(connection_, kHistory);
    if (!facts) {
        if (facts.error().status != NATS_NOT_FOUND) {
            fault(facts.error().text);
            return false;
        }
        absent_ = true;
        if (!std::exchange(absence_told_, true)) {
            spdlog::warn("webhook {}: waits for stream '{}', which an aggregator makes", endpoint_.name,
                         kHistory);
        }
        return false;
    }
    const auto cursor = further(own_, *stored, facts->created);
    Resumption resumption{cursor, facts->created, facts->last, absent_};
    if (std::exchange(doubted_, false)) resumption.begin_anew();
    say_how_it_begins(resumption, cursor, *facts);
    absent_ = absence_told_ = false;
    history_ = facts->created;
    facts_ = *facts;
    resumption_ = resumption;
    read_before_ = false;
    next_look_ = {};
    term_ = true;
    const std::lock_guard lock{mutex_};
    queue_.begin(resumption.known_up_to());
    posting_ = !stop_.load();
    return true;
}

void Sender::say_how_it_begins(const Resumption& resumption, const std::optional<Cursor>& cursor,
                               const nats::StreamFacts& facts) const {
    switch (resumption.kind()) {
        case Resumption::Kind::next:
            spdlog::info("webhook {}: posts transitions from now on", endpoint_.name);
            break;
        case Resumption::Kind::from_all:
            spdlog::info("webhook {}: posts all transitions of the new stream '{}'", endpoint_.name,
                         kHistory);
            break;
        case Resumption::Kind::behind:
            if (!cursor) break;
            spdlog::info("webhook {}: posts transitions after number {} of stream '{}', {} of them at once",
                         endpoint_.name, cursor->at.sequence, kHistory, facts.last - cursor->at.sequence);
            if (facts.first > cursor->at.sequence + 1) {
                spdlog::warn("webhook {}: {} transitions left stream '{}' before they were posted",
                             endpoint_.name, facts.first - cursor->at.sequence - 1, kHistory);
            }
            break;
        case Resumption::Kind::anew:
            spdlog::warn("webhook {}: stream '{}' is another one than before: reading it from its beginning",
                         endpoint_.name, kHistory);
            break;
    }
}

void Sender::end_term(milliseconds grace) {
    if (!term_) return;
    {
        std::unique_lock lock{mutex_};
        posting_ = false;
        poster_.wake();
        settled_.wait_for(lock, grace, [this] { return flying_ == 0; });
        abort_ = flying_ > 0;
    }
    poster_.wake();
    put_cursor();
    reader_.reset();
    meters_.show(0, {});
    term_ = false;
    if (!stop_.load()) spdlog::info("webhook {}: posts nothing for now", endpoint_.name);
}

/// One step of reading; what it says of time is that of the next message.
void Sender::turn() {
    if (mono_now() >= next_look_) {
        next_look_ = mono_now() + kLook;
        if (!all_is_as_it_was()) {
            end_term(kGrace);
            return;
        }
        put_cursor();
    }
    bool wants_more = false;
    {
        const std::lock_guard lock{mutex_};
        wants_more = queue_.wants_more();
    }
    if (!wants_more) {
        // What a reader has on its way would wait in memory.
        reader_.reset();
        if (!std::exchange(full_told_, true)) {
            spdlog::warn("webhook {}: does not keep up: stream '{}' keeps what is not posted yet",
                         endpoint_.name, kHistory);
        }
        pause(kIdle);
        return;
    }
    if (!reader_ && !open_reader()) {
        pause(kAgain);
        return;
    }
    switch (reader_->next(kIdle)) {
        case StreamReader::Got::lost:
            reader_.reset();
            break;
        case StreamReader::Got::message:
            take();
            break;
        case StreamReader::Got::nothing:
        case StreamReader::Got::everything:
            break;
    }
}

/// The stream is the one that the term began with. No answer says nothing about a stream.
bool Sender::all_is_as_it_was() {
    const auto facts = nats::look_at_stream(connection_, kHistory);
    if (!facts) return facts.error().status != NATS_NOT_FOUND;
    std::optional<Place> read;
    {
        const std::lock_guard lock{mutex_};
        read = queue_.read();
    }
    if (facts->created != history_) return false;
    if (read && read->sequence > facts->last) {
        doubted_ = true;
        return false;
    }
    facts_ = *facts;
    show(*facts);
    return true;
}

void Sender::show(const nats::StreamFacts& facts) {
    std::size_t pending = 0;
    std::optional<Mono> oldest;
    std::uint64_t read = 0;
    {
        const std::lock_guard lock{mutex_};
        pending = queue_.pending();
        oldest = queue_.oldest();
        if (const auto place = queue_.read()) read = place->sequence;
    }
    read = std::max(read, facts.first > 0 ? facts.first - 1 : 0);
    if (facts.last > read) pending += facts.last - read;
    meters_.show(pending, oldest ? mono_now() - *oldest : std::chrono::nanoseconds{0});
}

bool Sender::open_reader() {
    std::optional<Place> read;
    {
        const std::lock_guard lock{mutex_};
        read = queue_.read();
    }
    if (read_before_ && read) {
        resumption_.emplace(Cursor{{}, history_, *read, {}}, history_, std::max(facts_.last, read->sequence),
                            false);
    }
    if (!resumption_) return false;
    auto opened = StreamReader::open(connection_, kHistory, {.sequence = resumption_->first()},
                                     [this] { return chosen() && !stop_.load() && connection_.connected(); });
    if (!opened) {
        if (chosen() && !stop_.load()) fault(opened.error().text);
        return false;
    }
    // Another stream of the same name would have other sequences: the reader is one of the stream that was looked at.
    const auto facts = nats::look_at_stream(connection_, kHistory);
    if (!facts || facts->created != history_) return false;
    reader_ = std::move(*opened);
    read_before_ = true;
    full_told_ = false;
    return true;
}

void Sender::take() {
    if (!resumption_) return;
    const auto target = contract::parse_history_subject(reader_->subject());
    const auto mark = contract::mark_of([this](const char* name) { return reader_->header(name); });
    Place place{reader_->sequence(), {}, 0, {}};
    if (mark) place = {reader_->sequence(), mark->epoch, mark->revision, mark->stored_at};
    switch (resumption_->read(place)) {
        case Resumption::Fate::known:
            return;
        case Resumption::Fate::other:
            doubted_ = true;
            end_term(kGrace);
            return;
        case Resumption::Fate::news:
            break;
    }
    const bool readable =
        target && mark && (mark->removal || contract::decode_state(*target, reader_->payload()));
    if (!readable) {
        if (const auto lines = refusals_.allow(mono_now())) {
            spdlog::warn("webhook {}: message {} of stream '{}' is no transition of the contract{}",
                         endpoint_.name, place.sequence, kHistory, kept_back(*lines));
        }
        return;
    }
    // For monitoring alone: the wall clocks of server and bridge are compared.
    const auto age =
        std::max(runtime::wall_now() - contract::WallTime{std::chrono::microseconds{reader_->stored_at_us()}},
                 std::chrono::microseconds{0});
    Queue::Event event{place, std::string{*target},
                       to_cloud_event(*target, *mark, {history_, place.sequence}, reader_->payload()),
                       mono_now() - age};
    {
        const std::lock_guard lock{mutex_};
        queue_.add(std::move(event));
    }
    poster_.wake();
}

void Sender::put_cursor() {
    std::optional<Place> delivered;
    {
        const std::lock_guard lock{mutex_};
        delivered = queue_.delivered();
    }
    if (!delivered) return;
    own_ = Cursor{endpoint_.url.shown, history_, *delivered, bridge_};
    const auto stored = cursors_.of(endpoint_.url.key);
    if (stored && *stored != own_ && connection_.connected()) cursors_.put(endpoint_.url.key, *own_);
}

void Sender::post() {
    std::uniform_real_distribution<double> jitter{0, 1};
    Mono turned = mono_now();
    milliseconds waits{0};  // at most, in the turn before
    for (;;) {
        std::vector<Queue::Post> posts;
        milliseconds patience = kNothingToPost;
        {
            const std::lock_guard lock{mutex_};
            if (ended_) return;
            if (std::exchange(abort_, false)) poster_.abort();
            const Mono now = mono_now();
            const bool stood_still = now - std::exchange(turned, now) > waits + kStandstill;
            if (stood_still) patience = kTick;
            if (!stood_still && posting_ && chosen()) {
                posts = queue_.step(now);
                patience = kTick;
                if (const auto next = queue_.next_step()) {
                    const auto until = std::chrono::ceil<milliseconds>(*next - now);
                    patience = std::clamp(until, milliseconds{0}, kTick);
                }
            }
            flying_ = poster_.in_flight() + posts.size();
            if (flying_ > 0)
                patience = std::min(patience, kTick);
            else
                settled_.notify_all();
        }
        waits = patience;
        for (Queue::Post& each : posts) poster_.start(std::move(each));
        if (const auto line = poster_.take_fault())
            spdlog::warn("webhook {}: {}: sending the headers that it held before", endpoint_.name, *line);
        for (const Poster::Done& done : poster_.wait(patience)) {
            const Mono now = mono_now();
            std::optional<Queue::Ended> ended;
            {
                const std::lock_guard lock{mutex_};
                ended = queue_.ended(done.id, done.answer, jitter(random_), now);
            }
            if (ended) tell(*ended, done.answer, now);
        }
    }
}

void Sender::tell(const Queue::Ended& ended, const Answer& answer, Mono now) {
    switch (ended.meaning) {
        case Meaning::taken:
            meters_.count_delivered();
            break;
        case Meaning::dropped:
            meters_.count_dropped();
            break;
        case Meaning::unsettled:
        case Meaning::away:
        case Meaning::gone:
            meters_.count_retried();
            break;
    }
    using Line = Queue::Ended::Line;
    switch (ended.line) {
        case Line::none:
            return;
        case Line::event_dropped:
            if (const auto lines = dropped_lines_.allow(now)) {
                spdlog::warn("webhook {}: {} for an event of '{}', which is dropped{}", endpoint_.name,
                             to_string(answer), ended.target, kept_back(*lines));
            }
            return;
        case Line::target_fails:
            if (const auto lines = failed_lines_.allow(now)) {
                spdlog::warn("webhook {}: {} for an event of '{}': it is tried again, and later ones wait{}",
                             endpoint_.name, to_string(answer), ended.target, kept_back(*lines));
            }
            return;
        case Line::endpoint_fails:
            spdlog::warn("webhook {}: {}: {}", endpoint_.name, to_string(answer),
                         ended.meaning == Meaning::gone
                             ? "it wants no events any more; asking once an hour"
                             : "keeping events until it takes them, one at a time tries");
            return;
        case Line::endpoint_is_back:
            spdlog::info("webhook {}: takes events again after {:.1f} s", endpoint_.name,
                         std::chrono::duration<double>(ended.failed_for).count());
            return;
    }
}

}  // namespace pgpulse::consul_bridge::webhook
