#!/usr/bin/env bash
# Transitions a second that pgpulse-consul-bridge carries from the bucket into Consul (KV value and check of each, in
# transactions), against one request after the other over one connection that is kept, on the same Consul.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=consul_rate
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"

rounds=3
stretch=2
targets=5000
http_port=9189
consul_url=http://127.0.0.1:8500

consul_has_a_leader() { [[ $(curl -sf "$consul_url/v1/status/leader") == '"127.'* ]]; }

# burst TRANSITION: transitions of all targets carried a second.
burst() {
    local count seconds
    read -r count seconds < <("$programs/state_burst" "$nats_url" "$targets" "$1" "http://127.0.0.1:$http_port/metrics" \
        2>"$work/log/state_burst" | tail -n1) || die "$(tail -n1 "$work/log/state_burst")"
    calc "$count / $seconds"
}

# What Consul says counts, not what the bridge says of itself.
verify() {
    local carried status
    carried=$(curl -sf "$consul_url/v1/kv/health/?recurse" |
        jq --argjson transition "$1" '[.[].Value | @base64d | fromjson | select(.transition == $transition)] | length')
    [[ $carried == "$targets" ]] || die "Consul's KV store has transition $1 of $carried targets instead of $targets"
    status=critical
    if (($1 % 2 == 1)); then status=passing; fi
    carried=$(curl -sf "$consul_url/v1/health/state/$status" | jq '[.[] | select(.CheckID | startswith("bench-"))] | length')
    [[ $carried == "$targets" ]] || die "$carried checks of $targets are $status after transition $1"
}

# puts kv|kv+check: transitions written a second.
puts() {
    local count seconds
    read -r count seconds _ < <("$programs/sequential_puts" "$consul_url" "$1" "$stretch") || die 'sequential_puts failed'
    calc "$count / $seconds"
}

# measure LABEL AGENT-FLAG...: the rows on one kind of Consul.
measure() {
    local label=$1 round ratio consul bridge registered
    local -a rates=() kv_rates=() both_rates=() kv_ratios=() both_ratios=()
    shift
    start_nats
    start consul '' consul agent "$@" -bind=127.0.0.1 -client=127.0.0.1 -log-level=err -hcl 'disable_update_check = true'
    consul=$started_pid
    await consul consul consul_has_a_leader
    "$programs/define_targets" "$nats_url" "$targets" "$first_target_port" "$target_ports" 1000 >"$work/log/define_targets" 2>&1 ||
        die "$(tail -n1 "$work/log/define_targets")"
    start pgpulse-consul-bridge '' "$bin/pgpulse-consul-bridge" --nats "$nats_url" --consul "$consul_url" --id bench \
        --http "127.0.0.1:$http_port"
    bridge=$started_pid
    await pgpulse-consul-bridge pgpulse-consul-bridge curl -sf "http://127.0.0.1:$http_port/readyz"
    registered=$(burst 1)
    verify 1
    tell "$label: $(printf 'registered %d targets at %.0f/s' "$targets" "$registered")"

    for ((round = 1; round <= rounds; ++round)); do
        kv_rates+=("$(puts kv)")
        both_rates+=("$(puts kv+check)")
        rates+=("$(burst $((round + 1)))")
        verify $((round + 1))
        kv_ratios+=("$(calc "${rates[-1]} / ${kv_rates[-1]}")")
        both_ratios+=("$(calc "${rates[-1]} / ${both_rates[-1]}")")
        tell "$label, round $round: $(printf 'bridge %.0f/s, sequential puts %.0f/s, put and check update %.0f/s' \
            "${rates[-1]}" "${kv_rates[-1]}" "${both_rates[-1]}")"
    done
    stop "$bridge"
    stop "$consul"
    stop "$nats"
    rm -rf "$work/nats"

    ratio=$(median "${kv_ratios[@]}")
    row "transitions into Consul a second ($label)" "$(thousands "$(median "${rates[@]}")")" \
        "sequential KV puts $(thousands "$(median "${kv_rates[@]}")")" "$(calc "$ratio" %.1f) x" '>= 10 x' "$ratio" '>=' 10
    row '  against the same work' "$(thousands "$(median "${rates[@]}")")" \
        "put and check update $(thousands "$(median "${both_rates[@]}")")" "$(calc "$(median "${both_ratios[@]}")" %.1f) x" '' 0 '' 0
}

begin
# As it is run: every write is in the log on disk before it is answered.
measure 'log on disk' -server -bootstrap-expect=1 -data-dir="$work/consul"
# No write touches a disk: the hardest baseline.
measure 'in memory' -dev
