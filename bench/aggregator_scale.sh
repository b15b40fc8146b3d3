#!/usr/bin/env bash
# What many targets take of an aggregator: with 100,000 how long it takes to start and what each costs in memory, without and with
# its observers' evidence; and which share of the pings each of several aggregators folds.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=aggregator_scale
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"

targets=100000
interval_ms=10000
rounds=3
workers=3
# As many pings a second, of fewer targets.
shared_targets=10000
shared_interval_ms=1000
stretch=5
first_http_port=9188

# Without a program of its own, of which each would take a good part of a core.
ready() {
    local answer web
    exec {web}<>"/dev/tcp/127.0.0.1/$1" || return
    printf 'GET /readyz HTTP/1.0\r\n\r\n' >&"$web"
    read -r answer <&"$web"
    exec {web}>&-
    [[ $answer == *' 200 '* ]]
}
has_all() { (($(metric "$1" pgpulse_aggregator_targets) == targets)); }
sees() { (($(curl -sf "http://127.0.0.1:$1/metrics" | sed -n 's/^pgpulse_aggregator_members{kind="aggregator"} //p') == $2)); }
folded() { metric "$1" pgpulse_aggregator_pings_total; }
published() { curl -sf 'http://127.0.0.1:8222/connz?limit=100' | jq '.connections[] | select(.name == "paced_pings") | .in_msgs'; }

# start_aggregator NUMBER: its port is in $port; returns when it is ready.
start_aggregator() {
    port=$((first_http_port + $1))
    start "pgpulse-aggregator-$1" "$subject_core" "$bin/pgpulse-aggregator" --nats "$nats_url" --id "bench-$1" --http "127.0.0.1:$port"
    aggregator=$started_pid
    await "pgpulse-aggregator-$1" "pgpulse-aggregator-$1" ready "$port"
}

# define TARGETS INTERVAL_MS
define() {
    "$programs/define_targets" "$nats_url" "$1" "$first_target_port" "$target_ports" "$2" >"$work/log/define_targets" 2>&1 ||
        die "$(tail -n1 "$work/log/define_targets")"
}
# define_states OBSERVERS
define_states() {
    "$programs/define_states" "$nats_url" "$targets" "$1" >"$work/log/define_states" 2>&1 || die "$(tail -n1 "$work/log/define_states")"
}
start_pings() {
    start paced_pings "$other_core" "$programs/paced_pings" "$nats_url" "$1" "$workers" "$2"
    pings=$started_pid
}

# Pings a second since two readings: rate COUNT SECONDS COUNT_BEFORE SECONDS_BEFORE
rate() { calc "($1 - $3) / ($2 - $4)"; }

# share COUNT: what each of so many aggregators folds of the pings.
share() {
    local count=$1 i all all_at sum most fair
    local -a aggregators=() before=() at=() shares=()
    for ((i = 0; i < count; ++i)); do
        start_aggregator "$i"
        aggregators+=("$aggregator")
    done
    for ((i = 0; i < count; ++i)); do await 'each other' "pgpulse-aggregator-$i" sees $((first_http_port + i)) "$count"; done
    # What was on its way when the last of them came is folded.
    sleep 2
    all=$(published) all_at=$(now)
    for ((i = 0; i < count; ++i)); do before+=("$(folded $((first_http_port + i)))") at+=("$(now)"); done
    sleep "$stretch"
    all=$(rate "$(published)" "$(now)" "$all" "$all_at")
    for ((i = 0; i < count; ++i)); do
        shares+=("$(calc "$(rate "$(folded $((first_http_port + i)))" "$(now)" "${before[i]}" "${at[i]}") / $all")")
    done
    for ((i = 0; i < count; ++i)); do stop "${aggregators[i]}"; done
    sum=$(printf '%s\n' "${shares[@]}" | awk '{ sum += $1 } END { print sum }')
    most=$(printf '%s\n' "${shares[@]}" | sort -g | tail -n1)
    fair=$((count < 2 ? count : 2))
    tell "aggregators: $count; of $(thousands "$all") pings a second they fold $(printf '%s\n' "${shares[@]}" | awk '{ printf "%s%.1f %%", (NR > 1 ? ", " : ""), 100 * $1 }')"
    # A ping that fewer than two of them fold is a gap when one dies.
    awk "BEGIN { exit !($sum > 0.97 * $fair) }" || die "$count aggregators fold a ping $sum times instead of $fair times"
    row "share of the pings that an aggregator folds, one of $count" "mean $(calc "100 * $sum / $count" %.0f) %, most $(calc "100 * $most" %.0f) %" \
        - - "$(calc "100 * $fair / $count" %.0f) %" "$sum" '<=' "$(calc "1.03 * $fair")"
}

