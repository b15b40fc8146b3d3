#include "ctl/definitions.hpp"

#include "common/contract/targets_file.hpp"
#include "common/runtime/clock.hpp"
#include "common/runtime/targets_file.hpp"
#include "ctl/connect.hpp"
#include "ctl/definition_store.hpp"
#include "ctl/exit_codes.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <iostream>
#include <iterator>
#include <map>
#include <utility>

namespace pgpulse::ctl {
namespace {

using Definitions = std::vector<contract::TargetDefinition>;
using Kind = DefinitionChange::Kind;

int complain(const std::string& line, int code) {
    std::cerr << "pgpulse: " << line << '\n';
    return code;
}

tl::expected<Definitions, std::string> read_file(const std::string& file) {
    if (file != "-") return runtime::read_targets_file(file);
    const std::string text{std::istreambuf_iterator<char>{std::cin}, {}};
    return contract::parse_targets("standard input", text);
}

/// All targets of all files, each in one of them only. Error: one line.
tl::expected<Definitions, std::string> read_files(const std::vector<std::string>& files) {
    Definitions all;
    std::map<std::string, std::string> file_of;
    for (const std::string& file : files) {
        auto definitions = read_file(file);
        if (!definitions) return tl::unexpected(definitions.error());
        for (contract::TargetDefinition& definition : *definitions) {
            const auto [known, fresh] = file_of.emplace(definition.name, file);
            if (!fresh)
                return tl::unexpected(file + ": target '" + definition.name + "' is in " + known->second +
                                      " as well; expected it once");
            all.push_back(std::move(definition));
        }
    }
    return all;
}

/// Runs `use` on a connection; the exit code.
template <typename Use>
int with_store(const Options& options, const Use& use) {
    const auto connection = connect(options);
    if (!connection) return connection.error();
    DefinitionStore store{**connection, options.timeout};
    return use(store);
}

/// Says what was written, and what was not.
int tell(const DefinitionStore::Written& written) {
    std::vector<DefinitionChange> changes = written.stored;
    std::ranges::sort(changes, {}, &DefinitionChange::name);
    for (const DefinitionChange& change : changes) std::cout << in_words(change) << '\n';
    std::cout.flush();
    for (const std::string& fault : written.faults) std::cerr << "pgpulse: " << fault << '\n';
    return written.faults.empty() ? 0 : kUnreachable;
}

std::string sum_of(const std::vector<DefinitionChange>& changes, std::size_t unchanged) {
    std::array<std::size_t, 3> counts{};
    for (const DefinitionChange& change : changes) ++counts.at(static_cast<std::size_t>(change.kind));
    return std::to_string(counts[0]) + " created, " + std::to_string(counts[1]) + " changed, " +
           std::to_string(counts[2]) + " removed, " + std::to_string(unchanged) + " unchanged";
}

/// The names that have no definition, for the operator; empty: all have one.
std::string unknown_among(const std::vector<std::string>& names, const HeldDefinitions& held) {
    std::string unknown;
    for (const std::string& name : names) {
        const auto known = held.find(name);
        if (known != held.end() && !known->second.value.empty()) continue;
        unknown += (unknown.empty() ? "'" : ", '") + name + "'";
    }
    return unknown.empty() ? unknown : "no definition of " + unknown;
}

}  // namespace

int run_validate(const Options& options) {
    int code = 0;
    for (const std::string& file : options.files) {
        const auto definitions = read_file(file);
        if (definitions)
            std::cout << (file == "-" ? "standard input" : file) << ": " << definitions->size()
                      << " targets\n";
        else
            code = complain(definitions.error(), 2);
    }
    if (code != 0) return code;
    const auto all = options.files.size() == 1 ? Definitions{} : read_files(options.files);
    return all ? 0 : complain(all.error(), 2);
}

int run_apply(const Options& options) {
    // Nothing is sent before everything is read.
    const auto wanted = read_files(options.files);
    if (!wanted) return complain(wanted.error(), 2);
    if (options.prune && wanted->empty())
        return complain("--prune: expected a target in the files, or all would be removed", 2);
    return with_store(options, [&](DefinitionStore& store) {
        if (options.dry_run) {
            const auto held = store.read();
            if (!held) return complain(held.error(), kUnreachable);
            const DefinitionPlan plan = plan_apply(*wanted, *held, options.prune);
            for (const DefinitionChange& change : plan.changes) std::cout << in_words(change) << '\n';
            std::cout << sum_of(plan.changes, plan.unchanged) << " (dry run: nothing was written)\n";
            return 0;
        }
        std::size_t unchanged = 0;
        const auto written = store.change(
            [&](const HeldDefinitions& held) -> tl::expected<std::vector<DefinitionChange>, std::string> {
                DefinitionPlan plan = plan_apply(*wanted, held, options.prune);
                unchanged = plan.unchanged;
                return std::move(plan.changes);
            });
        if (!written) return complain(written.error(), kUnreachable);
        const int code = tell(*written);
        std::cout << sum_of(written->stored, unchanged) << '\n';
        return code;
    });
}

int run_get(const Options& options) {
    return with_store(options, [&](DefinitionStore& store) {
        const auto held = store.read();
        if (!held) return complain(held.error(), kUnreachable);
        int code = 0;
        if (const std::string unknown = unknown_among(options.targets, *held); !unknown.empty())
            code = complain(unknown, kNotFound);
        std::vector<contract::StoredDefinition> found;
        for (const auto& [name, known] : *held) {
            const bool asked =
                options.targets.empty() || std::ranges::find(options.targets, name) != options.targets.end();
            if (known.value.empty() || !asked) continue;
            auto stored = contract::decode_definition(name, known.value);
            if (!stored) {
                code = complain("bucket 'health_targets': " + stored.error(), kNotFound);
                continue;
            }
            if (options.json)
                std::cout << contract::encode(*stored) << '\n';
            else
                found.push_back(std::move(*stored));
        }
        if (!options.json) std::cout << as_targets_file(found) << '\n';
        return code;
    });
}

int run_delete(const Options& options) {
    return with_store(options, [&](DefinitionStore& store) {
        bool refused = false;
        bool first = true;
        const auto written = store.change(
            [&](const HeldDefinitions& held) -> tl::expected<std::vector<DefinitionChange>, std::string> {
                // What is gone at a second look is what was to become of it.
                const std::string unknown =
                    std::exchange(first, false) ? unknown_among(options.targets, held) : "";
                refused = !unknown.empty();
                if (refused) return tl::unexpected(unknown + ": nothing was deleted");
                std::vector<DefinitionChange> changes;
                for (const std::string& name : options.targets) {
                    const HeldDefinition& known = held.at(name);
                    if (!known.value.empty()) changes.push_back(plan_removal(name, known));
                }
                return changes;
            });
        if (!written) return complain(written.error(), refused ? kNotFound : kUnreachable);
        return tell(*written);
    });
}

int run_maintenance(const Options& options) {
    const std::string reason_key{kMaintenanceReason};
    nlohmann::json members{{"maintenance_until", nullptr}, {"meta", {{reason_key, nullptr}}}};
    if (options.maintenance_on) {
        const auto until = options.maintenance_until.value_or(runtime::wall_now() + options.maintenance_for);
        members["maintenance_until"] = contract::to_rfc3339(until);
        if (!options.maintenance_reason.empty()) members["meta"][reason_key] = options.maintenance_reason;
    }
    return with_store(options, [&](DefinitionStore& store) {
        bool refused = false;
        const auto written = store.change(
            [&](const HeldDefinitions& held) -> tl::expected<std::vector<DefinitionChange>, std::string> {
                const std::string unknown = unknown_among(options.targets, held);
                refused = !unknown.empty();
                if (refused) return tl::unexpected(unknown + ": nothing was changed");
                std::vector<DefinitionChange> changes;
                for (const std::string& name : options.targets) {
                    const auto stored = contract::decode_definition(name, held.at(name).value);
                    if (!stored) {
                        refused = true;
                        return tl::unexpected("bucket 'health_targets': " + stored.error());
                    }
                    DefinitionChange edit = plan_edit(name, held.at(name), members.dump());
                    if (const auto sound = contract::decode_definition(name, edit.value); !sound) {
                        refused = true;
                        return tl::unexpected(sound.error() + ": nothing was changed");
                    }
                    changes.push_back(std::move(edit));
                }
                std::erase_if(changes, [](const DefinitionChange& change) { return change.details.empty(); });
                return changes;
            });
        if (!written) return complain(written.error(), refused ? kNotFound : kUnreachable);
        return tell(*written);
    });
}

}  // namespace pgpulse::ctl
