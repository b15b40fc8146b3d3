#include "ctl/definition_store.hpp"

#include "common/contract/names.hpp"
#include "common/nats/bucket_writer.hpp"
#include "common/runtime/mailbox.hpp"
#include "ctl/bucket_snapshot.hpp"

#include <iterator>
#include <map>
#include <utility>

namespace pgpulse::ctl {
namespace {

/// So often another writer may come first.
constexpr int kMostRounds = 5;

}  // namespace

tl::expected<HeldDefinitions, std::string> DefinitionStore::read() {
    auto values = read_bucket_with_markers(connection_, contract::kTargetsBucket, timeout_);
    if (!values) return tl::unexpected(values.error());
    HeldDefinitions held;
    for (auto& [key, event] : *values) held[key] = {std::move(event.value), event.revision};
    return held;
}

DefinitionStore::Written DefinitionStore::write(std::vector<DefinitionChange> changes) {
    Written written;
    if (changes.empty()) return written;
    runtime::Mailbox<nats::WriteOutcome> outcomes;
    const auto writer = nats::BucketWriter::open(
        connection_, std::string{contract::kTargetsBucket},
        [&outcomes](nats::WriteOutcome outcome) { outcomes.post(std::move(outcome)); });
    if (!writer) {
        written.faults.push_back(writer.error().text);
        return written;
    }
    std::map<std::string, DefinitionChange> under_way;
    for (DefinitionChange& change : changes) {
        const auto sent = change.value.empty() ? (*writer)->remove(change.name, change.expected)
                                               : (*writer)->put(change.name, change.value, change.expected);
        if (sent)
            under_way.emplace(change.name, std::move(change));
        else
            written.faults.push_back(sent.error().text);
    }
    const auto deadline = std::chrono::steady_clock::now() + timeout_;
    std::vector<nats::WriteOutcome> batch;
    while (!under_way.empty() && std::chrono::steady_clock::now() < deadline) {
        outcomes.take_until(batch, deadline);
        for (nats::WriteOutcome& outcome : batch) {
            auto node = under_way.extract(outcome.key);
            if (node.empty()) continue;
            if (outcome.kind == nats::WriteOutcome::Kind::stored)
                written.stored.push_back(std::move(node.mapped()));
            else if (outcome.kind == nats::WriteOutcome::Kind::lost)
                written.overtaken.push_back(std::move(node.mapped()));
            else
                written.faults.push_back(std::move(outcome.text));
        }
    }
    for (const auto& [name, change] : under_way)
        written.faults.push_back("write " + name + ": no acknowledgement");
    return written;
}

tl::expected<DefinitionStore::Written, std::string> DefinitionStore::change(const Plan& plan) {
    Written all;
    for (int round = 1;; ++round) {
        const auto held = read();
        if (!held) return tl::unexpected(held.error());
        auto changes = plan(*held);
        if (!changes) return tl::unexpected(changes.error());
        Written written = write(std::move(*changes));
        std::ranges::move(written.stored, std::back_inserter(all.stored));
        std::ranges::move(written.faults, std::back_inserter(all.faults));
        if (written.overtaken.empty() || !all.faults.empty() || round == kMostRounds) {
            for (const DefinitionChange& change : written.overtaken)
                all.faults.push_back("write " + change.name + ": somebody else writes it all the time");
            return all;
        }
    }
}

}  // namespace pgpulse::ctl
