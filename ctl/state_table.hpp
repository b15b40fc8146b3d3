#pragma once

#include "common/contract/state.hpp"

#include <string>
#include <vector>

namespace pgpulse::ctl {

/// The states as a table with a head line, one line a target, columns as wide as they need to be. `colours`:
/// the state's word in green, red or yellow by ANSI escapes.
std::string state_table(const std::vector<contract::State>& states, bool colours);

/// "2/3": of three voters two hold the opinion the state stands for.
std::string observers_of(const contract::State& state);

/// The escape sequence of a state's colour.
const char* colour_of(contract::Health state);

/// True when colours help: standard output is a terminal and NO_COLOR (https://no-color.org) is not set.
bool colours_wanted();

}  // namespace pgpulse::ctl
