#include "ctl/text_table.hpp"

#include <algorithm>

namespace pgpulse::ctl {

std::string text_table(const std::vector<std::vector<std::string>>& rows, const Paint& paint) {
    if (rows.empty()) return {};
    std::vector<std::size_t> widths(rows.front().size());
    for (const auto& row : rows) {
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (std::size_t r = 0; r < rows.size(); ++r) {
        for (std::size_t i = 0; i < rows[r].size(); ++i) {
            const std::string colour = paint ? paint(r, i) : "";
            text += colour;
            text += rows[r][i];
            if (!colour.empty()) text += "\x1b[0m";
            if (i + 1 < rows[r].size()) text.append(widths[i] - rows[r][i].size() + 2, ' ');
        }
        text += '\n';
    }
    return text;
}

}  // namespace pgpulse::ctl
