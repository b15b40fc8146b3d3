#include "probe/target_set.hpp"

#include "common/contract/names.hpp"

namespace pgpulse::probe {

void TargetSet::opened() {
    loaded_ = false;
    for (auto& [name, key] : keys_) key.revision = 0;
}

void TargetSet::loaded() {
    known_ = true;
    loaded_ = true;
    // After a loss of the bucket the file's targets are judged again; where it is the same bucket as before
    // nothing comes of it.
    for (const auto& [name, definition] : file_) {
        if (keys_[name].revision == 0) to_judge_.try_emplace(name);
    }
}

std::optional<TargetChange> TargetSet::value(const std::string& key, std::string_view value,
                                             std::uint64_t revision) {
    Key& entry = keys_[key];
    entry.revision = revision;
    entry.removed = false;
    auto stored = contract::is_target_name(key)
                      ? contract::decode_definition(key, value)
                      : tl::unexpected(key + ": expected a DNS label in lower case as the key");
    entry.invalid = !stored;
    if (!stored) {
        return DefinitionRefused{stored.error() + (entry.good ? "; the last good definition stays in force"
                                                              : "; the target is not observed")};
    }
    const bool same = entry.good && entry.good->definition == stored->definition;
    entry.good = std::move(*stored);
    if (same) return std::nullopt;
    return TargetPut{entry.good->definition};
}

std::optional<TargetChange> TargetSet::removed(const std::string& key, std::uint64_t revision) {
    Key& entry = keys_[key];
    const bool was_there = entry.good.has_value();
    entry = Key{std::nullopt, revision, false, true};
    if (!was_there) return std::nullopt;
    return TargetRemoved{key};
}

void TargetSet::set_file(std::vector<contract::TargetDefinition> definitions) {
    file_.clear();
    to_judge_.clear();
    tally_ = {};
    for (contract::TargetDefinition& definition : definitions) {
        to_judge_.try_emplace(definition.name);
        std::string name = definition.name;
        file_.emplace(std::move(name), std::move(definition));
    }
}

std::vector<TargetSet::Write> TargetSet::take_writes() {
    std::vector<Write> writes;
    if (!loaded_) return writes;
    for (auto it = to_judge_.begin(); it != to_judge_.end();) {
        Pending& pending = it->second;
        const Key& key = keys_[it->first];
        const contract::StoredDefinition wanted{file_.at(it->first), contract::WrittenBy::file};
        const bool by_operator = key.removed || key.invalid ||
                                 (key.good && key.good->written_by == contract::WrittenBy::operator_);
        if (pending.in_flight || (pending.overtaken && key.revision <= pending.expected)) {
            ++it;
        } else if (by_operator) {
            ++tally_.left_to_operator;
            it = to_judge_.erase(it);
        } else if (key.revision != 0 && key.good == wanted) {
            ++tally_.unchanged;
            it = to_judge_.erase(it);
        } else {
            pending = {true, false, key.revision};
            writes.push_back({it->first, encode(wanted), key.revision});
            ++it;
        }
    }
    return writes;
}

void TargetSet::written(const std::string& key, std::uint64_t expected, Written how) {
    const auto it = to_judge_.find(key);
    if (it == to_judge_.end() || !it->second.in_flight || it->second.expected != expected) return;
    switch (how) {
        case Written::stored:
            ++(expected == 0 ? tally_.created : tally_.updated);
            to_judge_.erase(it);
            return;
        case Written::overtaken:
            it->second = {false, true, expected};
            return;
        case Written::unknown:
            it->second = {};
            return;
    }
}

const contract::TargetDefinition* TargetSet::definition(const std::string& name) const {
    const auto it = keys_.find(name);
    if (it == keys_.end()) return nullptr;
    const auto& good = it->second.good;
    return good ? &good->definition : nullptr;
}

}  // namespace pgpulse::probe
