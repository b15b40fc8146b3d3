#include "tests/support/metrics_page.hpp"

#include "tests/support/folders.hpp"
#include "tests/support/process.hpp"

#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <sstream>
#include <stdexcept>

namespace pgpulse::support {
namespace {

/// What Prometheus and its configuration add to every series, and what alerts have.
const std::set<std::string> kLabelsOfAll{"job", "instance", "installation", "alertname", "severity"};
/// Its values are the operator's.
constexpr std::string_view kFreeLabel = "endpoint";

std::vector<std::smatch> matches(const std::string& text, const std::regex& pattern) {
    return {std::sregex_iterator{text.begin(), text.end(), pattern}, std::sregex_iterator{}};
}

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream{text};
    for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
    return parts;
}

const MetricShapes& all_documented() {
    static const MetricShapes all = [] {
        MetricShapes shapes;
        for (const char* program : {"pgpulse-probe", "pgpulse-aggregator", "pgpulse-consul-bridge"})
            shapes.merge(documented_metrics(program));
        return shapes;
    }();
    return all;
}

/// The labels that samples of this name have; nullopt where there is no such metric.
std::optional<std::set<std::string>> labels_of(const std::string& sample,
                                               const std::set<std::string>& recorded) {
    std::set<std::string> labels = kLabelsOfAll;
    if (recorded.contains(sample)) {
        labels.insert("state");
        return labels;
    }
    const auto shape = all_documented().find(metric_of(sample, all_documented()));
    if (shape == all_documented().end()) return std::nullopt;
    if ((shape->second.type == "histogram") == (shape->first == sample)) return std::nullopt;
    labels.insert(shape->second.labels.begin(), shape->second.labels.end());
    if (sample.ends_with("_bucket")) labels.insert("le");
    return labels;
}

bool is_documented_value(const std::string& value) {
    static const std::string pages = repository_text("docs/metrics.md") + repository_text("docs/contract.md");
    return pages.find('`' + value + '`') != std::string::npos;
}

/// What is wrong with `label="value"` of a metric that has these labels.
void check_matcher(const std::smatch& matcher, const std::string& sample, const std::set<std::string>& labels,
                   std::vector<std::string>& faults) {
    const std::string label = matcher[1];
    if (!labels.contains(label)) {
        faults.push_back(sample + " has no label " + label);
        return;
    }
    if (kLabelsOfAll.contains(label) || label == kFreeLabel || label == "le") return;
    for (const std::string& value : split(matcher[3], '|')) {
        if (is_documented_value(value)) continue;
        std::string fault = sample;
        faults.push_back(fault.append(": no page names `").append(value).append("` of ").append(label));
    }
}

}  // namespace

std::string metric_of(const std::string& sample, const MetricShapes& shapes) {
    for (const char* ending : {"_bucket", "_sum", "_count"}) {
        if (!sample.ends_with(ending)) continue;
        const std::string name = sample.substr(0, sample.size() - std::string_view{ending}.size());
        if (shapes.contains(name)) return name;
    }
    return sample;
}

/// Rows of a table, | `name` | type | `label`, `label` | meaning |.
MetricShapes documented_metrics(const std::string& program) {
    static const std::regex kRow{R"(\| `(\w+)` \| (counter|gauge|histogram) \|([^|]*)\| [^|]+ \|)"};
    static const std::regex kLabel{"`(\\w+)`"};
    std::istringstream page{repository_text("docs/metrics.md")};
    MetricShapes shapes;
    bool of_program = false;
    for (std::string line; std::getline(page, line);) {
        if (line.starts_with("## ")) of_program = line == "## " + program;
        std::smatch match;
        if (!of_program || !std::regex_match(line, match, kRow)) continue;
        MetricShape& shape = shapes[match[1]];
        shape.type = match[2];
        const std::string labels = match[3];
        for (const std::smatch& label : matches(labels, kLabel)) shape.labels.insert(label[1]);
    }
    return shapes;
}

std::vector<std::string> unknown_names(std::string_view promql, const std::set<std::string>& recorded) {
    static const std::regex kSample{R"re(([\w:]*pgpulse_[\w:]*|process_\w+)(\{[^}]*\})?)re"};
    static const std::regex kMatcher{R"re((\w+)\s*(=~|!~|!=|=)\s*"([^"]*)")re"};
    static const std::regex kGrouping{R"(\b(?:by|without|on|ignoring)\s*\(([^)]*)\))"};
    static const std::regex kWord{R"(\w+)"};
    const std::string text{promql};
    std::vector<std::string> faults;
    std::set<std::string> known = kLabelsOfAll;
    known.insert("le");
    for (const std::smatch& found : matches(text, kSample)) {
        const std::string sample = found[1];
        const auto labels = labels_of(sample, recorded);
        if (!labels) {
            faults.push_back("there is no sample " + sample);
            continue;
        }
        known.insert(labels->begin(), labels->end());
        const std::string selector = found[2];
        for (const std::smatch& matcher : matches(selector, kMatcher))
            check_matcher(matcher, sample, *labels, faults);
    }
    for (const std::smatch& grouping : matches(text, kGrouping)) {
        const std::string labels = grouping[1];
        for (const std::smatch& label : matches(labels, kWord)) {
            if (!known.contains(label[0])) faults.push_back("nothing has a label " + label.str());
        }
    }
    return faults;
}

std::string promtool() {
    if (const auto found = find_program("promtool")) return found->string();
    return source_folder() / "build" / "tools" / "promtool";
}

std::string repository_text(const std::string& path) {
    const std::ifstream file{source_folder() / path};
    if (!file) throw std::runtime_error{path + ": no such file"};
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

}  // namespace pgpulse::support
