#include "ctl/state_filter.hpp"

#include <algorithm>

namespace pgpulse::ctl {
namespace {

template <typename T>
bool empty_or_has(const std::vector<T>& list, const T& item) {
    return list.empty() || std::ranges::find(list, item) != list.end();
}

}  // namespace

bool StateFilter::takes_target(const std::string& target) const { return empty_or_has(targets, target); }

bool StateFilter::takes(const contract::State& state, const contract::TargetDefinition* definition) const {
    if (!takes_target(state.target) || !empty_or_has(states, state.state)) return false;
    if (!by_definition()) return true;
    return definition != nullptr && empty_or_has(services, definition->service) &&
           std::ranges::all_of(tags, [definition](const std::string& tag) {
               return std::ranges::find(definition->tags, tag) != definition->tags.end();
           });
}

}  // namespace pgpulse::ctl
