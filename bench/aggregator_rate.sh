#!/usr/bin/env bash
# Pings a second that pgpulse-aggregator folds on one core, all of its threads on that core, against a bare nats.c
# subscriber that reads the same messages and looks at nothing.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=aggregator_rate
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"

rounds=4
stretch=3
targets=1000
workers=3
http_port=9188
counted=pgpulse_aggregator_pings_total

all_up() { (($(metric "$http_port" 'pgpulse_aggregator_targets') == targets)); }
# Pings that were read and not folded: refused, dropped, found old or without a voice.
not_counted() {
    curl -sf "http://127.0.0.1:$http_port/metrics" | awk '
        /^pgpulse_aggregator_pings_((refused|dropped)_)?total[{ ]/ && !/outcome="counted"/ { sum += $NF } END { printf "%.0f", sum }'
}
pings_by() { curl -sf "http://127.0.0.1:$http_port/metrics" | sed -n "s/^$counted{outcome=\"$1\"} //p"; }

begin
start_nats
"$programs/define_targets" "$nats_url" "$targets" "$first_target_port" "$target_ports" 1000 >"$work/log/define_targets" 2>&1 ||
    die "$(tail -n1 "$work/log/define_targets")"

rates=() costs=() bare_rates=() bare_costs=() rate_ratios=() cost_ratios=() shares=() bare_shares=()
for ((round = 1; round <= rounds; ++round)); do
    start bare_subscriber "$subject_core" "$programs/bare_subscriber" "$nats_url" 'health.ping.>' "$stretch"
    subscriber=$started_pid
    await bare_subscriber bare_subscriber grep -q subscribed "$work/log/bare_subscriber"
    start ping_stream "$other_core" "$programs/ping_stream" "$nats_url" "$targets" "$workers" $((stretch + 2))
    wait "$subscriber" || die "bare_subscriber: $(tail -n1 "$work/log/bare_subscriber")"
    read -r bare_count bare_seconds bare_cpu < <(tail -n1 "$work/log/bare_subscriber")
    stop "$started_pid"

    start pgpulse-aggregator "$subject_core" "$bin/pgpulse-aggregator" --nats "$nats_url" --id bench \
        --http "127.0.0.1:$http_port"
    aggregator=$started_pid
    await pgpulse-aggregator pgpulse-aggregator curl -sf "http://127.0.0.1:$http_port/readyz"
    start ping_stream "$other_core" "$programs/ping_stream" "$nats_url" "$targets" "$workers" $((stretch + 30)) \
        "http://127.0.0.1:$http_port/metrics" "$counted"
    stream=$started_pid
    await 'states of all targets' pgpulse-aggregator all_up
    sleep 1
    spoiled=$(not_counted)
    pings=$(pings_by counted) cpu=$(cpu_of "$aggregator") at=$(now)
    sleep "$stretch"
    count=$(calc "$(pings_by counted) - $pings" %.0f) cpu_used=$(calc "$(cpu_of "$aggregator") - $cpu") took=$(calc "$(now) - $at")
    # What is measured is the whole work on a ping.
    spoiled=$(($(not_counted) - spoiled))
    ((spoiled < count / 100)) || die "$spoiled pings were not counted, and $count were"
    stop "$stream"
    stop "$aggregator"

    rates+=("$(calc "$count / $took")") costs+=("$(calc "$cpu_used / $count * 1e6")") shares+=("$(calc "100 * $cpu_used / $took")")
    bare_rates+=("$(calc "$bare_count / $bare_seconds")") bare_costs+=("$(calc "$bare_cpu / $bare_count * 1e6")")
    bare_shares+=("$(calc "100 * $bare_cpu / $bare_seconds")")
    rate_ratios+=("$(calc "${rates[-1]} / ${bare_rates[-1]}")") cost_ratios+=("$(calc "${bare_costs[-1]} / ${costs[-1]}")")
    tell "round $round: $(printf 'aggregator %.0f/s at %.2f us of CPU (%.0f %% of the core), bare subscriber %.0f/s at %.2f us (%.0f %%)' \
        "${rates[-1]}" "${costs[-1]}" "${shares[-1]}" "${bare_rates[-1]}" "${bare_costs[-1]}" "${bare_shares[-1]}")"
done

per_core=$(calc "1e6 / $(median "${costs[@]}")")
ratio=$(median "${cost_ratios[@]}")
row 'pings folded per core second' "$(thousands "$per_core")" \
    "bare subscriber $(thousands "$(calc "1e6 / $(median "${bare_costs[@]}")")")" \
    "$(calc "100 * $ratio" %.0f) %" '>= 25 %' "$ratio" '>=' 0.25
row 'the same, absolute' "$(thousands "$per_core")" - - '>= 120,000' "$per_core" '>=' 120000
row 'pings folded a second, by the clock' "$(thousands "$(median "${rates[@]}")")" \
    "bare subscriber $(thousands "$(median "${bare_rates[@]}")")" "$(calc "100 * $(median "${rate_ratios[@]}")" %.0f) %" '' 0 '' 0
