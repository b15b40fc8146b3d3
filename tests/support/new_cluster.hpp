#pragma once

#include <filesystem>
#include <string>

namespace pgpulse::support {

/// What `initdb` is asked for. The superuser is `postgres`.
struct NewCluster {
    std::filesystem::path programs;  // the folder of initdb
    std::string auth;                // of all connections: "trust" or "scram-sha-256"
    std::string password;            // of the superuser
    std::string user;                // who runs it and whose files they are; empty: this process's
};

/// Makes `data`, an empty folder, a new data folder of PostgreSQL. initdb runs once for each kind of cluster and build, and its
/// outcome is copied: all of them share the system identifier. Throws std::runtime_error with initdb's words.
void make_cluster(const NewCluster& cluster, const std::filesystem::path& data);

}  // namespace pgpulse::support
