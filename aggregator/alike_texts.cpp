#include "aggregator/alike_texts.hpp"

#include <algorithm>

namespace pgpulse::aggregator {
namespace {

/// In bytes.
std::size_t common_end(std::string_view one, std::string_view other) {
    const auto [end, other_end] = std::mismatch(one.rbegin(), one.rend(), other.rbegin(), other.rend());
    return static_cast<std::size_t>(end - one.rbegin());
}

}  // namespace

std::string_view AlikeTexts::Text::end() const {
    return model_ == nullptr ? std::string_view{}
                             : std::string_view{*model_}.substr(model_->size() - end_length_);
}

std::string AlikeTexts::Text::whole() const { return std::string{begin()}.append(end()); }

bool AlikeTexts::Text::operator==(std::string_view text) const {
    return text.size() == std::size_t{begin_length_} + end_length_ && text.starts_with(begin()) &&
           text.ends_with(end());
}

AlikeTexts::Text AlikeTexts::hold(std::string_view text) {
    const std::string* nearest = nullptr;
    std::size_t common = 0;
    for (const std::string& model : models_) {
        const std::size_t length = common_end(text, model);
        if (length > common) {
            nearest = &model;
            common = length;
        }
    }
    // A text that has less in common with all of them may be the first of many.
    if (2 * common < text.size() && models_.size() < kMostModels) {
        nearest = &models_.emplace_back(text);
        common = text.size();
    }
    return {text.substr(0, text.size() - common), nearest, common};
}

}  // namespace pgpulse::aggregator
