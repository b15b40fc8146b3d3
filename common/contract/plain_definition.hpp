#pragma once

#include "common/contract/target.hpp"

#include <optional>
#include <string_view>

namespace pgpulse::contract {

/// The definition of the target `name`, where `value` is JSON of the plain kind (PlainJson) that breaks no rule of
/// decode_definition(). Empty: it is to be read by that, which tells what is wrong, if anything is. A fifth of the
/// time: who starts beside a hundred thousand definitions reads them all.
std::optional<StoredDefinition> decode_plain_definition(std::string_view name, std::string_view value);

}  // namespace pgpulse::contract
