#pragma once

#include "consul-bridge/operation.hpp"

#include <tl/expected.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

// `PUT /v1/txn`: what goes into one transaction and what Consul answers.
namespace pgpulse::consul_bridge {

/// Consul's limits before 1.14; later ones allow more.
inline constexpr std::size_t kMaxOperations = 64;
inline constexpr std::size_t kMaxBodyBytes = std::size_t{512} * 1024;

/// One transaction: whole targets, so that no reader sees half of one.
class Transaction {
  public:
    struct Part {
        std::string target;
        std::vector<Operation> operations;
    };

    /// Takes the operations of one target unless they would break a limit; false then. A first target is
    /// always taken: what Consul says to it is told by its answer.
    bool add(std::string target, std::vector<Operation> operations);

    [[nodiscard]] bool empty() const { return parts_.empty(); }
    [[nodiscard]] const std::vector<Part>& parts() const { return parts_; }
    [[nodiscard]] std::size_t operations() const { return operations_; }

    /// The request's body, which is taken out: once only.
    std::string take_body();

    /// The position in `parts` of the operation that Consul calls `operation`; past the end for one that was
    /// not sent.
    [[nodiscard]] std::size_t part_of(std::size_t operation) const;

  private:
    std::vector<Part> parts_;
    std::size_t operations_ = 0;
    std::string body_ = "[";
};

/// All operations are done. The new ModifyIndex of each key and node written.
struct Committed {
    /// Consul's index of the whole, 0 where the answer does not tell: where everything was deleted.
    std::uint64_t index = 0;
    std::unordered_map<std::string, std::uint64_t> values;
    std::unordered_map<std::string, std::uint64_t> nodes;
};

/// Nothing is done, because Consul refused these operations.
struct Refused {
    struct Fault {
        std::size_t operation = 0;
        std::string what;  // Consul's words, one line
    };
    std::vector<Fault> faults;
};

/// Nothing is done: Consul does not take the request as it is (400, 413).
struct Rejected {
    std::string text;
};

/// No answer, or one that says that Consul cannot serve now. Whether it was done is not known.
struct Unreachable {
    std::string text;
    bool busy = false;                   // 429: Consul serves, and asks for fewer requests
    std::chrono::milliseconds pause{0};  // Retry-After: nothing is to be sent for so long
};

using TransactionOutcome = std::variant<Committed, Refused, Rejected, Unreachable>;

/// Reads Consul's answer to a transaction.
TransactionOutcome read_outcome(long http_status, std::string_view body);

/// The faults of a 409 answer, empty where it lists none.
std::vector<Refused::Fault> read_faults(std::string_view body);

/// An answer that was not expected, as one line: "HTTP 500: No cluster leader".
std::string describe(long http_status, std::string_view body);

}  // namespace pgpulse::consul_bridge
