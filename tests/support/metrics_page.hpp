#pragma once

#include <map>
#include <ostream>
#include <set>
#include <string>
#include <string_view>
#include <vector>

// docs/metrics.md as the tests read it, and what uses the metrics that it names.
namespace pgpulse::support {

/// What is known of one metric: its type, and the names of its labels.
struct MetricShape {
    std::string type;
    std::set<std::string> labels;

    bool operator==(const MetricShape&) const = default;

    friend void PrintTo(const MetricShape& shape, std::ostream* out) {
        *out << shape.type << '{';
        for (const std::string& label : shape.labels) *out << label << ' ';
        *out << '}';
    }
};
/// By the metric's name.
using MetricShapes = std::map<std::string, MetricShape>;

/// The metric that a sample belongs to: a histogram's samples have endings.
std::string metric_of(const std::string& sample, const MetricShapes& shapes);

/// What the page says that a program ("pgpulse-probe") has.
MetricShapes documented_metrics(const std::string& program);

/// What is wrong with PromQL, one line each: metrics and labels of pgpulse that are not on the page, and values of
/// labels that neither it nor docs/contract.md names. `recorded`: the names that recording rules make.
std::vector<std::string> unknown_names(std::string_view promql, const std::set<std::string>& recorded = {});

/// promtool, from PATH or from where scripts/promtool.sh puts it.
std::string promtool();

/// The text of a file of the repository, by its path from the root; throws std::runtime_error where there is none.
std::string repository_text(const std::string& path);

}  // namespace pgpulse::support
