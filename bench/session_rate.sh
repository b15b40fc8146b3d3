#!/usr/bin/env bash
# What held sessions cost a worker: CPU a check, against a bare loop that sends the same Syncs at the same pace, and memory
# a session, both without and with TLS, on one real PostgreSQL.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=session_rate
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"

rounds=3
stretch=6
sessions=200
interval_ms=50
probe_port=9187

ready() { curl -sf -o /dev/null "http://127.0.0.1:$probe_port/readyz"; }
all_open() { (($(metric "$probe_port" pgpulse_probe_sessions) == sessions)); }
checked() { (($(pings_by "$probe_port" session) > $1)); }

# define SSLMODE INTERVAL_MS COUNT: writes the file that the worker reads. No fresh ping checks the listener.
define() {
    local i list=''
    for ((i = 1; i <= $3; ++i)); do
        list+=$(printf '%s{"name": "db%d", "address": "127.0.0.1", "port": %s, "mode": "session", "sslmode": "%s", "interval_ms": %s, "fast_interval_ms": 5000, "timeout_ms": 5000, "listener_interval_ms": 86400000, "observers": 1}' \
            "${list:+, }" "$i" "$database_port" "$1" "$2")
    done
    printf '{"targets": [%s]}\n' "$list" >"$work/targets.json"
}

start_probe() {
    start pgpulse-probe "$subject_core" "$bin/pgpulse-probe" --nats "$nats_url" --id bench --http "127.0.0.1:$probe_port" \
        --targets "$work/targets.json"
    probe=$started_pid
    await pgpulse-probe pgpulse-probe ready
}

# The bare loop's and the worker's CPU a check in microseconds, and bytes a session, in this way of connecting.
measure() {
    local sslmode=$1 round checks cpu bare_checks bare_cpu
    local -a bare=() worker=()
    for ((round = 1; round <= rounds; ++round)); do
        read -r bare_checks _ bare_cpu < <(taskset -c "$subject_core" "$programs/bare_sync_loop" \
            "$database_port" "$sslmode" "$sessions" "$interval_ms" "$stretch") || die 'bare_sync_loop failed'
        bare+=("$(calc "$bare_cpu / $bare_checks * 1e6")")
    done
    # A target without its session yet is pinged by fresh connections, which so many logins at once would not get past.
    define "$sslmode" 5000 "$sessions"
    start_probe
    await 'sessions' pgpulse-probe all_open
    define "$sslmode" "$interval_ms" "$sessions"
    kill -HUP "$probe"
    await 'checks' pgpulse-probe checked $((sessions * 20))
    session_bytes=$(calc "($(status_kib "$probe" VmRSS) - $empty_kib) * 1024 / $sessions")
    for ((round = 1; round <= rounds; ++round)); do
        checks=$(pings_by "$probe_port" session) cpu=$(cpu_of "$probe")
        sleep "$stretch"
        checks=$(($(pings_by "$probe_port" session) - checks))
        worker+=("$(calc "($(cpu_of "$probe") - $cpu) * 1e6 / $checks")")
        tell "sslmode $sslmode, round $round: $(printf 'worker %.0f us a check at %.0f/s, bare loop %.0f us' \
            "${worker[-1]}" "$(calc "$checks / $stretch")" "${bare[round - 1]}")"
    done
    stop "$probe"
    bare_us=$(median "${bare[@]}") worker_us=$(median "${worker[@]}")
}

rows_of() {
    row "checks of held sessions with publish per core second$1" "$(thousands "$(calc "1e6 / $worker_us")")" \
        "bare loop of Syncs$1 $(thousands "$(calc "1e6 / $bare_us")")" "$(calc "100 * $bare_us / $worker_us" %.0f) %" '' 0 '' 0
    row "memory of a held session$1, its target included" "$(thousands "$session_bytes") bytes" - - '' 0 '' 0
}

begin
start_nats
make_certificate
start_postgres 'max_connections = 300'
define disable 5000 0
start_probe
empty_kib=$(status_kib "$probe" VmRSS)
stop "$probe"
measure disable
rows_of ''
measure require
rows_of ', TLS'
