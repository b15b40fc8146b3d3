#!/usr/bin/env bash
# How long 100,000 definitions are away that somebody deletes with their bucket, purges, or deletes and makes the bucket anew, beside
# two aggregators: until the bucket has every one of them again as it was. And how often each was written for that. Beside it, as many
# compare-and-set writes of nats.c alone, which nobody has to notice first.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=definitions_back
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"

targets=100000
rounds=5
interval_ms=1000
# Of a definition.
value_bytes=380
first_http_port=9188

all_unknown() { (($(curl -sf "http://127.0.0.1:$1/metrics" | sed -n 's/^pgpulse_aggregator_targets{state="unknown"} //p') == targets)); }
sees_both() { (($(curl -sf "http://127.0.0.1:$1/metrics" | sed -n 's/^pgpulse_aggregator_members{kind="aggregator"} //p') == 2)); }
# How often an aggregator did not hear itself.
deaf() { cat "$work"/log/pgpulse-aggregator-* | grep -c 'does not hear itself' || true; }

# measure HOW WHAT
measure() {
    local deaf_before round=0 what seconds written
    local -a all=() writes=()
    deaf_before=$(deaf)
    while read -r what seconds written; do
        [[ $what == whole ]] || continue
        round=$((round + 1))
        all+=("$seconds") writes+=("$(calc "$written / $targets")")
        tell "$1, round $round: whole after $seconds s, $(thousands "$written") writes"
    done < <("$programs/definitions_back" "$nats_url" "$1" "$rounds" 2>"$work/log/definitions_back")
    ((${#all[@]} == rounds)) || die "$(tail -n1 "$work/log/definitions_back")"
    local most bare
    read -r _ bare _ < <("$programs/bare_cas_burst" "$nats_url" "$targets" "$value_bytes") || die 'bare_cas_burst failed'
    most=$(printf '%s\n' "${all[@]}" | sort -g | tail -n1)
    row "$2" "p50 $(calc "$(median "${all[@]}")" %.1f), max $(calc "$most" %.1f) s" \
        "as many bare compare-and-set writes $(calc "$bare" %.1f) s" "$(calc "$(median "${all[@]}") / $bare" %.1f) x" 'max < 5 s' "$most" '<' 5
    row '  writes a definition, at most' "$(calc "$(printf '%s\n' "${writes[@]}" | sort -g | tail -n1)" %.2f)" - - '' 0 '' 0
    row '  times an aggregator did not hear itself' "$(($(deaf) - deaf_before))" - - '' 0 '' 0
}

begin
start_nats ''
"$programs/define_targets" "$nats_url" "$targets" "$first_target_port" "$target_ports" "$interval_ms" >"$work/log/define_targets" 2>&1 ||
    die "$(tail -n1 "$work/log/define_targets")"
for i in 0 1; do
    port=$((first_http_port + i))
    start "pgpulse-aggregator-$i" '' "$bin/pgpulse-aggregator" --nats "$nats_url" --id "bench-$i" --http "127.0.0.1:$port"
    await "pgpulse-aggregator-$i" "pgpulse-aggregator-$i" curl -sf -o /dev/null "http://127.0.0.1:$port/readyz"
done
for i in 0 1; do await 'each other' "pgpulse-aggregator-$i" sees_both "$((first_http_port + i))"; done
# Nobody pings them: until that is written the server has other work.
for i in 0 1; do await 'all targets unknown' "pgpulse-aggregator-$i" all_unknown "$((first_http_port + i))"; done
measure delete "$(thousands "$targets") definitions whole again that were deleted with their bucket, two aggregators"
measure recreate 'the same where somebody makes the bucket anew'
measure purge 'the same where they were purged'
