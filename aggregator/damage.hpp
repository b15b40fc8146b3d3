#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgpulse::aggregator {

/// How a bucket came not to say what was written to it.
enum class Damage {
    lost,     // the key is gone: the bucket was wiped, purged or restored
    older,    // the key says what it said before: the server lost its newest writes
    removed,  // somebody deleted the key
    edited,   // somebody wrote another value
    spoiled,  // somebody wrote what is no document of the contract
};

/// Gathers what is put back, so that a wiped bucket of a hundred thousand keys makes one line. Pure.
class DamageReport {
  public:
    /// `bucket`, `what`: "health", "state": what is in it, in the singular.
    DamageReport(std::string bucket, std::string what) : bucket_(std::move(bucket)), what_(std::move(what)) {}

    void add(Damage damage, std::string_view key);

    /// A line for each kind of damage since the last call: "bucket 'health': 3 states were lost (db1, db2,
    /// db3): putting them back", "1 state was lost (db1): putting it back".
    [[nodiscard]] std::vector<std::string> take();

  private:
    static constexpr std::size_t kKinds = 5;
    static constexpr std::size_t kNamed = 3;

    struct Kind {
        std::size_t count = 0;
        std::string names;  // of the first few
    };

    std::string bucket_;
    std::string what_;
    std::array<Kind, kKinds> kinds_;
};

}  // namespace pgpulse::aggregator
