#pragma once

#include "common/contract/json_events.hpp"
#include "common/contract/state.hpp"

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgpulse::contract {

/// Fills a state straight from a parser's events ; a document tree costs several times as much
/// (docs/benchmarks.md). Of a name that stands twice the later value counts.
class StateReader final : public JsonEvents {
  public:
    State state;
    std::optional<Refusal> refusal;  // of the first fault, after which it reads no further

    /// After the document's end; false, with `refusal`, where it is none of a state.
    [[nodiscard]] bool finish();

    bool null() override;
    bool boolean(bool value) override;
    bool negative_number(std::int64_t value) override;
    bool whole_number(std::uint64_t value) override;
    bool fraction() override;
    bool text(std::string_view value) override;
    bool start_object() override;
    bool end_object() override;
    bool start_array() override;
    bool end_array() override;
    bool name(std::string_view name) override;
    void no_json() override;

  private:
    enum class Field : std::uint8_t {
        v,
        target,
        state,
        since,
        transition,
        previous,
        reason,
        role,
        writable,
        started_at,
        crashed_at,
        restarts,
        maintenance,
        maintenance_until,
        conflicts_with,
        role_unexpected,
        changed,
        evidence,
        decided_by,
        decided_at,
        other,
    };
    enum class EvidenceField : std::uint8_t {
        worker,
        site,
        opinion,
        verdict,
        reason,
        sqlstate,
        rtt_us,
        at,
        other
    };
    /// What the next value belongs to.
    enum class Place : std::uint8_t { outside, field, list, evidence };

    static constexpr auto kFields = static_cast<std::size_t>(Field::other);
    static constexpr auto kEvidenceFields = static_cast<std::size_t>(EvidenceField::other);
    static const std::array<std::string_view, kFields> kNames;
    static const std::array<std::string_view, kEvidenceFields> kEvidenceNames;

    Place place_ = Place::outside;
    int ignored_ = 0;  // how deep the parser is in a value that nobody asked for
    Field field_ = Field::other;
    EvidenceField evidence_field_ = EvidenceField::other;
    std::size_t due_ = 0;
    std::size_t evidence_due_ = 0;
    std::bitset<kFields> seen_;
    std::bitset<kEvidenceFields> evidence_seen_;

    [[nodiscard]] bool ignored() const;
    bool evidence_text(std::string_view value);
    bool saw();
    template <typename T, typename U>
    bool assign(T& to, const std::optional<U>& value);
    bool another_version();
    bool no_object();
    bool fault(std::string_view name);
    bool fault();
};

}  // namespace pgpulse::contract
