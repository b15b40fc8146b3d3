#pragma once

#include "common/nats/connection.hpp"
#include "ctl/definition_plan.hpp"

#include <tl/expected.hpp>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace pgpulse::ctl {

/// The bucket `health_targets` as an operator's command reads and writes it.
class DefinitionStore {
  public:
    DefinitionStore(nats::Connection& connection, std::chrono::milliseconds timeout)
        : connection_(connection), timeout_(timeout) {}

    /// All of it, delete markers too. Error: one line.
    tl::expected<HeldDefinitions, std::string> read();

    struct Written {
        std::vector<DefinitionChange> stored;
        std::vector<DefinitionChange> overtaken;  // somebody else wrote the key since it was read
        std::vector<std::string> faults;          // what became of the others, a line each
    };
    /// Writes by compare-and-set, all at once, and waits for what became of each.
    Written write(std::vector<DefinitionChange> changes);

    /// What is to be written, by what the bucket holds. Error: one line for the operator.
    using Plan =
        std::function<tl::expected<std::vector<DefinitionChange>, std::string>(const HeldDefinitions&)>;
    /// Reads, plans and writes, and begins again where others wrote meanwhile. Error: nothing was written, and the line
    /// says why.
    tl::expected<Written, std::string> change(const Plan& plan);

  private:
    nats::Connection& connection_;
    std::chrono::milliseconds timeout_;
};

}  // namespace pgpulse::ctl
