#include "common/contract/ping.hpp"

#include "common/contract/due_name.hpp"
#include "common/contract/json_text.hpp"
#include "common/contract/plain_json.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <bitset>
#include <limits>
#include <utility>

namespace pgpulse::contract {
namespace {

enum class Field : std::uint8_t {
    v,
    target,
    worker,
    site,
    run,
    seq,
    mono_ms,
    at,
    verdict,
    reason,
    sqlstate,
    rtt_us,
    via,
    opinion,
    streak,
    role,
    writable,
    lag_ms,
    lag_bytes,
    started_at,
    crashed_at,
    suspect,
    other,
};
/// Of one that is written.
constexpr std::size_t kUsualBytes = 512;
constexpr auto kFieldCount = static_cast<std::size_t>(Field::other);

constexpr std::array<std::string_view, kFieldCount> kFieldNames{
    "v",        "target", "worker",    "site",       "run",        "seq",     "mono_ms", "at",
    "verdict",  "reason", "sqlstate",  "rtt_us",     "via",        "opinion", "streak",  "role",
    "writable", "lag_ms", "lag_bytes", "started_at", "crashed_at", "suspect"};

constexpr std::array kRequired{Field::v,       Field::target, Field::worker,  Field::run,    Field::seq,
                               Field::mono_ms, Field::at,     Field::verdict, Field::reason, Field::via,
                               Field::opinion, Field::streak, Field::suspect};

bool is_sqlstate(std::string_view text) {
    if (text.size() != 5) return false;
    for (const char c : text) {
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'))) return false;
    }
    return true;
}

/// Fills a ping straight from the parser's events: a document tree costs half as much again
/// (docs/benchmarks.md).
class PingReader final : public JsonEvents {
  public:
    Ping ping;
    std::optional<Refusal> refusal;

    [[nodiscard]] bool finish() {
        if (refusal) return false;
        for (const Field field : kRequired) {
            if (!seen_[static_cast<std::size_t>(field)]) return refuse_field(field, "missing");
        }
        return true;
    }

    bool null() override {
        if (ignored()) return true;
        switch (field_) {
            case Field::site:
            case Field::sqlstate:
            case Field::rtt_us:
            case Field::role:
            case Field::writable:
            case Field::lag_ms:
            case Field::lag_bytes:
            case Field::started_at:
            case Field::crashed_at:
                return true;
            default:
                return refuse_field(field_, "null");
        }
    }

    bool boolean(bool value) override {
        if (ignored()) return true;
        if (field_ == Field::suspect)
            ping.suspect = value;
        else if (field_ == Field::writable)
            ping.writable = value;
        else
            return refuse_field(field_, "a boolean");
        return saw();
    }

    bool negative_number(std::int64_t value) override { return ignored() || integer(value); }

    bool whole_number(std::uint64_t value) override {
        if (ignored()) return true;
        if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            return refuse_field(field_, "out of range");
        }
        return integer(static_cast<std::int64_t>(value));
    }

    bool fraction() override { return ignored() || refuse_field(field_, "a fraction"); }

    bool text(std::string_view value) override {
        if (ignored()) return true;
        switch (field_) {
            case Field::target:
                if (!is_target_name(value)) return refuse_field(field_, "not a target name");
                ping.target = std::string{value};
                return saw();
            case Field::worker:
                if (!is_member_id(value)) return refuse_field(field_, "not a worker id");
                ping.worker = std::string{value};
                return saw();
            case Field::site:
                ping.site = std::string{value};
                return saw();
            case Field::run:
                if (!is_run(value)) return refuse_field(field_, "not 16 hexadecimal digits");
                ping.run = std::string{value};
                return saw();
            case Field::sqlstate:
                if (!is_sqlstate(value)) return refuse_field(field_, "not an SQLSTATE");
                ping.sqlstate = std::string{value};
                return saw();
            case Field::at:
                return assign(ping.at, parse_rfc3339(value));
            case Field::verdict:
                return assign(ping.verdict, parse_verdict(value));
            case Field::reason:
                return assign(ping.reason, parse_reason(value));
            case Field::via:
                return assign(ping.via, parse_via(value));
            case Field::opinion:
                return assign(ping.opinion, parse_opinion(value));
            case Field::role:
                return assign(ping.role, parse_role(value));
            case Field::started_at:
                return assign(ping.started_at, parse_rfc3339(value));
            case Field::crashed_at:
                return assign(ping.crashed_at, parse_rfc3339(value));
            default:
                return refuse_field(field_, "a string");
        }
    }

    bool start_object() override { return open(depth_ == 0); }
    bool start_array() override { return open(false); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }

    bool name(std::string_view name) override {
        if (depth_ != 1) return true;
        field_ = static_cast<Field>(index_of_name(kFieldNames, name, due_));
        if (field_ != Field::other) due_ = static_cast<std::size_t>(field_) + 1;
        return true;
    }

    void no_json() override {
        if (!refusal) refusal = Refusal{Refusal::Cause::not_json, "not JSON"};
    }

  private:
    Field field_ = Field::other;
    std::size_t due_ = 0;  // at most kFieldCount: the name that follows the last one
    std::bitset<kFieldCount> seen_;
    int depth_ = 0;

