#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
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
        [[nodiscard]] bool empty() const { return begin_length_ == 0 && end_length_ == 0; }
        [[nodiscard]] std::string whole() const;
        [[nodiscard]] bool operator==(std::string_view text) const;

      private:
        friend class AlikeTexts;
        Text(std::string_view begin, const std::string* model, std::size_t end_length)
            : begin_(begin.empty() ? nullptr : std::make_unique_for_overwrite<char[]>(begin.size())),
              model_(model),
              begin_length_(static_cast<std::uint32_t>(begin.size())),
              end_length_(static_cast<std::uint32_t>(end_length)) {
            std::ranges::copy(begin, begin_.get());
        }
        [[nodiscard]] std::string_view begin() const { return {begin_.get(), begin_length_}; }
        [[nodiscard]] std::string_view end() const;

        std::unique_ptr<char[]> begin_;
        const std::string* model_ = nullptr;  // ends like the text
        std::uint32_t begin_length_ = 0;      // bytes
        std::uint32_t end_length_ = 0;        // bytes
    };

    AlikeTexts() = default;
    AlikeTexts(const AlikeTexts&) = delete;
    AlikeTexts& operator=(const AlikeTexts&) = delete;

    /// `text`: less than 4 GiB.
    Text hold(std::string_view text);

  private:
    std::deque<std::string> models_;
};

}  // namespace pgpulse::aggregator
