#!/usr/bin/env bash
# What a target costs its server, and the worker, by a held session and by fresh pings at the same interval: one real
# PostgreSQL, its CPU time counted over all of its processes. What both cost without any target is taken off. Sessions are
# checked by the dozen, since a single one's checks are lost among the ticks of the CPU clock.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=session_cost
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"

rounds=3
stretch=8
interval_ms=50
sessions=20
probe_port=9187

# CPU ticks of the postmaster, of its living children and of those that have ended.
server_ticks() {
    local pid total=0
    local -a stat
    for pid in "$postmaster" $(pgrep -P "$postmaster"); do
        [[ -r /proc/$pid/stat ]] || continue
        read -r -a stat <<<"$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null)" || continue
        total=$((total + stat[11] + stat[12]))
        if [[ $pid == "$postmaster" ]]; then total=$((total + stat[13] + stat[14])); fi
    done
    echo "$total"
}

# define MODE INTERVAL_MS: the one server, by held sessions of all its targets, or by fresh pings of the first one alone. No other ping
# checks the listener.
define() {
    local i list='' pace
    for ((i = 1; i <= sessions; ++i)); do
        pace=$2
        if [[ $1 == ping ]] && ((i > 1)); then pace=86400000; fi
        list+=$(printf '%s{"name": "db%d", "address": "127.0.0.1", "port": %s, "mode": "%s", "interval_ms": %s, "fast_interval_ms": %s, "timeout_ms": 5000, "listener_interval_ms": 86400000, "observers": 1}' \
            "${list:+, }" "$i" "$database_port" "$1" "$pace" "$pace")
    done
    printf '{"targets": [%s]}\n' "$list" >"$work/targets.json"
    kill -HUP "$probe"
}
all_open() { (($(metric "$probe_port" pgpulse_probe_sessions) == sessions)); }
goes_by() { local before=$1; (($(pings_by "$probe_port" "$2") > before + 60)); }

# Microseconds of CPU a second without any target, of the server and of the worker.
measure_idle() {
    local ticks cpu
    ticks=$(server_ticks) cpu=$(cpu_of "$probe")
    sleep "$stretch"
    idle_server_us=$(calc "($(server_ticks) - $ticks) / $(getconf CLK_TCK) / $stretch * 1e6")
    idle_worker_us=$(calc "($(cpu_of "$probe") - $cpu) / $stretch * 1e6")
}

# One stretch: microseconds of the server's and of the worker's CPU a ping of kind $1.
measure() {
    local via=$1 pings ticks cpu at seconds
    await 'pings' pgpulse-probe goes_by "$(pings_by "$probe_port" "$via")" "$via"
    pings=$(pings_by "$probe_port" "$via") ticks=$(server_ticks) cpu=$(cpu_of "$probe") at=$(now)
    sleep "$stretch"
    pings=$(($(pings_by "$probe_port" "$via") - pings)) seconds=$(calc "$(now) - $at")
    server_us=$(calc "(($(server_ticks) - $ticks) / $(getconf CLK_TCK) * 1e6 - $idle_server_us * $seconds) / $pings")
    worker_us=$(calc "(($(cpu_of "$probe") - $cpu) * 1e6 - $idle_worker_us * $seconds) / $pings")
}

begin
start_nats
# shellcheck disable=SC2119 # it has none
start_postgres
echo '{"targets": []}' >"$work/targets.json"
start pgpulse-probe "$subject_core" "$bin/pgpulse-probe" --nats "$nats_url" --id bench --http "127.0.0.1:$probe_port" \
    --targets "$work/targets.json"
probe=$started_pid
await pgpulse-probe pgpulse-probe curl -sf -o /dev/null "http://127.0.0.1:$probe_port/readyz"

measure_idle
checks=() fresh=() worker_checks=()
# A target without its session yet is pinged by fresh connections, which so many logins at once would not get past.
define session 5000
await 'sessions' pgpulse-probe all_open
define session "$interval_ms"
for ((round = 1; round <= rounds; ++round)); do
    measure session
    checks+=("$server_us") worker_checks+=("$worker_us")
    tell "round $round: $(printf 'server %.0f us a check; worker %.0f us' "$server_us" "$worker_us")"
done
define ping "$interval_ms"
for ((round = 1; round <= rounds; ++round)); do
    measure fresh
    fresh+=("$server_us")
    tell "round $round: $(printf 'server %.0f us a fresh ping' "$server_us")"
done
check=$(median "${checks[@]}") ping=$(median "${fresh[@]}")
ratio=$(calc "$ping / $check")
row "server's CPU a check of the session" "$(calc "$check" %.0f) us" "fresh ping $(calc "$ping" %.0f) us" "1/$(calc "$ratio" %.0f)" '<= 1/50' "$ratio" '>=' 50
# With the defaults: a check a second by each of three observers, and a fresh ping every five seconds among them.
sum=$(calc "3 * $check + $ping / 5") alone=$(calc "3 * $ping")
row "server's CPU a second, session mode with its listener checks, 3 observers at 1 s" "$(calc "$sum" %.0f) us" \
    "fresh pings $(calc "$alone" %.0f) us" "1/$(calc "$alone / $sum" %.0f)" '' 0 '' 0
row "worker's CPU a check of the session" "$(calc "$(median "${worker_checks[@]}")" %.0f) us" - - '' 0 '' 0
