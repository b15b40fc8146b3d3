#pragma once

#include "tests/support/consul_agent.hpp"

#include <string>

namespace pgpulse::support {

/// Options of a Consul with ACLs on that denies whatever is not allowed; the fixture's own token may do all.
ConsulAgentOptions denying_by_default();

/// A token with one policy of its own, both made by a fixture that may do all.
class ConsulToken {
  public:
    /// `rules` in HCL. Throws std::runtime_error where Consul does not take them.
    ConsulToken(const ConsulAgent& consul, const std::string& rules);

    [[nodiscard]] const std::string& secret() const { return secret_; }
    /// The policy's rules are these from now on, as far as this server is concerned.
    void allow(const std::string& rules);

  private:
    const ConsulAgent& consul_;
    std::string policy_;  // its id
    std::string name_;
    std::string secret_;
};

}  // namespace pgpulse::support
