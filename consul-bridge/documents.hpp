#pragma once

#include "common/contract/wall_time.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

// What Consul holds for a target: a node, a service instance, checks and a KV value.
namespace pgpulse::consul_bridge {

/// Where a KV value comes from: the revision of the bucket `health`, and when that bucket's stream was
/// created. Revisions of different epochs cannot be compared.
struct Stamp {
    contract::WallTime epoch{};
    std::uint64_t revision = 0;

    bool operator==(const Stamp&) const = default;
};

struct Node {
    std::string address;
    std::map<std::string, std::string> meta;

    bool operator==(const Node&) const = default;
};

/// The instance's id is the target's name.
struct Service {
    std::string name;
    std::string address;
    std::uint16_t port = 0;
    std::vector<std::string> tags;
    std::map<std::string, std::string> meta;

    bool operator==(const Service&) const = default;
};

struct Check {
    std::string id;
    std::string name;
    std::string status;  // "passing", "warning", "critical"; Consul keeps any text that others write
    std::string output;
    std::string service_name;
    std::vector<std::string> service_tags =
        {};  // Consul copies them from the service when the check is written

    bool operator==(const Check&) const = default;
};

/// Why nothing new can be known of any target, and since when: no aggregator lives, or NATS is gone.
struct Stale {
    contract::WallTime since{};
    std::string why;  // one line: "no aggregator is alive"

    bool operator==(const Stale&) const = default;
};

/// Whose readers are served beside those of the documents here.
enum class Compat {
    none,
    consul_postgres,  // kiwicopple/consul-postgres: a key of the target's name at the root of the KV store
};

/// What Consul shall hold for a target.
struct Documents {
    Node node;
    Service service;
    std::vector<Check> checks;              // by id
    std::string value;                      // of the KV key
    Stamp stamp;                            // of the value
    std::optional<std::string> root_value;  // of the key of the target's name; empty: none is written

    bool operator==(const Documents&) const = default;
};

/// Who wrote the key of a target's name at the root of the KV store.
enum class RootAuthor { bridge, old_pipeline, other };

/// What Consul holds for a target as far as it was read or written; an index is Consul's ModifyIndex. Of the
/// checks only those whose id is the bridge's.
struct Held {
    struct HeldNode {
        Node node;
        std::uint64_t index = 0;

        bool operator==(const HeldNode&) const = default;
    };
    struct HeldValue {
        std::string value;
        std::optional<Stamp> stamp;  // empty: the value is not a bridge's for this target
        std::uint64_t index = 0;

        bool operator==(const HeldValue&) const = default;
    };
    struct HeldRoot {
        std::string value;
        RootAuthor author = RootAuthor::other;
        std::uint64_t index = 0;

        bool operator==(const HeldRoot&) const = default;
    };
    std::optional<HeldNode> node;
    std::optional<Service> service;
    std::vector<Check> checks;  // by id
    std::optional<HeldValue> value;
    std::optional<HeldRoot> root;  // read with Compat::consul_postgres alone

    bool operator==(const Held&) const = default;
};

/// What was read from Consul, by target. A target that was asked for and is not here has nothing there.
using Snapshot = std::unordered_map<std::string, Held>;

/// The node meta by which a bridge knows its own.
inline constexpr std::string_view kManagedByKey = "managed-by";
inline constexpr std::string_view kManagedByValue = "pgpulse";

/// True for the ids that a bridge gives to a target's checks; others are left alone.
bool is_check_of(std::string_view target, std::string_view check_id);

/// Every id that a bridge may give to a target's checks.
std::vector<std::string> check_ids_of(std::string_view target);

}  // namespace pgpulse::consul_bridge
