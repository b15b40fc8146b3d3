#include "probe/connection_parameters.hpp"

#include <libpq-fe.h>

#include <cstdlib>

namespace pgpulse::probe {
namespace {

// libpq would take a password for the target out of ~/.pgpass and turn the ping into a login.
constexpr const char* kNoPassfile = "/nonexistent/.pgpass";

/// `text` as often as there are addresses, separated by commas.
std::string repeated(const std::string& text, std::size_t times) {
    std::string list;
    for (std::size_t i = 0; i < times; ++i) list += (i == 0 ? "" : ",") + text;
    return list;
}

}  // namespace

ConnectionParameters::ConnectionParameters(const contract::TargetDefinition& definition,
                                           const std::vector<std::string>& addresses) {
    add_endpoint(definition, addresses);
    add_login(definition);
    add("passfile", kNoPassfile);
    finish();
}

ConnectionParameters::ConnectionParameters(const contract::TargetDefinition& definition,
                                           const std::vector<std::string>& addresses,
                                           const Credentials& credentials) {
    add_endpoint(definition, addresses);
    if (credentials.service.empty()) {
        add_login(definition);
    } else {
        // libpq takes from a service what is not given otherwise.
        add("service", credentials.service);
        // Its sslmode may be any, whatever the definition says.
        may_reconnect_ = true;
    }
    if (!credentials.password.empty()) add("password", credentials.password.reveal());
    add("passfile", credentials.passfile.empty() ? kNoPassfile : credentials.passfile);
    finish();
}

void ConnectionParameters::add_endpoint(const contract::TargetDefinition& definition,
                                        const std::vector<std::string>& addresses) {
    std::string hostaddr;
    for (const std::string& address : addresses) hostaddr += (hostaddr.empty() ? "" : ",") + address;
    add("host", repeated(definition.address, addresses.size()));
    add("hostaddr", std::move(hostaddr));
    add("port", std::to_string(definition.port));
    add("application_name", "pgpulse");
    // Asking for GSS encryption would cost a round trip.
    add("gssencmode", "disable");
    if (!definition.sslrootcert.empty()) add("sslrootcert", definition.sslrootcert);
    if (!definition.sslcert.empty()) add("sslcert", definition.sslcert);
    if (!definition.sslkey.empty()) add("sslkey", definition.sslkey);
    may_reconnect_ = addresses.size() > 1 || definition.sslmode == contract::SslMode::allow ||
                     definition.sslmode == contract::SslMode::prefer;
}

void ConnectionParameters::add_login(const contract::TargetDefinition& definition) {
    add("user", definition.user);
    add("dbname", definition.database);
    add("sslmode", std::string{to_string(definition.sslmode)});
}

void ConnectionParameters::finish() {
    keywords_.push_back(nullptr);
    values_.push_back(nullptr);
}

void ConnectionParameters::add(const char* keyword, std::string value) {
    texts_.push_back(std::make_unique<std::string>(std::move(value)));
    keywords_.push_back(keyword);
    values_.push_back(texts_.back()->c_str());
}

void clear_libpq_environment() {
    // With a service that is not found there would be no table of options.
    unsetenv("PGSERVICE");
    PQconninfoOption* const options = PQconndefaults();
    for (const PQconninfoOption* option = options; option != nullptr && option->keyword != nullptr;
         ++option) {
        if (option->envvar != nullptr) unsetenv(option->envvar);
    }
    PQconninfoFree(options);
    // Read elsewhere than in the table of options.
    for (const char* variable :
         {"PGREQUIRESSL", "PGLOCALEDIR", "PGDATESTYLE", "PGTZ", "PGGEQO", "PGCLIENTENCODING"})
        unsetenv(variable);
}

}  // namespace pgpulse::probe
