#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace pgpulse::aggregator {

/// Holds texts most of which end alike, as the definitions of a fleet do: the end that they have in common is held once.
/// Pure.
class AlikeTexts {
  public:
    /// So many different endings are held, for as long as this is.
    static constexpr std::size_t kMostModels = 16;

    /// A text that is held, of use while its AlikeTexts is.
    class Text {
      public:
        Text() = default;
        [[nodiscard]] bool empty() const { return begin_.empty() && end_length_ == 0; }
        [[nodiscard]] std::string whole() const;
        [[nodiscard]] bool operator==(std::string_view text) const;

      private:
        friend class AlikeTexts;
        Text(std::string_view begin, const std::string* model, std::size_t end_length)
            : begin_(begin), model_(model), end_length_(end_length) {}
        [[nodiscard]] std::string_view end() const;

        std::string begin_;
        const std::string* model_ = nullptr;  // ends like the text
        std::size_t end_length_ = 0;          // bytes
    };

    AlikeTexts() = default;
    AlikeTexts(const AlikeTexts&) = delete;
    AlikeTexts& operator=(const AlikeTexts&) = delete;

    Text hold(std::string_view text);

  private:
    std::deque<std::string> models_;
};

}  // namespace pgpulse::aggregator
