#pragma once

#include "common/contract/state.hpp"
#include "common/contract/target.hpp"
#include "consul-bridge/documents.hpp"

#include <optional>
#include <string_view>

namespace pgpulse::consul_bridge {

/// What Consul shall say of a target in this state. `stamp` is the state's place in its bucket. Nothing in it
/// depends on when it is asked: the same arguments make the same documents. With `stale` the state is the last
/// one known: checks are `warning`, but for Consul's maintenance check, and the value names `stale_since`.
Documents desired(const contract::TargetDefinition& definition, const contract::State& state,
                  const Stamp& stamp, const std::optional<Stale>& stale = {}, Compat compat = Compat::none);

/// The stamp of a KV value, empty where the value is not a version 1 document of this target.
std::optional<Stamp> stamp_of(std::string_view target, std::string_view value);

}  // namespace pgpulse::consul_bridge
