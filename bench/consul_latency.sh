#!/usr/bin/env bash
# From a transition's write into the bucket to the start of a `consul watch` handler, one target at a time in a fleet of 1,000,
# against one write straight to Consul and the same kind of watch, in turns with it.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=consul_latency
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/consul.sh"

samples=300
targets=1000
bare_port=17001 bridge_port=17002

quantiles() { awk -v what="$1" '$1 == what { print $2, $3, $4 }' "$work/log/consul_latency"; }
shown() { awk '{ printf "p50 %.1f, p99 %.1f ms", $1, $2 }' <<<"$1"; }

# start_watch LABEL PORT ARGUMENT...
start_watch() {
    local label=$1 port=$2
    shift 2
    start "$label" '' consul watch -http-addr="$consul_url" -shell=false "$@" "$programs/watch_handler" "$port"
    watches+=("$started_pid")
}

# measure_watch LABEL KIND FIRST_TRANSITION WHAT_THE_BARE_WRITE_IS: the row of one kind of watch.
measure_watch() {
    local bridge bare ratio watch
    local -a watches=()
    start consul_latency '' "$programs/consul_latency" "$nats_url" "$consul_url" "$2" "$3" "$samples" "$bare_port" "$bridge_port"
    local bench=$started_pid
    if [[ $2 == key ]]; then
        start_watch bare_watch "$bare_port" -type=key -key=bare
        start_watch bridge_watch "$bridge_port" -type=key -key=health/bench-0000
    else
        start_watch bare_watch "$bare_port" -type=checks -service=bare
        start_watch bridge_watch "$bridge_port" -type=checks -service=bench-0000
    fi
    wait "$bench" || die "$(tail -n1 "$work/log/consul_latency")"
    for watch in "${watches[@]}"; do stop "$watch"; done
    bridge=$(quantiles bridge) bare=$(quantiles bare)
    tell "$1, watch of type $2: bridge ${bridge// /, } ms; $4 ${bare// /, } ms (p50, p99, max of $samples)"
    ratio=$(calc "$(cut -d ' ' -f 2 <<<"$bridge") / $(cut -d ' ' -f 2 <<<"$bare")")
    row "transition in the bucket to the start of the handler of a watch of type $2 ($1)" "$(shown "$bridge")" \
        "$4 $(shown "$bare")" "$(calc "$ratio" %.1f) x" 'p99 <= 3 x' "$ratio" '<=' 3
}

# measure LABEL AGENT-FLAG...
measure() {
    local label=$1
    shift
    start_nats
    start_consul "$@"
    define "$targets"
    start_bridge
    "$programs/state_burst" "$nats_url" "$targets" 1 "$bridge_metrics" >"$work/log/state_burst" 2>&1 || die "$(tail -n1 "$work/log/state_burst")"
    curl -sf -o "$work/log/put" -X PUT -d '{}' "$consul_url/v1/kv/bare" || die 'no KV put'
    curl -sf -o "$work/log/put" -X PUT -d '{"Node": "bare", "Address": "127.0.0.1", "Service": {"Service": "bare"},
        "Check": {"CheckID": "bare-isready", "Name": "PG is ready", "ServiceID": "bare", "Status": "passing"}}' \
        "$consul_url/v1/catalog/register" || die 'no node'
    measure_watch "$label" key 2 'KV put'
    measure_watch "$label" checks $((samples + 2)) 'check update'
    stop_all_of_it
}

begin
measure 'log on disk' "${on_disk[@]}"
measure 'in memory' -dev
