#include "common/contract/plain_definition.hpp"

#include "common/contract/definition_rules.hpp"
#include "common/contract/due_name.hpp"
#include "common/contract/names.hpp"
#include "common/contract/plain_json.hpp"

#include <array>

namespace pgpulse::contract {
namespace {

/// In the order in which `encode` writes them.
constexpr std::array<std::string_view, 26> kDefinitionKeys{"v",
                                                           "name",
                                                           "address",
                                                           "port",
                                                           "service",
                                                           "user",
                                                           "database",
                                                           "mode",
                                                           "sslmode",
                                                           "sslrootcert",
                                                           "sslcert",
                                                           "sslkey",
                                                           "credentials",
                                                           "interval_ms",
                                                           "timeout_ms",
                                                           "fast_interval_ms",
                                                           "rise",
                                                           "fall",
                                                           "observers",
                                                           "quorum",
                                                           "listener_interval_ms",
                                                           "expect_role",
                                                           "tags",
                                                           "meta",
                                                           "maintenance_until",
                                                           "written_by"};
constexpr std::size_t kTags = 22;
constexpr std::size_t kMeta = 23;
static_assert(kDefinitionKeys[kTags] == "tags" && kDefinitionKeys[kMeta] == "meta");

/// The values of a definition's keys, which point into the document. Hears no more than it can hold: another value
/// under a known key than a definition may have there is left to who can tell what it is.
class DefinitionFields final : public JsonEvents {
  public:
    struct Value {
        enum class Kind : std::uint8_t { absent, null, text, number, strings, pairs };
        Kind kind = Kind::absent;
        std::string_view characters;
        std::int64_t count = 0;
        const DefinitionFields* fields = nullptr;

        [[nodiscard]] bool is_null() const { return kind == Kind::null; }
        [[nodiscard]] std::optional<std::string_view> text() const {
            return kind == Kind::text ? std::optional{characters} : std::nullopt;
        }
        [[nodiscard]] std::optional<std::int64_t> integer() const {
            return kind == Kind::number ? std::optional{count} : std::nullopt;
        }
        [[nodiscard]] std::optional<std::vector<std::string>> strings() const {
            return kind == Kind::strings ? std::optional{fields->tags_} : std::nullopt;
        }
        [[nodiscard]] std::optional<std::map<std::string, std::string>> pairs() const {
            return kind == Kind::pairs ? std::optional{fields->meta_} : std::nullopt;
        }
        static std::string words() { return {}; }
    };

    [[nodiscard]] std::optional<Value> find(std::string_view key) const {
        const std::size_t index = index_of_name(kDefinitionKeys, key, asked_);
        if (index == kDefinitionKeys.size() || values_.at(index).kind == Value::Kind::absent)
            return std::nullopt;
        asked_ = index + 1;
        return values_.at(index);
    }
    static std::string words_of(std::string_view) { return {}; }

    bool null() override { return other() || (depth_ == 1 && put({Value::Kind::null, {}, 0, this})); }
    bool boolean(bool) override { return other(); }
    bool whole_number(std::uint64_t value) override {
        return other() ||
               (depth_ == 1 && put({Value::Kind::number, {}, static_cast<std::int64_t>(value), this}));
    }
    bool negative_number(std::int64_t) override { return other(); }
    bool fraction() override { return other(); }
    bool text(std::string_view value) override {
        if (other()) return true;
        if (depth_ == 1) return put({Value::Kind::text, value, 0, this});
        if (field_ == kTags)
            tags_.emplace_back(value);
        else
            meta_.insert_or_assign(std::string{pair_}, std::string{value});
        return true;
    }
    bool start_object() override {
        if (depth_++ == 0 || other()) return true;
        meta_.clear();
        return depth_ == 2 && field_ == kMeta && put({Value::Kind::pairs, {}, 0, this});
    }
    bool start_array() override {
        if (depth_++ == 0) return false;
        if (other()) return true;
        tags_.clear();
        return depth_ == 2 && field_ == kTags && put({Value::Kind::strings, {}, 0, this});
    }
    bool end_object() override {
        --depth_;
        return true;
    }
    bool end_array() override { return end_object(); }
    bool name(std::string_view name) override {
        if (depth_ == 2) pair_ = name;
        if (depth_ != 1) return true;
        field_ = index_of_name(kDefinitionKeys, name, due_);
        if (!other()) due_ = field_ + 1;
        return true;
    }
    void no_json() override {}

  private:
    std::array<Value, kDefinitionKeys.size()> values_;
    std::vector<std::string> tags_;
    std::map<std::string, std::string> meta_;
    std::size_t field_ = 0;
    std::size_t due_ = 0;
    mutable std::size_t asked_ = 0;
    std::string_view pair_;
    int depth_ = 0;

    /// Of a key that is none of a definition's.
    [[nodiscard]] bool other() const { return depth_ > 0 && field_ == kDefinitionKeys.size(); }
    bool put(const Value& value) {
        if (!other()) values_.at(field_) = value;
        return true;
    }
};

}  // namespace

std::optional<StoredDefinition> decode_plain_definition(std::string_view name, std::string_view value) {
    DefinitionFields fields;
    using Plain = PlainJson<DefinitionFields>;
    if (Plain{value, fields}.read() != Plain::Outcome::read) return std::nullopt;
    if (const auto v = fields.find("v"); v && v->integer() != kVersion) return std::nullopt;
    DefinitionRules rules{fields, name};
    StoredDefinition stored{rules.read(), WrittenBy::operator_};
    if (!rules.error().empty() || stored.definition.name != name) return std::nullopt;
    if (const auto writer = fields.find("written_by"); writer && writer->text() == "file")
        stored.written_by = WrittenBy::file;
    return stored;
}

}  // namespace pgpulse::contract
