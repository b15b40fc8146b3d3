#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace pgpulse::ctl {

/// The escape sequence that colours a cell; "": none.
using Paint = std::function<const char*(std::size_t row, std::size_t column)>;

/// Rows of as many cells each as the first one, its columns aligned to the left, two blanks between them, a
/// line end after each row.
std::string text_table(const std::vector<std::vector<std::string>>& rows, const Paint& paint = {});

}  // namespace pgpulse::ctl
