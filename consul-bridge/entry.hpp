#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

// The objects of which Consul's answers are lists, one at a time: a document tree of all of them takes ten times the memory
// of the answer. Pure.
namespace pgpulse::consul_bridge {

/// The members of one object, as far as Consul's are: texts, whole numbers, lists of texts and maps of texts. What is
/// absent is empty or 0, as is what Consul writes `null` for.
class Entry {
  public:
    [[nodiscard]] const std::string& text(std::string_view name) const;
    [[nodiscard]] std::uint64_t number(std::string_view name) const;
    [[nodiscard]] std::vector<std::string> list(std::string_view name) const;
    [[nodiscard]] std::map<std::string, std::string> map(std::string_view name) const;

  private:
    friend class EntryReader;

    struct Member {
        std::string name;
        std::string text;
        std::uint64_t number = 0;
        std::vector<std::string> list;
        std::map<std::string, std::string> map;
    };

    [[nodiscard]] const Member& member(std::string_view name) const;

    std::vector<Member> members_;  // of which the first `used_` count: their memory serves the next entry
    std::size_t used_ = 0;
};

/// Calls `take` with each object of a list of objects. False where the text is not such a list; what came before the
/// fault was taken. What is no object in it is passed over.
bool for_each_entry(std::string_view list, const std::function<void(const Entry&)>& take);

/// Calls `take` with each result of a transaction's answer and its kind: "KV", "Node", "Service" or "Check". False where
/// the text is no such answer. Null stands for no results.
bool for_each_result(std::string_view answer,
                     const std::function<void(std::string_view kind, const Entry&)>& take);

}  // namespace pgpulse::consul_bridge
