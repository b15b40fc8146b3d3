#pragma once

#include "common/contract/target.hpp"
#include "probe/credentials.hpp"

#include <memory>
#include <string>
#include <vector>

namespace pgpulse::probe {

/// What PQconnectStartParams takes to ping one target at known addresses: built once per definition and set
/// of addresses, used by every ping.
class ConnectionParameters {
  public:
    /// `addresses` are numeric; libpq tries them in this order. At least one.
    ConnectionParameters(const contract::TargetDefinition& definition,
                         const std::vector<std::string>& addresses);

    /// Those of a login. A service file's section stands for the definition's user, database and sslmode.
    ConnectionParameters(const contract::TargetDefinition& definition,
                         const std::vector<std::string>& addresses, const Credentials& credentials);

    [[nodiscard]] const char* const* keywords() const { return keywords_.data(); }
    [[nodiscard]] const char* const* values() const { return values_.data(); }

    /// libpq may close its socket and open another one within one attempt: several addresses, or a second try
    /// with or without TLS.
    [[nodiscard]] bool may_reconnect() const { return may_reconnect_; }

  private:
    void add_endpoint(const contract::TargetDefinition& definition,
                      const std::vector<std::string>& addresses);
    void add_login(const contract::TargetDefinition& definition);
    void finish();
    void add(const char* keyword, std::string value);

    std::vector<std::unique_ptr<std::string>> texts_;  // their addresses outlive moves of this object
    std::vector<const char*> keywords_;
    std::vector<const char*> values_;
    bool may_reconnect_ = false;
};

/// Takes every variable that libpq reads (PGHOST, PGPASSWORD, PGSSLMODE, ...) out of the environment: a ping
/// is made of its target's definition alone. What names a connection service file stays: only `service:`
/// reads one. To be called before threads are started.
void clear_libpq_environment();

}  // namespace pgpulse::probe