begin
start_nats
start_aggregator 0
empty=$(status_kib "$aggregator" VmRSS)
stop "$aggregator"

define "$shared_targets" "$shared_interval_ms"
start_pings "$shared_targets" "$shared_interval_ms"
for count in 1 2 4; do share "$count"; done
stop "$pings"
stop "$nats"
rm -rf "$work/nats"

# measure_starts: into $starts and $bare_starts, and the memory once all is read into $resident.
measure_starts() {
    local round began
    starts=() bare_starts=() resident=()
    for ((round = 1; round <= rounds; ++round)); do
        bare_starts+=("$(taskset -c "$subject_core" "$programs/bare_reader" "$nats_url" health health_targets)")
        began=$(now)
        start_aggregator 0
        starts+=("$(calc "$(now) - $began")")
        await 'all targets' pgpulse-aggregator-0 has_all "$port"
        # What reading them took is given back to the system when it was of no use for two seconds.
        sleep 4
        resident+=("$(status_kib "$aggregator" VmRSS)")
        stop "$aggregator"
        tell "round $round: $(printf 'ready after %.2f s (bare nats.c %.2f s), %.0f MiB resident with %d targets and no evidence, %.0f MiB without targets' \
            "${starts[-1]}" "${bare_starts[-1]}" "$(calc "${resident[-1]} / 1024")" "$targets" "$(calc "$empty / 1024")")"
    done
}

# row_of_starts WHAT: of the starts measured last.
row_of_starts() {
    local start bare_start
    start=$(median "${starts[@]}")
    bare_start=$(median "${bare_starts[@]}")
    row "$1" "$(calc "$start" %.1f) s" "bare nats.c reads both buckets: $(calc "$bare_start" %.1f) s" \
        "$(calc "$start / $bare_start" %.1f) times" '< 3 s' "$start" '<' 3
}

start_nats
define "$targets" "$interval_ms"
define_states 0
measure_starts
row_of_starts "start with $(thousands "$targets") targets"
bare=$(median "${resident[@]}")
# A bucket with a history: of its messages the server looks for the newest.
define_states 0
tell 'every state written twice'
measure_starts
row_of_starts 'the same, every state written twice'
define_states "$workers"
start_aggregator 0
start_pings "$targets" "$interval_ms"
# Every worker has pinged every target.
sleep $((interval_ms * 3 / 2000))
evident=$(status_kib "$aggregator" VmRSS)
expected=$((targets * workers))
heard=$(folded "$port")
((heard >= expected)) || die "the aggregator read $heard pings instead of $expected"
tell "$(printf '%.0f MiB resident with the evidence of %d workers' "$(calc "$evident / 1024")" "$workers")"

each=$(calc "($bare - $empty) * 1024 / $targets")
row "memory of a target besides its evidence" "$(thousands "$each") bytes" "without targets $(calc "$empty / 1024" %.0f) MiB" - \
    '<= 1 KiB' "$each" '<=' 1024
each=$(calc "($evident - $empty) * 1024 / $targets")
row "the same with the evidence of $workers observers" "$(thousands "$each") bytes" - - '' 0 '' 0
