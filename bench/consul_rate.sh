#!/usr/bin/env bash
# Transitions that pgpulse-consul-bridge carries from the bucket into Consul (KV value and check of each, in transactions), against
# a bare client that writes the same documents in the same transactions, and against one request after the other over one
# connection that is kept; on the same Consul, in turns.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=consul_rate
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/consul.sh"

rounds=5
stretch=2
targets=5000
together=1000
# As many as the bridge has transactions in flight.
connections=8

# Those who write to Consul and what they need; empty: any.
writer_core=
# on_core CORE COMMAND...
on_core() {
    local core=$1
    shift
    if [[ -n $core ]]; then set -- taskset -c "$core" "$@"; fi
    "$@"
}

# burst COUNT TRANSITION: seconds from the first write into the bucket until Consul has all of them.
burst() {
    local seconds
    read -r _ seconds < <(on_core "$writer_core" "$programs/state_burst" "$nats_url" "$1" "$2" "$bridge_metrics" 2>"$work/log/state_burst" | tail -n1) ||
        die "$(tail -n1 "$work/log/state_burst")"
    verify "$1" "$2"
    echo "$seconds"
}

# bare CONNECTIONS: what the bridge wrote last, once more: transitions a second.
bare() {
    local count seconds
    read -r count seconds _ < <(on_core "$writer_core" "$programs/bare_transactions" "$consul_url" "$1") || die 'bare_transactions failed'
    [[ $count == "$targets" ]] || die "bare_transactions wrote $count targets instead of $targets"
    calc "$count / $seconds"
}

# puts kv|kv+check: transitions written a second.
puts() {
    local count seconds
    read -r count seconds _ < <(on_core "$writer_core" "$programs/sequential_puts" "$consul_url" "$1" "$stretch") || die 'sequential_puts failed'
    calc "$count / $seconds"
}

# measure LABEL SHARE TIMES AGENT-FLAG...: the rows on one kind of Consul; the goals of the bare client's share and of the times one
# request after the other, 0 where none is set.
measure() {
    local label=$1 share=$2 times=$3 round ratio registered transition seconds bridge_cpu=0 cpu
    local -a rates=() bare_rates=() kv_rates=() both_rates=() bare_ratios=() kv_ratios=() both_ratios=() bursts=() burst_kv=() burst_both=()
    shift 3
    start_nats "$writer_core"
    start_consul "$@"
    define "$targets"
    start_bridge
    registered=$(burst "$targets" 1)
    tell "$label: $(printf 'registered %d targets at %.0f/s' "$targets" "$(calc "$targets / $registered")")"
    bare "$connections" >"$work/log/bare" # registers its own

    for ((round = 1; round <= rounds; ++round)); do
        cpu=$(cpu_of "$bridge")
        transition=$((2 * round)) seconds=$(burst "$targets" "$transition")
        rates+=("$(calc "$targets / $seconds")")
        bridge_cpu=$(calc "$bridge_cpu + $(cpu_of "$bridge") - $cpu")
        bare_rates+=("$(bare "$connections")")
        bare_ratios+=("$(calc "${rates[-1]} / ${bare_rates[-1]}")")
        kv_rates+=("$(puts kv)")
        both_rates+=("$(puts kv+check)")
        kv_ratios+=("$(calc "${rates[-1]} / ${kv_rates[-1]}")")
        both_ratios+=("$(calc "${rates[-1]} / ${both_rates[-1]}")")
        bursts+=("$(burst "$together" $((transition + 1)))")
        burst_kv+=("$(calc "$together / ${kv_rates[-1]} / ${bursts[-1]}")")
        burst_both+=("$(calc "$together / ${both_rates[-1]} / ${bursts[-1]}")")
        tell "$label, round $round: $(printf 'bridge %.0f/s, bare transactions %.0f/s, sequential puts %.0f/s, put and check update %.0f/s; %d together %.0f ms' \
            "${rates[-1]}" "${bare_rates[-1]}" "${kv_rates[-1]}" "${both_rates[-1]}" "$together" "$(calc "1000 * ${bursts[-1]}")")"
    done
    stop_all_of_it

    ratio=$(median "${bare_ratios[@]}")
    row "transitions into Consul a second ($label)" "$(thousands "$(median "${rates[@]}")")" \
        "bare client's transactions of 64 operations $(thousands "$(median "${bare_rates[@]}")")" "$(calc "100 * $ratio" %.0f) %" \
        "$(goal "$share" '>= 70 %')" "$ratio" "$(goal "$share" '>=')" "$share"
    row '  against sequential KV puts' "$(thousands "$(median "${rates[@]}")")" "$(thousands "$(median "${kv_rates[@]}")")" \
        "$(calc "$(median "${kv_ratios[@]}")" %.1f) x" '' 0 '' 0
    row '  against a put and a check update each' "$(thousands "$(median "${rates[@]}")")" "$(thousands "$(median "${both_rates[@]}")")" \
        "$(calc "$(median "${both_ratios[@]}")" %.1f) x" '' 0 '' 0
    row "  CPU of the bridge a transition" "$(calc "1e6 * $bridge_cpu / $rounds / $targets" %.0f) us" - - '' 0 '' 0
    local last kv both
    last=$(median "${bursts[@]}") kv=$(median "${burst_kv[@]}") both=$(median "${burst_both[@]}")
    row "$(thousands "$together") targets change together, from the first write into the bucket until Consul has all ($label)" \
        "$(calc "1000 * $last" %.0f) ms" - - '<= 2 s' "$last" '<=' 2
    row '  against one KV put after the other' "$(calc "1000 * $last" %.0f) ms" "$(calc "1000 * $together / $(median "${kv_rates[@]}")" %.0f) ms" \
        "$(calc "$kv" %.1f) x" '' 0 '' 0
    row '  against a put and a check update each' "$(calc "1000 * $last" %.0f) ms" "$(calc "1000 * $together / $(median "${both_rates[@]}")" %.0f) ms" \
        "$(calc "$both" %.1f) x" "$(goal "$times" '>= 10 x')" "$both" "$(goal "$times" '>=')" "$times"
}

# goal BOUND TEXT: the text, nothing where no bound is set.
goal() { if [[ $1 != 0 ]]; then echo "$2"; fi; }

begin
# Consul has as much of the machine whoever writes to it.
consul_core=$other_core bridge_core=$subject_core writer_core=$subject_core
measure 'log on disk, Consul on a core of its own' 0.7 10 "${on_disk[@]}"
# What NATS and the bridge take is taken from Consul.
consul_core='' bridge_core='' writer_core=''
measure 'log on disk, all on both cores' 0 10 "${on_disk[@]}"
# No write touches a disk: the hardest baseline.
measure 'in memory, all on both cores' 0 0 -dev
