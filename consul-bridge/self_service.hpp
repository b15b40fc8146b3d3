#pragma once

#include "consul-bridge/pipeline_health.hpp"

#include <tl/expected.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// A bridge's own service on the Consul agent that it talks to: what is asked of the agent, and what its answers mean.
namespace pgpulse::consul_bridge {

struct SelfService {
    std::string name;        // Consul's service name
    std::string bridge;      // the bridge's id
    std::string run;         // of this start
    std::string version;     // of the program
    std::string kv_prefix;   // bridges of one prefix carry the same targets
    std::string address;     // of --http; empty: the agent's own
    std::uint16_t port = 0;  // of --http; 0: none

    /// `<name>-<bridge>`
    [[nodiscard]] std::string id() const { return name + "-" + bridge; }
    /// `service:<id>`
    [[nodiscard]] std::string check_id() const { return "service:" + id(); }
};

/// Nullopt, or what is expected of --self-service: empty, or letters, digits, '-' and '_'.
std::optional<std::string> fault_of_service_name(std::string_view name);

/// The body of `PUT /v1/agent/service/register`: the service with its TTL check of 10 s.
std::string registration_of(const SelfService& service, bool passing);

/// The body of `PUT /v1/agent/check/update/<check id>`.
std::string update_of(const OwnCheck& check);

/// Whose the agent's service of this id is.
enum class Holder {
    nobody,
    this_run,
    another_run,    // of this bridge, or of another one of the same id
    somebody_else,  // no bridge made it
};

/// Reads the answer of `GET /v1/agent/service/<id>`. Error: one line, where the answer says something else.
tl::expected<Holder, std::string> read_holder(const SelfService& service, long http_status,
                                              std::string_view body);

/// Reads the answer of `GET /v1/health/service/<name>`: whether the check of another bridge of the same KV prefix
/// passes. Error: one line, where the answer cannot tell, as where this bridge is not in it, which is what rights that
/// are missing look like.
tl::expected<bool, std::string> read_others(const SelfService& service, long http_status,
                                            std::string_view body);

/// What Consul answered to a request about the service, as one line, with the ACL rule that is missing where it is one.
std::string refusal_of(const SelfService& service, long http_status, std::string_view body);

}  // namespace pgpulse::consul_bridge
