#pragma once

#include "common/contract/target.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

// Pure: which targets there are, by the bucket `health_targets`, and what a targets file brings into it.
//
// The rules of the set, each tested under its name:
//   value_sets            A valid value of a key is its target's definition from then on.
//   invalid_kept_out      An invalid value is refused and named; the last good definition stays in force.
//   marker_removes        A delete marker removes a target.
//   absence_keeps         A key that is gone without a marker (a wiped bucket) removes nothing.
// and of a file:
//   absent_created        A target the bucket does not know is created.
//   own_updated           A definition that a file wrote last and that differs is replaced.
//   unchanged_untouched   Where a file wrote the same before, nothing is written.
//   operator_stands       What an operator wrote, removed (a delete marker) or made invalid stays as it is,
//                         also when the bucket has lost it: aggregators put it back.
//   never_removes         A target that is not in the file stays.
//   wiped_put_back        When the bucket was lost, the file's targets are created again.
namespace pgpulse::probe {

struct TargetPut {
    contract::TargetDefinition definition;
};
struct TargetRemoved {
    std::string name;
};
struct DefinitionRefused {
    std::string fault;  // one line that names key and fault
};
using TargetChange = std::variant<TargetPut, TargetRemoved, DefinitionRefused>;

class TargetSet {
  public:
    /// A compare-and-set of one key.
    struct Write {
        std::string key;
        std::string value;
        std::uint64_t expected = 0;  // the key's revision, 0: none
    };

    /// What a file has led to so far.
    struct FileTally {
        std::size_t created = 0;
        std::size_t updated = 0;
        std::size_t unchanged = 0;
        std::size_t left_to_operator = 0;
    };

    /// The watch of the bucket, event by event (nats::BucketEvent).
    void opened();
    void loaded();
    std::optional<TargetChange> value(const std::string& key, std::string_view value, std::uint64_t revision);
    std::optional<TargetChange> removed(const std::string& key, std::uint64_t revision);

    /// The file's definitions, which take the place of those of an earlier call.
    void set_file(std::vector<contract::TargetDefinition> definitions);

    /// What is to be written now for the file's sake. Nothing before the bucket was read. A key stays out
    /// until `written`.
    std::vector<Write> take_writes();

    enum class Written {
        stored,     // by this call
        overtaken,  // another write came first: judged again when the watch has told it
        unknown,    // judged again with the next `take_writes`
    };
    void written(const std::string& key, std::uint64_t expected, Written how);

    /// The definition in force of a target; null where there is none.
    [[nodiscard]] const contract::TargetDefinition* definition(const std::string& name) const;

    /// True when the bucket was read once.
    [[nodiscard]] bool known() const { return known_; }
    /// True when everything the file asks for is in the bucket or was left to an operator.
    [[nodiscard]] bool file_done() const { return loaded_ && to_judge_.empty(); }
    [[nodiscard]] const FileTally& tally() const { return tally_; }

  private:
    struct Key {
        std::optional<contract::StoredDefinition> good;  // the last valid definition
        std::uint64_t revision = 0;  // of its newest value or marker, 0: not in the bucket
        bool invalid = false;        // its newest value is refused
        bool removed = false;        // its newest entry is a delete marker
    };
    struct Pending {
        bool in_flight = false;
        bool overtaken = false;
        std::uint64_t expected = 0;
    };

    std::map<std::string, Key> keys_;
    std::map<std::string, contract::TargetDefinition> file_;
    std::map<std::string, Pending> to_judge_;  // the file's keys that are not done
    FileTally tally_;
    bool known_ = false;
    bool loaded_ = false;
};

}  // namespace pgpulse::probe
