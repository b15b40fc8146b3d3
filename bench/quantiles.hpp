#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

namespace pgpulse::bench {

/// The smallest value that this share of them does not exceed. There is at least one.
inline double quantile(std::vector<double> values, double share) {
    std::ranges::sort(values);
    const double rank = std::max(1.0, std::ceil(share * static_cast<double>(values.size())));
    return values[static_cast<std::size_t>(rank) - 1];
}

/// Prints "<what> <p50> <p99> <max>", which is what the scripts read.
inline void print_quantiles(const char* what, const std::vector<double>& values) {
    std::printf("%s %.2f %.2f %.2f\n", what, quantile(values, 0.5), quantile(values, 0.99),
                quantile(values, 1));
}

}  // namespace pgpulse::bench