    [[nodiscard]] bool ignored() {
        if (depth_ == 0) {
            refusal = Refusal{Refusal::Cause::not_json, "not a JSON object"};
            return false;
        }
        return depth_ > 1 || field_ == Field::other;
    }

    bool open(bool whole_document) {
        if (depth_ == 0 && !whole_document) {
            refusal = Refusal{Refusal::Cause::not_json, "not a JSON object"};
            return false;
        }
        if (depth_ == 1 && field_ != Field::other) return refuse_field(field_, "an object or array");
        ++depth_;
        return true;
    }

    bool close() {
        --depth_;
        return true;
    }

    bool saw() {
        seen_.set(static_cast<std::size_t>(field_));
        return true;
    }

    template <typename T, typename U>
    bool assign(T& to, const std::optional<U>& value) {
        if (!value) return refuse_field(field_, "not one of the contract's values");
        to = *value;
        return saw();
    }

    bool integer(std::int64_t value) {
        if (refusal) return false;
        switch (field_) {
            case Field::v:
                if (value != kVersion) {
                    refusal = Refusal{Refusal::Cause::version, "field 'v': this program reads version 1"};
                    return false;
                }
                return saw();
            case Field::seq:
                if (value < 1) return refuse_field(field_, "out of range");
                ping.seq = static_cast<std::uint64_t>(value);
                return saw();
            case Field::streak:
                if (value < 0 || value > std::numeric_limits<std::uint32_t>::max()) {
                    return refuse_field(field_, "out of range");
                }
                ping.streak = static_cast<std::uint32_t>(value);
                return saw();
            case Field::mono_ms:
                ping.mono_ms = value;
                break;
            case Field::rtt_us:
                ping.rtt_us = value;
                break;
            case Field::lag_ms:
                ping.lag_ms = value;
                break;
            case Field::lag_bytes:
                ping.lag_bytes = value;
                break;
            default:
                return refuse_field(field_, "a number");
        }
        if (value < 0) return refuse_field(field_, "out of range");
        return saw();
    }

    bool refuse_field(Field field, std::string_view found) {
        if (!refusal) {
            const std::string name =
                field == Field::other ? "?" : std::string{kFieldNames[static_cast<std::size_t>(field)]};
            refusal = Refusal{Refusal::Cause::field, "field '" + name + "': " + std::string{found}};
        }
        return false;
    }
};

}  // namespace

std::string encode(const Ping& ping) {
    json_text::Object json{kUsualBytes};
    json.number("v", kVersion);
    json.text("target", ping.target);
    json.text("worker", ping.worker);
    if (!ping.site.empty()) json.text("site", ping.site);
    json.text("run", ping.run);
    json.number("seq", ping.seq);
    json.number("mono_ms", ping.mono_ms);
    json.text("at", to_rfc3339(ping.at));
    json.text("verdict", to_string(ping.verdict));
    json.text("reason", to_string(ping.reason));
    if (!ping.sqlstate.empty()) json.text("sqlstate", ping.sqlstate);
    if (ping.rtt_us) json.number("rtt_us", *ping.rtt_us);
    json.text("via", to_string(ping.via));
    json.text("opinion", to_string(ping.opinion));
    json.number("streak", ping.streak);
    if (ping.role) json.text("role", to_string(*ping.role));
    if (ping.writable) json.truth("writable", *ping.writable);
    if (ping.lag_ms) json.number("lag_ms", *ping.lag_ms);
    if (ping.lag_bytes) json.number("lag_bytes", *ping.lag_bytes);
    if (ping.started_at) json.text("started_at", to_rfc3339(*ping.started_at));
    if (ping.crashed_at) json.text("crashed_at", to_rfc3339(*ping.crashed_at));
    json.truth("suspect", ping.suspect);
    return std::move(json).finish();
}

tl::expected<Ping, Refusal> decode_ping(std::string_view payload) {
    if (payload.size() > kMaxPayloadBytes) {
        return tl::unexpected(Refusal{Refusal::Cause::too_large, "payload over 64 KiB"});
    }
    auto reader = read_json<PingReader>(payload);
    if (!reader.finish())
        return tl::unexpected(reader.refusal.value_or(Refusal{Refusal::Cause::not_json, "not JSON"}));
    return std::move(reader.ping);
}

tl::expected<Ping, Refusal> decode_ping(std::string_view subject, std::string_view payload) {
    const auto parts = parse_ping_subject(subject);
    if (!parts) {
        return tl::unexpected(
            Refusal{Refusal::Cause::subject, "subject is not health.ping.<partition>.<worker>.<target>"});
    }
    auto ping = decode_ping(payload);
    if (!ping) return ping;
    if (ping->target != parts->target) {
        return tl::unexpected(Refusal{Refusal::Cause::subject, "field 'target' disagrees with the subject"});
    }
    if (ping->worker != parts->worker) {
        return tl::unexpected(Refusal{Refusal::Cause::subject, "field 'worker' disagrees with the subject"});
    }
    return ping;
}

}  // namespace pgpulse::contract
