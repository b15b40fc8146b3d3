#include "ctl/explain.hpp"

#include "common/contract/json_text.hpp"
#include "ctl/connect.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/explanation.hpp"
#include "ctl/observer_table.hpp"
#include "ctl/state_table.hpp"
#include "ctl/target_view.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <iostream>

namespace pgpulse::ctl {
namespace {

using nlohmann::ordered_json;

constexpr int kNotAllAccepting = 1;

tl::expected<TargetFacts, int> look(const Options& options) {
    const auto connection = connect(options);
    if (!connection) return tl::unexpected(connection.error());
    auto facts = view_target(**connection, options.targets.front(), options.timeout);
    if (facts) return std::move(*facts);
    std::cerr << "pgpulse: " << facts.error().line << '\n';
    return tl::unexpected(facts.error().exit_code);
}

std::string listed(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
    return text;
}

std::string headline(const TargetFacts& facts, bool colours) {
    const contract::TargetDefinition& definition = facts.stored.definition;
    std::string text = definition.name + "  ";
    if (facts.state) {
        const contract::State& state = *facts.state;
        const std::string word{to_string(state.state)};
        text += colours ? colour_of(state.state) + word + "\x1b[0m" : word;
        text += " since " + contract::to_rfc3339(state.since) + ": " + std::string{in_words(state.reason)};
        if (state.role) text += ", " + std::string{to_string(*state.role)};
        if (state.maintenance) text += ", under maintenance";
        text += "\n  transition " + std::to_string(state.transition) + ", decided by " + state.decided_by +
                " at " + contract::to_rfc3339(state.decided_at);
    } else {
        text += "has no state yet";
    }
    text += "\n  " + definition.address + ":" + std::to_string(definition.port) + ", mode " +
            std::string{to_string(definition.mode)} + ", every " +
            std::to_string(definition.interval.count()) + " ms, " + std::to_string(definition.observers) +
            " observers, quorum " +
            (definition.quorum ? std::to_string(*definition.quorum) : std::string{"a majority"}) +
            ", written by " +
            (facts.stored.written_by == contract::WrittenBy::file ? "a targets file" : "an operator");
    return text + "\n";
}

void print_section(const char* title, const std::vector<std::string>& lines) {
    std::cout << '\n' << title << '\n';
    for (const std::string& line : lines) std::cout << "  " << line << '\n';
}

void print_text(const TargetFacts& facts) {
    std::cout << headline(facts, colours_wanted()) << '\n'
              << observer_table(facts.observers, colours_wanted());
    const RuleShown rule = deciding_rule(facts);
    print_section("RULE ON WHAT THEY SAY NOW", {rule.name + ": " + rule.ruling, rule.because});
    print_section("DECIDED BY", {facts.aggregators.empty() ? "nobody: no aggregator serves"
                                                           : "aggregator " + listed(facts.aggregators)});
    print_section("WHAT WOULD CHANGE IT", what_would_change_it(facts));
    print_section("CONSUL", as_consul_shows_it(facts));
}

ordered_json observers_as_json(const TargetFacts& facts) {
    ordered_json observers = ordered_json::array();
    for (const Observer& observer : facts.observers) {
        ordered_json one{{"worker", observer.worker}};
        if (observer.ping) {
            one["age_ms"] = observer.age.count();
            one["ping"] = ordered_json::parse(contract::encode(*observer.ping));
        }
        observers.push_back(std::move(one));
    }
    return observers;
}

void print_json(const TargetFacts& facts) {
    const RuleShown rule = deciding_rule(facts);
    ordered_json all{{"target", facts.stored.definition.name},
                     {"definition", ordered_json::parse(contract::encode(facts.stored))},
                     {"state", nullptr},
                     {"observers", observers_as_json(facts)},
                     {"rule", {{"name", rule.name}, {"ruling", rule.ruling}, {"because", rule.because}}},
                     {"aggregators", facts.aggregators},
                     {"would_change", what_would_change_it(facts)},
                     {"consul", as_consul_shows_it(facts)},
                     {"bridge", nullptr}};
    if (facts.state) all["state"] = ordered_json::parse(contract::encode(*facts.state));
    if (!facts.bridge.empty()) all["bridge"] = facts.bridge;
    std::cout << all.dump(-1, ' ', false, ordered_json::error_handler_t::replace) << '\n';
}

}  // namespace

int run_explain(const Options& options) {
    const auto facts = look(options);
    if (!facts) return facts.error();
    if (options.json)
        print_json(*facts);
    else
        print_text(*facts);
    std::cout.flush();
    return 0;
}

int run_check(const Options& options) {
    const auto facts = look(options);
    if (!facts) return facts.error();
    if (facts->observers.empty()) {
        std::cerr << "pgpulse: nobody observes '" << options.targets.front() << "': no probe worker serves\n";
        return kNotAllAccepting;
    }
    if (options.json)
        std::cout << observers_as_json(*facts).dump(-1, ' ', false, ordered_json::error_handler_t::replace)
                  << '\n';
    else
        std::cout << observer_table(facts->observers, colours_wanted());
    std::cout.flush();
    const bool all = std::ranges::all_of(facts->observers, [](const Observer& observer) {
        return observer.ping && observer.ping->verdict == contract::Verdict::accepting;
    });
    return all ? 0 : kNotAllAccepting;
}

}  // namespace pgpulse::ctl
