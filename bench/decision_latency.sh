#!/usr/bin/env bash
# From the ping that completes a target's quorum to the message on health.state.<target>, one target at a time in a fleet of 1,000
# that is pinged every second, against the same way without an aggregator: a message, a compare-and-set, the republished value.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=decision_latency
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"

samples=500
targets=1000
interval_ms=1000
# Of a state on three observers' evidence.
value_bytes=680
http_port=9188

quantiles() { awk -v what="$1" '$1 == what { print $2, $3, $4 }' "$work/log/decision_latency"; }
shown() { awk '{ printf "p50 %.1f, p99 %.1f ms", $1, $2 }' <<<"$1"; }

begin
start_nats
"$programs/define_targets" "$nats_url" "$targets" "$first_target_port" "$target_ports" "$interval_ms" >"$work/log/define_targets" 2>&1 ||
    die "$(tail -n1 "$work/log/define_targets")"
start pgpulse-aggregator "$subject_core" "$bin/pgpulse-aggregator" --nats "$nats_url" --id bench --http "127.0.0.1:$http_port"
await pgpulse-aggregator pgpulse-aggregator curl -sf -o /dev/null "http://127.0.0.1:$http_port/readyz"
start bare_decider "$subject_core" "$programs/bare_decider" "$nats_url" 'bench.decide.*' bench.decided "$value_bytes"
await bare_decider bare_decider grep -q subscribed "$work/log/bare_decider"
start decision_latency "$other_core" "$programs/decision_latency" "$nats_url" "$targets" "$interval_ms" "$samples" \
    bench.decide bench.decided
wait "$started_pid" || die "$(tail -n1 "$work/log/decision_latency")"
decision=$(quantiles decision) bare=$(quantiles bare)
tell "deciding ping to state ${decision// /, } ms; bare ${bare// /, } ms (p50, p99, max of $samples)"
row 'deciding ping to the message on health.state' "$(shown "$decision")" "bare message, compare-and-set, republished $(shown "$bare")" \
    "$(calc "${decision%% *} / ${bare%% *}" %.1f) x" '' 0 '' 0
