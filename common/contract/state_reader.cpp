#include "common/contract/state_reader.hpp"

#include "common/contract/due_name.hpp"
#include "common/contract/names.hpp"

#include <limits>
#include <utility>

namespace pgpulse::contract {

const std::array<std::string_view, StateReader::kFields> StateReader::kNames{
    "v",
    "target",
    "state",
    "since",
    "transition",
    "previous",
    "reason",
    "role",
    "writable",
    "started_at",
    "crashed_at",
    "restarts",
    "maintenance",
    "maintenance_until",
    "conflicts_with",
    "role_unexpected",
    "changed",
    "evidence",
    "decided_by",
    "decided_at",
};

const std::array<std::string_view, StateReader::kEvidenceFields> StateReader::kEvidenceNames{
    "worker", "site", "opinion", "verdict", "reason", "sqlstate", "rtt_us", "at"};

bool StateReader::finish() {
    using enum Field;
    if (refusal) return false;
    for (const Field needed : {v, target, Field::state, since, transition, reason, restarts, maintenance,
                               evidence, decided_by, decided_at}) {
        if (!seen_.test(static_cast<std::size_t>(needed)))
            return fault(kNames[static_cast<std::size_t>(needed)]);
    }
    // It is kept for as long as it stands.
    this->state.evidence.shrink_to_fit();
    return true;
}

bool StateReader::null() {
    if (ignored()) return true;
    if (place_ == Place::field) {
        switch (field_) {
            case Field::previous:
            case Field::role:
            case Field::writable:
            case Field::started_at:
            case Field::crashed_at:
            case Field::maintenance_until:
            case Field::conflicts_with:
            case Field::role_unexpected:
            case Field::changed:
                return true;
            default:
                return fault();
        }
    }
    if (place_ == Place::evidence) {
        switch (evidence_field_) {
            case EvidenceField::site:
            case EvidenceField::sqlstate:
            case EvidenceField::rtt_us:
                return true;
            default:
                return fault();
        }
    }
    return fault();
}

bool StateReader::boolean(bool value) {
    if (ignored()) return true;
    if (place_ != Place::field) return fault();
    switch (field_) {
        case Field::writable:
            state.writable = value;
            return saw();
        case Field::maintenance:
            state.maintenance = value;
            return saw();
        case Field::role_unexpected:
            state.role_unexpected = value;
            return saw();
        default:
            return fault();
    }
}

bool StateReader::negative_number(std::int64_t) {
    return ignored() || (place_ == Place::field && field_ == Field::v ? another_version() : fault());
}

bool StateReader::fraction() { return ignored() || fault(); }

bool StateReader::whole_number(std::uint64_t value) {
    if (ignored()) return true;
    if (place_ == Place::evidence && evidence_field_ == EvidenceField::rtt_us) {
        if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return fault();
        state.evidence.back().rtt_us = static_cast<std::int64_t>(value);
        return saw();
    }
    if (place_ != Place::field) return fault();
    switch (field_) {
        case Field::v:
            return value == kVersion ? saw() : another_version();
        case Field::transition:
            state.transition = value;
            return value == 0 ? fault() : saw();
        case Field::restarts:
            state.restarts = value;
            return saw();
        default:
            return fault();
    }
}

bool StateReader::text(std::string_view value) {
    if (ignored()) return true;
    if (place_ == Place::evidence) return evidence_text(value);
    if (place_ == Place::list) {
        if (field_ == Field::conflicts_with && is_target_name(value)) {
            state.conflicts_with.emplace_back(value);
            return true;
        }
        const auto change = field_ == Field::changed ? parse_change(value) : std::nullopt;
        if (!change) return fault();
        state.changed.set(static_cast<std::size_t>(*change));
        return true;
    }
    switch (field_) {
        case Field::target:
            state.target = std::string{value};
            return saw();
        case Field::state:
            return assign(state.state, parse_health(value));
        case Field::since:
            return assign(state.since, parse_rfc3339(value));
        case Field::previous:
            return assign(state.previous, parse_health(value));
        case Field::reason:
            return assign(state.reason, parse_reason(value));
        case Field::role:
            return assign(state.role, parse_role(value));
        case Field::started_at:
            return assign(state.started_at, parse_rfc3339(value));
        case Field::crashed_at:
            return assign(state.crashed_at, parse_rfc3339(value));
        case Field::maintenance_until:
            return assign(state.maintenance_until, parse_rfc3339(value));
        case Field::decided_by:
            state.decided_by = std::string{value};
            return saw();
        case Field::decided_at:
            return assign(state.decided_at, parse_rfc3339(value));
        default:
            return fault();
    }
}

bool StateReader::evidence_text(std::string_view value) {
    Evidence& evidence = state.evidence.back();
    switch (evidence_field_) {
        case EvidenceField::worker:
            if (!is_member_id(value)) return fault();
            evidence.worker = std::string{value};
            return saw();
        case EvidenceField::site:
            evidence.site = std::string{value};
            return saw();
        case EvidenceField::opinion:
            return assign(evidence.opinion, parse_opinion(value));
        case EvidenceField::verdict:
            return assign(evidence.verdict, parse_verdict(value));
        case EvidenceField::reason:
            return assign(evidence.reason, parse_reason(value));
        case EvidenceField::sqlstate:
            evidence.sqlstate = std::string{value};
            return saw();
        case EvidenceField::at:
            return assign(evidence.at, parse_rfc3339(value));
        default:
            return fault();
    }
}

bool StateReader::start_object() {
    if (place_ == Place::outside) {
        place_ = Place::field;
        return true;
    }
    if (ignored()) {
        ++ignored_;
        return true;
    }
    if (place_ != Place::list || field_ != Field::evidence) return fault();
    place_ = Place::evidence;
    evidence_due_ = 0;
    evidence_seen_.reset();
    state.evidence.emplace_back();
    return true;
}

bool StateReader::end_object() {
    if (ignored_ > 0) {
        --ignored_;
        return true;
    }
    if (place_ != Place::evidence) {
        place_ = Place::outside;
        return true;
    }
    using enum EvidenceField;
    for (const EvidenceField needed : {worker, opinion, verdict, reason, at}) {
        const auto index = static_cast<std::size_t>(needed);
        if (!evidence_seen_.test(index)) return fault(kEvidenceNames.at(index));
    }
    place_ = Place::list;
    return true;
}

bool StateReader::start_array() {
    if (place_ == Place::outside) return no_object();
    if (ignored()) {
        ++ignored_;
        return true;
    }
    if (place_ != Place::field) return fault();
    switch (field_) {
        case Field::conflicts_with:
            state.conflicts_with.clear();
            break;
        case Field::changed:
            state.changed.reset();
            break;
        case Field::evidence:
            state.evidence.clear();
            break;
        default:
            return fault();
    }
    place_ = Place::list;
    return saw();
}

bool StateReader::end_array() {
    if (ignored_ > 0)
        --ignored_;
    else
        place_ = Place::field;
    return true;
}

bool StateReader::name(std::string_view name) {
    if (ignored_ > 0) return true;
    if (place_ == Place::evidence) {
        const std::size_t index = index_of_name(kEvidenceNames, name, evidence_due_);
        evidence_field_ = static_cast<EvidenceField>(index);
        if (index < kEvidenceFields) evidence_due_ = index + 1;
        return true;
    }
    const std::size_t index = index_of_name(kNames, name, due_);
    field_ = static_cast<Field>(index);
    if (index < kFields) due_ = index + 1;
    return true;
}

void StateReader::no_json() { no_object(); }

bool StateReader::ignored() const {
    return ignored_ > 0 || (place_ == Place::field && field_ == Field::other) ||
           (place_ == Place::evidence && evidence_field_ == EvidenceField::other);
}

bool StateReader::saw() {
    if (place_ == Place::evidence)
        evidence_seen_.set(static_cast<std::size_t>(evidence_field_));
    else
        seen_.set(static_cast<std::size_t>(field_));
    return true;
}

template <typename T, typename U>
bool StateReader::assign(T& to, const std::optional<U>& value) {
    if (!value) return fault();
    to = *value;
    return saw();
}

bool StateReader::another_version() {
    if (!refusal) refusal = Refusal{Refusal::Cause::version, "field 'v': this program reads version 1"};
    return false;
}

bool StateReader::no_object() {
    if (!refusal) refusal = Refusal{Refusal::Cause::not_json, "not a JSON object"};
    return false;
}

bool StateReader::fault(std::string_view name) {
    if (!refusal)
        refusal = Refusal{Refusal::Cause::field, "field '" + std::string{name} + "': missing or mistyped"};
    return false;
}

bool StateReader::fault() {
    if (place_ == Place::outside) return no_object();
    if (place_ == Place::evidence && evidence_field_ != EvidenceField::other)
        return fault(kEvidenceNames.at(static_cast<std::size_t>(evidence_field_)));
    return fault(kNames.at(static_cast<std::size_t>(field_)));
}

}  // namespace pgpulse::contract
