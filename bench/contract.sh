#!/usr/bin/env bash
# What one ping costs without a network: encoding, decoding (by the parser's events and by a document tree), tallying; and
# reading a definition.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=contract
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"

# Nanoseconds of CPU of one operation: the median of its repetitions.
nanoseconds() { jq -r --arg name "$1_median" '.benchmarks[] | select(.name == $name) | .cpu_time' "$work/result.json"; }
microseconds() { printf '%.2f us' "$(calc "$(nanoseconds "$1") / 1000")"; }

begin
taskset -c "$subject_core" "$programs/contract_benchmark" --benchmark_repetitions=5 --benchmark_min_time=0.2 \
    --benchmark_report_aggregates_only=true --benchmark_enable_random_interleaving=true \
    --benchmark_format=json >"$work/result.json" 2>"$work/log/contract" || die "$(tail -n1 "$work/log/contract")"
row 'CPU to decode a ping' "$(microseconds decode_ping)" "by a document tree $(microseconds decode_ping_by_document)" \
    "$(calc "$(nanoseconds decode_ping) / $(nanoseconds decode_ping_by_document) * 100" %.0f) %" '' 0 '' 0
row 'CPU to read a definition' "$(microseconds decode_definition)" "by a document tree $(microseconds decode_definition_by_document)" \
    "$(calc "$(nanoseconds decode_definition) / $(nanoseconds decode_definition_by_document) * 100" %.0f) %" '' 0 '' 0
row 'CPU to encode a ping' "$(microseconds encode_ping)" - - '' 0 '' 0
row 'CPU to tally a ping' "$(microseconds tally_ping)" - - '' 0 '' 0
