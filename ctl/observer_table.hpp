#pragma once

#include "ctl/explanation.hpp"

#include <string>
#include <vector>

namespace pgpulse::ctl {

/// The observers by rank with what each found, a line each under a head line. `colours`: verdicts by ANSI
/// escapes.
std::string observer_table(const std::vector<Observer>& observers, bool colours);

}  // namespace pgpulse::ctl
