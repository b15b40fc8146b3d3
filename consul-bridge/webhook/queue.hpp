#pragma once

#include "consul-bridge/webhook/answer.hpp"
#include "consul-bridge/webhook/cursor.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

// Pure: which event an endpoint gets when.
//
// The rules, each tested under its name:
//   in_order_of_a_target  A target's next event is posted when the one before it was taken or dropped; of different
//                         targets several are on their way at once.
//   none_is_lost          An event leaves the queue when it was taken, or when the endpoint refuses it as such. Whatever
//                         else happens it is tried again, for ever, after a time that doubles up to a minute or after the
//                         time that the endpoint asks for.
//   one_tries             While the endpoint as a whole takes nothing (it is not there, says so, or several targets' events
//                         have failed and none came through) one event at a time tries it.
//   bounded               Only so many events are held; the history keeps the rest.
//   cursor_is_behind      The cursor is never beyond an event that waits.
namespace pgpulse::consul_bridge::webhook {

class Queue {
  public:
    using Mono = std::chrono::steady_clock::time_point;

    struct Settings {
        std::size_t in_flight = 8;
        std::size_t ahead = 10'000;                        // events that are held
        std::size_t ahead_bytes = std::size_t{16} << 20U;  // and their size
        std::chrono::milliseconds first_retry{1000};
        std::chrono::milliseconds longest_retry{60'000};
    };
    /// More than the endpoint's own word for how long it wants nothing is not believed.
    static constexpr std::chrono::hours kLongestAsked{24};
    static constexpr std::chrono::hours kGone{1};
    /// Events of so many targets that fail in a row are the endpoint's fault.
    static constexpr std::size_t kFailingTargets = 3;

    struct Event {
        Place place;
        std::string target;
        std::string body;
        Mono stored{};  // when its message was stored, as near as the reader knows
    };
    using PostId = std::uint64_t;
    struct Post {
        PostId id = 0;
        std::shared_ptr<const std::string> body;
    };

    /// What became of a post, and what is worth a line in a log.
    struct Ended {
        enum class Line {
            none,
            event_dropped,
            target_fails,      // for the first time with this event
            endpoint_fails,    // from now on one event at a time tries
            endpoint_is_back,  // after `failed_for`
        };
        Meaning meaning = Meaning::taken;
        Line line = Line::none;
        std::string target;
        std::chrono::milliseconds failed_for{0};
    };

    Queue() : Queue(Settings{}) {}
    explicit Queue(Settings settings) : settings_(settings) {}

    /// Forgets all events; posts under way are nobody's. The endpoint has all up to `known`; nullopt: that is not known
    /// before a first event is taken.
    void begin(const std::optional<Place>& known);
    /// In the order of their places. To be called while `wants_more`.
    void add(Event event);
    /// False from the time on when the queue is full until half of it has left.
    [[nodiscard]] bool wants_more() const { return !full_; }

    /// What is to be posted now.
    std::vector<Post> step(Mono now);
    /// When `step` has something to do next, unless a post ends before; nullopt: not before.
    [[nodiscard]] std::optional<Mono> next_step() const;
    /// A post ended. `jitter`: evenly from 0 to 1, so that those who failed together do not try again together. Nullopt:
    /// it was nobody's.
    std::optional<Ended> ended(PostId id, const Answer& answer, double jitter, Mono now);

    /// The last place up to which the endpoint has all.
    [[nodiscard]] const std::optional<Place>& delivered() const { return delivered_; }
    /// The last one that was added, or else `delivered`.
    [[nodiscard]] std::optional<Place> read() const;
    /// Events that wait or are on their way.
    [[nodiscard]] std::size_t pending() const { return pending_; }
    [[nodiscard]] std::size_t in_flight() const { return in_flight_.size(); }
    /// When the oldest of them was stored.
    [[nodiscard]] std::optional<Mono> oldest() const;
    [[nodiscard]] bool failing() const { return trouble_.has_value(); }

  private:
    struct Waiting {
        std::uint64_t sequence = 0;
        std::shared_ptr<const std::string> body;
    };
    /// The events of one target.
    struct Lane {
        std::deque<Waiting> events;
        unsigned failures = 0;  // of the first one
        Mono due{};
    };
    struct Held {
        Place place;
        Mono stored{};
        bool done = false;
    };
    struct Flight {
        std::string target;
        bool trial = false;
    };
    /// The endpoint as a whole takes nothing.
    struct Trouble {
        Mono since{};
        unsigned tries = 0;
        Mono next_try{};
    };
    /// When it is due, and the sequence of its first event.
    using Turn = std::pair<Mono, std::uint64_t>;

    Post post();
    void wait_again(const std::string& target, const Lane& lane);
    void leaves(const std::string& target, Lane& lane);
    void fails(const Answer& answer, bool trial, double jitter, Mono now, Ended& ended);
    void is_back(Mono now, Ended& ended);
    [[nodiscard]] std::chrono::milliseconds pause(unsigned failures, const Answer& answer,
                                                  double jitter) const;

    Settings settings_;
    std::map<std::string, Lane> lanes_;
    std::map<Turn, std::string> ready_;  // lanes that are not in flight
    std::deque<Held> held_;              // by sequence, the first one not done
    std::map<PostId, Flight> in_flight_;
    std::optional<Place> delivered_;
    std::optional<Trouble> trouble_;
    std::set<std::string> failing_;  // targets that failed since the endpoint last answered well
    PostId last_id_ = 0;
    std::size_t pending_ = 0;
    std::size_t bytes_ = 0;
    bool full_ = false;
};

}  // namespace pgpulse::consul_bridge::webhook
