#!/usr/bin/env bash
# What a ping over TLS costs: pgpulse-probe, which also publishes each result, against a bare loop over libpq, both with
# a whole handshake for each ping, on the same targets.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=tls_rate
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"

rounds=4
stretch=4
in_flight=32
# More than a core can do: 500 targets every 50 ms.
targets=500
interval_ms=50
probe_port=9187

probe_pings() { metric "$probe_port" pgpulse_probe_pings_total; }
probe_is_busy() { (($(probe_pings) > 1000)); }
accepted() {
    curl -sf "http://127.0.0.1:$probe_port/metrics" | awk '
        index($0, "pgpulse_probe_pings_total{") == 1 && /verdict="accepting"/ { sum += $NF } END { printf "%d", sum }'
}

begin
start_nats
make_certificate
start_fake_postgres "$work/server.crt" "$work/server.key"
"$programs/define_targets" "$nats_url" "$targets" "$first_target_port" "$target_ports" "$interval_ms" require >"$work/log/define_targets" 2>&1 ||
    die "$(tail -n1 "$work/log/define_targets")"
start pgpulse-probe "$subject_core" "$bin/pgpulse-probe" --nats "$nats_url" --id bench --http "127.0.0.1:$probe_port" \
    --max-in-flight "$in_flight"
probe=$started_pid
await pgpulse-probe pgpulse-probe probe_is_busy

ratios=() probe_costs=() bare_costs=() target_costs=()
for ((round = 1; round <= rounds; ++round)); do
    pings=$(probe_pings) good=$(accepted) cpu=$(cpu_of "$probe") target_cpu=$(cpu_of "${started[1]}")
    sleep "$stretch"
    cpu_used=$(calc "$(cpu_of "$probe") - $cpu") target_used=$(calc "$(cpu_of "${started[1]}") - $target_cpu")
    ended=$(($(probe_pings) - pings)) good=$(($(accepted) - good))
    awk "BEGIN { exit !($good > 0.9 * $ended) }" || die "of $ended pings only $good were accepted"

    # The probe stands still while the other runs: what is alternated must not share the core.
    kill -STOP "$probe"
    read -r bare_pings _ bare_cpu < <(taskset -c "$subject_core" "$programs/bare_ping_loop" \
        "$first_target_port" "$target_ports" "$in_flight" "$stretch" require) || die 'bare_ping_loop failed'
    kill -CONT "$probe"

    probe_costs+=("$(calc "$cpu_used / $ended * 1e6")") bare_costs+=("$(calc "$bare_cpu / $bare_pings * 1e6")")
    target_costs+=("$(calc "$target_used / $ended * 1e6")")
    ratios+=("$(calc "${bare_costs[-1]} / ${probe_costs[-1]}")")
    tell "round $round: $(printf 'probe %.0f us a ping, bare loop %.0f us, the target %.0f us' "${probe_costs[-1]}" "${bare_costs[-1]}" "${target_costs[-1]}")"
    # The probe has work left over from its standstill.
    sleep 1
done

per_core=$(calc "1e6 / $(median "${probe_costs[@]}")")
bare_per_core=$(calc "1e6 / $(median "${bare_costs[@]}")")
row 'TLS pings with publish per core second' "$(thousands "$per_core")" "bare libpq loop with TLS $(thousands "$bare_per_core")" \
    "$(calc "100 * $(median "${ratios[@]}")" %.0f) %" '' 0 '' 0
row 'CPU per TLS ping' "$(calc "$(median "${probe_costs[@]}")" %.0f) us" "bare libpq loop with TLS $(calc "$(median "${bare_costs[@]}")" %.0f) us" - '' 0 '' 0
