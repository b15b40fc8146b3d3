#pragma once

#include "common/contract/member.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Pure: who is alive, from what one member hears through its watch of the bucket `health_members`.
//
// The bucket's own expiry says nothing to a watcher, so a member that falls silent is noticed by its silence.
// But silence is also what a NATS restart, a change of JetStream's leader, a cut or a stop of this process
// look like; so a member judges others only while it hears itself.
//
// The rules, each tested under its name:
//   silent_is_dead        A member that was not heard for a TTL is gone.
//   leave_at_once         A delete marker, which a clean exit leaves, removes it at once.
//   starting_owns_nothing Whoever is `starting` is not in the view, and neither is this member itself until
//                         its own echo has come for one TTL without a gap.
//   second_start          A run that starts under the id of one that serves takes nothing from it: it counts
//                         once the other was silent for a TTL.
//   frozen_without_echo   While this member's echo does not come (a gap over kEchoGap), and until it has come
//                         again for two TTLs, the view stays as it is: nobody leaves it and nobody joins.
//   taken                 Of the runs of one id the one that serves keeps it; of those that start, the one
//                         whose run is smallest. A member that starts waits while such a run refreshes its id,
//                         and gives up when one has done so for a whole TTL. It waits for no other: a
//                         supervisor may start them anew for ever.
//   aside_owns_nothing    A member that cannot do its work for now stands aside: it keeps its id and goes on telling
//                         and hearing, but is in no view, its own neither.
//   id_shared             Another run that refreshes the id of a member which already serves is reported, and
//                         changes nothing.
namespace pgpulse::cluster {

class Membership {
  public:
    using Mono = std::chrono::steady_clock::time_point;

    static constexpr std::chrono::milliseconds kTtl{2000};
    static constexpr std::chrono::milliseconds kRefresh{500};
    static constexpr std::chrono::milliseconds kEchoGap{1000};

    /// The members that serve, by kind, each sorted by id. This member is among them once it serves, unless it stands
    /// aside.
    struct View {
        std::vector<std::string> probes;
        std::vector<std::string> aggregators;
        std::vector<std::string> bridges;
        std::vector<std::string> bridges_aside = {};  // stand aside: there, but not among the above

        bool operator==(const View&) const = default;
    };

    enum class Standing {
        starting,
        serving,
        taken,  // the id is another run's: final
    };

    /// `own.phase` is of no account.
    explicit Membership(contract::Member own);

    /// A member's value came through the watch, this one's own among them.
    void heard(const contract::Member& member, Mono now);
    /// A delete marker came through the watch.
    void left(contract::MemberKind kind, std::string_view id);

    /// Whether this member stands aside from now on. The view follows with the next tick.
    void stand_aside(bool aside) { aside_ = aside; }

    /// Takes the time into account; to be called after what waits was heard. True when the view or the
    /// standing has changed.
    bool tick(Mono now);

    [[nodiscard]] Standing standing() const { return standing_; }
    /// Empty until this member serves.
    [[nodiscard]] const View& view() const { return view_; }
    /// This member as it is to be published now.
    [[nodiscard]] contract::Member own() const;
    /// It hears itself, and what it says of others stands.
    [[nodiscard]] bool steady(Mono now) const;
    /// The run that shares or took this member's id, heard within the last TTL; of several the one that is to
    /// keep it. Empty: none.
    [[nodiscard]] std::string rival(Mono now) const;

  private:
    struct Heard {
        contract::Member member;
        Mono at{};
    };
    /// Another run under this member's id.
    struct Rival {
        contract::MemberPhase phase = contract::MemberPhase::starting;
        Mono first{};
        Mono last{};
    };
    using Key = std::pair<contract::MemberKind, std::string>;

    void heard_own(const contract::Member& member, Mono now);
    [[nodiscard]] bool hears_itself(Mono now) const;
    /// Whether the id is this run's to keep rather than this member's.
    [[nodiscard]] bool goes_before(const std::string& run, const Rival& rival) const;
    [[nodiscard]] View of_the_living(Mono now);

    contract::Member own_;
    Standing standing_ = Standing::starting;
    bool aside_ = false;
    View view_;
    std::map<Key, Heard> others_;
    std::map<std::string, Rival> rivals_;  // by run
    std::optional<Mono> echoed_;           // the newest echo
    Mono echoing_since_{};                 // the first one since the last gap
    bool frozen_ = false;  // a gap came since this member serves, and two TTLs have not passed
};

}  // namespace pgpulse::cluster
