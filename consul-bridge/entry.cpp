#include "consul-bridge/entry.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace pgpulse::consul_bridge {

const Entry::Member& Entry::member(std::string_view name) const {
    static const Member absent;
    const auto end = members_.begin() + static_cast<std::ptrdiff_t>(used_);
    const auto it = std::find_if(members_.begin(), end, [name](const Member& m) { return m.name == name; });
    return it == end ? absent : *it;
}

const std::string& Entry::text(std::string_view name) const { return member(name).text; }
std::uint64_t Entry::number(std::string_view name) const { return member(name).number; }
std::vector<std::string> Entry::list(std::string_view name) const { return member(name).list; }
std::map<std::string, std::string> Entry::map(std::string_view name) const { return member(name).map; }

/// Fills one entry after the other from the parser's events. Depth counts the objects and lists that are open.
class EntryReader final : public nlohmann::json_sax<nlohmann::json> {
  public:
    enum class Form { list, results };

    EntryReader(Form form, const std::function<void(std::string_view, const Entry&)>& take)
        : form_(form), entry_depth_(form == Form::list ? 2 : 4), take_(take) {}

    /// That the text was of the form, once it is parsed.
    [[nodiscard]] bool well_formed() const { return form_ == Form::list || has_results_; }

    bool null() override { return value(); }
    bool boolean(bool) override { return value(); }
    bool number_integer(number_integer_t) override { return value(); }
    bool number_float(number_float_t, const string_t&) override { return value(); }
    bool binary(binary_t&) override { return value(); }

    bool number_unsigned(number_unsigned_t number) override {
        if (in_entry_ && depth_ == entry_depth_) member().number = number;
        return value();
    }

    bool string(string_t& text) override {
        if (in_entry_ && depth_ == entry_depth_) {
            member().text = std::move(text);
        } else if (in_entry_ && depth_ == entry_depth_ + 1) {
            if (in_list_) {
                member().list.push_back(std::move(text));
            } else {
                member().map[inner_key_] = std::move(text);
            }
        }
        return value();
    }

    bool start_object(std::size_t) override {
        if (depth_ == 0 && form_ == Form::list) return false;
        ++depth_;
        if (depth_ == entry_depth_ + 1) in_list_ = false;
        if (depth_ == entry_depth_ && (form_ == Form::list || in_results_)) {
            in_entry_ = true;
            entry_.used_ = 0;
        }
        return true;
    }

    bool end_object() override {
        if (in_entry_ && depth_ == entry_depth_) {
            in_entry_ = false;
            take_(kind_, entry_);
        }
        --depth_;
        return true;
    }

    bool start_array(std::size_t) override {
        if (depth_ == 0 && form_ == Form::results) return false;
        ++depth_;
        if (depth_ == entry_depth_ + 1) in_list_ = true;
        return true;
    }

    bool end_array() override {
        --depth_;
        return true;
    }

    bool key(string_t& name) override {
        if (in_entry_) {
            if (depth_ == entry_depth_) {
                begin_member(name);
            } else if (depth_ == entry_depth_ + 1) {
                inner_key_ = std::move(name);
            }
        } else if (form_ == Form::results && depth_ == 1) {
            in_results_ = name == "Results";
            has_results_ = has_results_ || in_results_;
        } else if (form_ == Form::results && depth_ == 3) {
            kind_ = std::move(name);
        }
        return true;
    }

    bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
        return false;
    }

  private:
    /// A value that stands where the list or the answer should is no entry's.
    [[nodiscard]] bool value() const { return depth_ > 0; }

    Entry::Member& member() { return entry_.members_[entry_.used_ - 1]; }

    void begin_member(string_t& name) {
        if (entry_.used_ == entry_.members_.size()) entry_.members_.emplace_back();
        ++entry_.used_;
        Entry::Member& begun = member();
        begun.name = std::move(name);
        begun.text.clear();
        begun.number = 0;
        begun.list.clear();
        begun.map.clear();
    }

    Form form_;
    int entry_depth_;
    const std::function<void(std::string_view, const Entry&)>& take_;
    int depth_ = 0;
    bool in_entry_ = false;
    bool in_list_ = false;  // what is open in the entry
    bool in_results_ = false;
    bool has_results_ = false;
    std::string kind_;
    std::string inner_key_;
    Entry entry_;
};

namespace {

bool read(std::string_view text, EntryReader& reader) {
    return nlohmann::json::sax_parse(text.begin(), text.end(), &reader) && reader.well_formed();
}

}  // namespace

bool for_each_entry(std::string_view list, const std::function<void(const Entry&)>& take) {
    const std::function<void(std::string_view, const Entry&)> take_any =
        [&take](std::string_view, const Entry& entry) { take(entry); };
    EntryReader reader{EntryReader::Form::list, take_any};
    return read(list, reader);
}

bool for_each_result(std::string_view answer,
                     const std::function<void(std::string_view, const Entry&)>& take) {
    EntryReader reader{EntryReader::Form::results, take};
    return read(answer, reader);
}

}  // namespace pgpulse::consul_bridge
