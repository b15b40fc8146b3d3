#!/usr/bin/env bash
# Pings a second on one core, and what one ping costs: pgpulse-probe, which also publishes each result, against a bare
# loop over libpq and against fork and exec of pg_isready, all on the same targets.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=ping_rate
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"

rounds=4
stretch=3
in_flight=64
# Far more than a core can do: 2,000 targets every 50 ms.
targets=2000
interval_ms=50
probe_port=9187

messages_in() { curl -sf http://127.0.0.1:8222/varz | sed -n 's/.*"in_msgs": \([0-9]*\).*/\1/p'; }
probe_pings() { metric "$probe_port" pgpulse_probe_pings_total; }
probe_is_busy() { (($(probe_pings) > 10000)); }

begin
pg_isready=$(compgen -G '/usr/lib/postgresql/*/bin/pg_isready' | sort -V | tail -n1) || die 'no /usr/lib/postgresql/*/bin/pg_isready'
start_nats
# shellcheck disable=SC2119 # it has none
start_fake_postgres
"$programs/define_targets" "$nats_url" "$targets" "$first_target_port" "$target_ports" "$interval_ms" >"$work/log/define_targets" 2>&1 ||
    die "$(tail -n1 "$work/log/define_targets")"

start pgpulse-probe "$subject_core" "$bin/pgpulse-probe" --nats "$nats_url" --id bench --http "127.0.0.1:$probe_port" \
    --max-in-flight "$in_flight"
probe=$started_pid
await pgpulse-probe pgpulse-probe probe_is_busy

rate_ratios=() cpu_ratios=() probe_rates=() probe_costs=() bare_rates=() bare_costs=() fork_costs=() fork_ratios=() shares=()
for ((round = 1; round <= rounds; ++round)); do
    messages=$(messages_in) pings=$(probe_pings) cpu=$(cpu_of "$probe") at=$(now)
    sleep "$stretch"
    cpu_used=$(calc "$(cpu_of "$probe") - $cpu") took=$(calc "$(now) - $at")
    published=$(($(messages_in) - messages)) ended=$(($(probe_pings) - pings))
    awk "BEGIN { exit !($published > 0.98 * $ended) }" || die "of $ended pings only $published got to NATS"

    # The probe stands still while the others run: what is alternated must not share the core.
    kill -STOP "$probe"
    read -r bare_pings bare_seconds bare_cpu < <(taskset -c "$subject_core" "$programs/bare_ping_loop" \
        "$first_target_port" "$target_ports" "$in_flight" "$stretch") || die 'bare_ping_loop failed'
    read -r fork_pings _ fork_cpu < <(taskset -c "$subject_core" "$programs/pg_isready_loop" "$pg_isready" \
        "$first_target_port" 1) || die 'pg_isready_loop failed'
    kill -CONT "$probe"

    probe_rates+=("$(calc "$published / $took")") probe_costs+=("$(calc "$cpu_used / $published * 1e6")")
    bare_rates+=("$(calc "$bare_pings / $bare_seconds")") bare_costs+=("$(calc "$bare_cpu / $bare_pings * 1e6")")
    fork_costs+=("$(calc "$fork_cpu / $fork_pings * 1e6")")
    shares+=("$(calc "100 * $cpu_used / $took")")
    rate_ratios+=("$(calc "${probe_rates[-1]} / ${bare_rates[-1]}")")
    cpu_ratios+=("$(calc "${bare_costs[-1]} / ${probe_costs[-1]}")")
    fork_ratios+=("$(calc "${fork_costs[-1]} / ${probe_costs[-1]}")")
    tell "round $round: $(printf 'probe %.0f/s at %.0f us of CPU (%.0f %% of the core), bare loop %.0f/s at %.0f us, pg_isready %.0f us' \
        "${probe_rates[-1]}" "${probe_costs[-1]}" "${shares[-1]}" "${bare_rates[-1]}" "${bare_costs[-1]}" "${fork_costs[-1]}")"
    # The probe has work left over from its standstill.
    sleep 0.5
done

probe_cost=$(median "${probe_costs[@]}") bare_cost=$(median "${bare_costs[@]}") fork_cost=$(median "${fork_costs[@]}")
per_core=$(calc "1e6 / $probe_cost")
bare_per_core=$(calc "1e6 / $bare_cost")
ratio=$(median "${cpu_ratios[@]}")
row 'pings with publish per core second' "$(thousands "$per_core")" "bare libpq loop $(thousands "$bare_per_core")" \
    "$(calc "100 * $ratio" %.0f) %" '>= 80 %' "$ratio" '>=' 0.8
row 'the same, absolute' "$(thousands "$per_core")" - - '>= 10,000' "$per_core" '>=' 10000
row 'pings with publish a second, by the clock' "$(thousands "$(median "${probe_rates[@]}")")" \
    "bare libpq loop $(thousands "$(median "${bare_rates[@]}")")" "$(calc "100 * $(median "${rate_ratios[@]}")" %.0f) %" '' 0 '' 0
ratio=$(median "${fork_ratios[@]}")
row 'CPU per ping' "$(printf '%.0f us' "$probe_cost")" "fork+exec pg_isready $(printf '%.0f us' "$fork_cost")" \
    "1/$(calc "$ratio" %.0f)" '<= 1/50' "$ratio" '>=' 50
