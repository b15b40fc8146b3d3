#!/usr/bin/env bash
# 10,000 targets go down together: how long it takes from the ping that completes the last one's quorum until the bucket
# holds every one of them down, with one aggregator and with two, what memory that takes, and whether pings are counted
# meanwhile. The baseline writes as many values of the same size by compare-and-set with nats.c alone.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=mass_outage
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"

rounds=4
targets=10000
interval_ms=1000
first_http_port=9188

resident_mib() { calc "$(status_kib "$1" VmRSS) / 1024" %.0f; }
most_resident_mib() { calc "$(status_kib "$1" VmHWM) / 1024" %.0f; }

# measure AGGREGATORS: the rows with so many, all on the one core.
measure() {
    local count=$1 what round port pid last first bytes published counted dropped late bare_seconds before most peak share
    local -a aggregators=() urls=() lasts=() bares=() ratios=() shares=()
    for ((i = 0; i < count; ++i)); do
        port=$((first_http_port + i))
        start "pgpulse-aggregator-$i" "$subject_core" "$bin/pgpulse-aggregator" --nats "$nats_url" --id "bench-$i" --http "127.0.0.1:$port"
        aggregators+=("$started_pid") urls+=("http://127.0.0.1:$port/metrics")
        await "pgpulse-aggregator-$i" "pgpulse-aggregator-$i" curl -sf -o /dev/null "http://127.0.0.1:$port/readyz"
    done
    what="$count aggregator"
    if ((count > 1)); then what+=s; fi

    for ((round = 1; round <= rounds; ++round)); do
        start mass_outage "$other_core" "$programs/mass_outage" "$nats_url" "$targets" "$interval_ms" "${urls[@]}"
        pid=$started_pid
        await 'all targets up' mass_outage grep -q '^up' "$work/log/mass_outage"
        if ((round == 1)); then before=$(resident_mib "${aggregators[0]}"); fi
        wait "$pid" || die "$(tail -n1 "$work/log/mass_outage")"
        read -r last first bytes published counted dropped late < <(grep -v '^\[' "$work/log/mass_outage" | tail -n1)
        read -r _ bare_seconds _ < <(taskset -c "$subject_core" "$programs/bare_cas_burst" "$nats_url" "$targets" "$bytes") ||
            die 'bare_cas_burst failed'
        lasts+=("$last") bares+=("$(calc "1000 * $bare_seconds")") ratios+=("$(calc "$last / 1000 / $bare_seconds")")
        shares+=("$(calc "100 * ($counted - $dropped) / $published")")
        tell "$what, round $round: $(printf 'all down %.0f ms after the last deciding ping, %.0f ms after the first; %.0f of %.0f pings counted, %.0f dropped, %.0f late; bare writes of %d bytes %.0f ms' \
            "$last" "$first" "$counted" "$published" "$dropped" "$late" "$bytes" "${bares[-1]}")"
    done
    most=0
    for pid in "${aggregators[@]}"; do
        peak=$(most_resident_mib "$pid")
        if ((peak > most)); then most=$peak; fi
        stop "$pid"
    done

    last=$(median "${lasts[@]}") share=$(printf '%s\n' "${shares[@]}" | sort -g | head -n1)
    row "$(thousands "$targets") targets down together, from the last deciding ping to the bucket, $what" "$(calc "$last" %.0f) ms" \
        "bare compare-and-set writes $(calc "$(median "${bares[@]}")" %.0f) ms" "$(calc "$(median "${ratios[@]}")" %.1f) x" \
        '<= 1 s' "$last" '<=' 1000
    row '  pings counted meanwhile' "$(calc "$share" %.2f) %" - - 'all' "$share" '>=' 100
    row '  memory of an aggregator, at most' "$most MiB" "before $before MiB" - '' 0 '' 0
}

begin
start_nats
"$programs/define_targets" "$nats_url" "$targets" "$first_target_port" "$target_ports" "$interval_ms" >"$work/log/define_targets" 2>&1 ||
    die "$(tail -n1 "$work/log/define_targets")"
measure 1
measure 2
