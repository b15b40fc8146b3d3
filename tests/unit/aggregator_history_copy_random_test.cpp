#include "aggregator/history_copy.hpp"
#include "common/contract/state.hpp"
#include "tests/support/bucket_author.hpp"

#include <gtest/gtest.h>

#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

// Two copiers over one simulated bucket and one simulated history: messages and acknowledgements come late or never,
// copiers are killed and started, the bucket is wiped and rewound, the history is purged, in any order.
namespace pgpulse::aggregator {
namespace {

using contract::WallTime;
using std::chrono::microseconds;

/// What makes one transition another than all others: target, number and life; number 0: the removal that ended the
/// life.
struct Fact {
    std::string target;
    std::uint64_t transition = 0;
    int life = 0;

    auto operator<=>(const Fact&) const = default;
};

void PrintTo(const Fact& fact, std::ostream* out) {
    *out << fact.target << '#' << fact.transition << '/' << fact.life;
}

struct Stored {
    BucketRevision revision;
    std::optional<Fact> fact;  // empty: nobody's transition
};

struct Target {
    std::string name;
    int life = 0;
    std::optional<contract::State> state;
};

class Bucket {
  public:
    WallTime epoch{microseconds{1'700'000'000'000'000}};
    std::vector<Stored> stored;
    std::uint64_t last = 0;

    void add(Stored&& one, WallTime at) {
        one.revision.revision = ++last;
        one.revision.stored_at = at;
        stored.push_back(std::move(one));
    }
};

/// The stream of the history, as nats-server keeps it.
class History {
  public:
    struct Entry {
        std::uint64_t sequence = 0;
        HistoryMessage message;
        Fact fact;
    };
    std::vector<Entry> entries;
    std::uint64_t last = 0;
    std::map<std::string, std::uint64_t> known_ids;  // those of lately
    std::string last_id;

    /// The sequence where the message stands, or nullopt: refused.
    std::optional<std::uint64_t> take(const HistoryMessage& message, const Fact& fact) {
        const std::string id = headers_of(message).front().second;
        if (const auto known = known_ids.find(id); known != known_ids.end()) return known->second;
        if (message.expected_last != last) return std::nullopt;
        if (!message.expected_last_id.empty() && message.expected_last_id != last_id) return std::nullopt;
        last_id = id;
        entries.push_back({++last, message, fact});
        known_ids[id] = last;
        return last;
    }
};

struct Copier {
    HistoryCopy copy;
    bool following = false;
    WallTime epoch;
    std::uint64_t next = 0;  // revision to be read
    /// A message under way, of one of the copier's lives or sessions.
    struct Sent {
        HistoryMessage message;
        Fact fact;
        int session = 0;
    };
    int session = 0;
    std::deque<Sent> to_server;
    std::deque<std::pair<std::uint64_t, std::optional<std::uint64_t>>> to_copier;  // place, outcome
};

class Simulation {
  public:
    explicit Simulation(std::uint32_t seed) : random_(seed) {
        for (int i = 0; i < 3; ++i) targets_.push_back({"db" + std::to_string(i), 0, std::nullopt});
    }

    void step() {
        now_ += microseconds{1 + up_to(1000)};
        const int what = up_to(100);
        if (what < 30) {
            transition(any_target());
        } else if (what < 33) {
            remove(any_target());
        } else if (what < 36) {
            put_back(any_target());
        } else if (what < 38) {
            by_hand(any_target());
        } else if (what < 39) {
            if (up_to(3) == 0) wipe();
        } else if (what < 40) {
            history.known_ids.clear();
            if (up_to(3) == 0) history.last_id.clear();
        } else {
            act(copiers_[static_cast<std::size_t>(up_to(2))]);
        }
    }

    void rewind() {
        // A server that starts again has lost its clients as well.
        for (Copier& copier : copiers_) kill(copier);
        const auto kept = static_cast<std::size_t>(up_to(static_cast<int>(bucket_.stored.size()) + 1));
        // Only what is in the history already, or is put back, may be lost, else it is lost indeed.
        for (std::size_t i = kept; i < bucket_.stored.size(); ++i) lose(bucket_.stored[i]);
        bucket_.stored.resize(kept);
        bucket_.last = kept;
        history.known_ids.clear();
        put_all_back();
    }

    void wipe() {
        for (const Stored& stored : bucket_.stored) lose(stored);
        bucket_.stored.clear();
        bucket_.last = 0;
        bucket_.epoch = now_;
        put_all_back();
    }

    void purge_history() {
        history.entries.clear();
        expected_.clear();
    }

    /// Everything that is under way arrives, and one copier copies what there is.
    void settle() {
        for (Copier& copier : copiers_) {
            deliver_all(copier);
            kill(copier);
        }
        history.known_ids.clear();
        Copier& copier = copiers_[0];
        for (int tries = 0; tries < 5; ++tries) {
            open(copier);
            while (read(copier)) deliver_all(copier);
            deliver_all(copier);
            if (!copier.copy.broken()) return;
        }
        RC_FAIL("does not settle");
    }

    void check() const {
        std::map<Fact, int> told;
        for (const History::Entry& entry : history.entries) ++told[entry.fact];
        for (const auto& [fact, times] : told) {
            if (times != 1) RC_FAIL(text(fact) + " is told " + std::to_string(times) + " times");
        }
        for (const Fact& fact : expected_) {
            if (!told.contains(fact)) RC_FAIL(text(fact) + " is not told");
        }
    }

    History history;

  private:
    std::mt19937 random_;
    WallTime now_{microseconds{1'700'000'000'000'000}};
    std::vector<Target> targets_;
    Bucket bucket_;
    std::vector<Copier> copiers_{2};
    std::set<Fact> expected_;  // what the history is to tell

    static std::string text(const Fact& fact) {
        std::ostringstream out;
        PrintTo(fact, &out);
        return out.str();
    }

    int up_to(int end) { return static_cast<int>(random_() % static_cast<std::uint32_t>(end)); }
    Target& any_target() { return targets_[static_cast<std::size_t>(up_to(3))]; }

    [[nodiscard]] bool is_told(const Fact& fact) const {
        return std::ranges::any_of(history.entries,
                                   [&](const History::Entry& entry) { return entry.fact == fact; });
    }

    void store(const Target& target, const std::optional<Fact>& fact, bool compare_and_set = true) {
        BucketRevision revision;
        revision.target = target.name;
        revision.compare_and_set = compare_and_set;
        if (target.state) {
            revision.value = encode(*target.state);
        } else {
            revision.operation = "DEL";
        }
        bucket_.add({std::move(revision), fact}, now_);
    }

    void transition(Target& target) {
        contract::State state = support::a_state(target.name, contract::Health::up, 1);
        if (target.state) state.transition = target.state->transition + 1;
        state.decided_at = now_;
        target.state = state;
        const Fact fact{target.name, state.transition, target.life};
        store(target, fact);
        expected_.insert(fact);
    }

    void remove(Target& target) {
        if (!target.state) return;
        target.state.reset();
        const Fact fact{target.name, 0, target.life++};
        store(target, fact);
        expected_.insert(fact);
    }

    void put_back(const Target& target) {
        if (target.state) store(target, Fact{target.name, target.state->transition, target.life});
    }

    void put_all_back() {
        for (const Target& target : targets_) put_back(target);
    }

    void by_hand(const Target& target) {
        if (target.state) store(target, std::nullopt, false);
    }

    /// Nobody can copy any more what the bucket lost before it was copied; the last state is put back.
    void lose(const Stored& stored) {
        if (!stored.fact || is_told(*stored.fact)) return;
        const Fact& fact = *stored.fact;
        const auto target = std::ranges::find(targets_, fact.target, &Target::name);
        const bool last =
            target->state && target->life == fact.life && target->state->transition == fact.transition;
        if (!last) expected_.erase(fact);
    }

    void kill(Copier& copier) {
        // What it sent arrives nevertheless.
        copier.copy = HistoryCopy{};
        copier.to_copier.clear();
        copier.following = false;
    }

    void open(Copier& copier) {
        // The outcomes of what it sent before are known, or nobody asks for them any more.
        ++copier.session;
        copier.to_copier.clear();
        copier.copy.history_opened(history.last, false);
        std::map<std::string, const History::Entry*> last;
        for (const History::Entry& entry : history.entries) last[entry.message.target] = &entry;
        std::vector<const History::Entry*> in_order;
        for (const auto& [target, entry] : last) in_order.push_back(entry);
        std::ranges::sort(in_order, {}, &History::Entry::sequence);
        for (const History::Entry* entry : in_order)
            copier.copy.history_entry(entry->message.target, entry->sequence, entry->message.mark);
        copier.epoch = bucket_.epoch;
        copier.next = copier.copy.bucket_opened(bucket_.epoch, bucket_.last);
        copier.following = true;
    }

    /// False where there is nothing to be read.
    bool read(Copier& copier) {
        if (copier.copy.broken() || copier.copy.full() || copier.epoch != bucket_.epoch) return false;
        if (copier.next > bucket_.last) return false;
        const Stored& stored = bucket_.stored[copier.next - 1];
        ++copier.next;
        BucketRevision revision = stored.revision;
        const auto message = copier.copy.revision(std::move(revision));
        if (!message) return true;
        RC_ASSERT(stored.fact.has_value());
        copier.to_server.push_back({*message, *stored.fact, copier.session});
        return true;
    }

    void deliver(Copier& copier) {
        if (copier.to_server.empty()) return;
        const Copier::Sent sent = std::move(copier.to_server.front());
        copier.to_server.pop_front();
        const auto place = history.take(sent.message, sent.fact);
        if (copier.following && sent.session == copier.session)
            copier.to_copier.emplace_back(sent.message.expected_last, place);
    }

    static void acknowledge(Copier& copier) {
        if (copier.to_copier.empty()) return;
        const auto [expected, place] = copier.to_copier.front();
        copier.to_copier.pop_front();
        if (place) {
            copier.copy.stored(expected, *place);
        } else {
            copier.copy.failed();
        }
    }

    void deliver_all(Copier& copier) {
        while (!copier.to_server.empty()) deliver(copier);
        while (!copier.to_copier.empty()) acknowledge(copier);
    }

    void act(Copier& copier) {
        const int what = up_to(100);
        if (!copier.following) {
            if (what < 20) open(copier);
            deliver(copier);
        } else if (what < 45) {
            read(copier);
        } else if (what < 70) {
            deliver(copier);
        } else if (what < 95) {
            acknowledge(copier);
        } else if (what < 96) {
            kill(copier);
        } else if (what < 97) {
            // The connection was lost, and with it what was on its way to the server: the last of it first.
            while (!copier.to_server.empty() && up_to(2) == 0) copier.to_server.pop_back();
            kill(copier);
        }
        if (copier.following && (copier.copy.broken() || copier.epoch != bucket_.epoch)) open(copier);
    }
};

RC_GTEST_PROP(HistoryCopyRandom, NoneIsLostAndNoneDoubled, ()) {
    Simulation simulation{*rc::gen::arbitrary<std::uint32_t>()};
    const int steps = *rc::gen::inRange(1, 2000);
    for (int i = 0; i < steps; ++i) simulation.step();
    simulation.settle();
    simulation.check();
}

RC_GTEST_PROP(HistoryCopyRandom, NoneIsLostAndNoneDoubledOverAPurgeOfTheHistory, ()) {
    Simulation simulation{*rc::gen::arbitrary<std::uint32_t>()};
    for (int round = 0; round < 3; ++round) {
        const int steps = *rc::gen::inRange(1, 500);
        for (int i = 0; i < steps; ++i) simulation.step();
        simulation.settle();
        simulation.purge_history();
    }
    for (int i = 0; i < 500; ++i) simulation.step();
    simulation.settle();
    simulation.check();
}

RC_GTEST_PROP(HistoryCopyRandom, NoneIsLostAndNoneDoubledByABucketThatWasRewound, ()) {
    Simulation simulation{*rc::gen::arbitrary<std::uint32_t>()};
    for (int round = 0; round < 3; ++round) {
        const int steps = *rc::gen::inRange(1, 300);
        for (int i = 0; i < steps; ++i) simulation.step();
        simulation.settle();
        simulation.check();
        simulation.rewind();
    }
    for (int i = 0; i < 300; ++i) simulation.step();
    simulation.settle();
    simulation.check();
}

}  // namespace
}  // namespace pgpulse::aggregator
