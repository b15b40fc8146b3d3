#!/usr/bin/env bash
# How soon after a server was killed NATS carries the first ping that holds it down, and its transition: a real PostgreSQL,
# three workers and an aggregator, in mode session beside fresh pings at the same interval. What a server's end takes
# grows with the processes it has, so it is measured with other clients' sessions as well.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=crash_to_state
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"

rounds=30
fresh_rounds=15
others=50

# Its processes are nobody's children here.
end_database() { if [[ -n $database ]]; then "${as_postgres[@]}" "$database_programs/pg_ctl" -D "$database" -m immediate -s -w stop >/dev/null 2>&1 || true; fi; }

# Starts the database and waits until it accepts; the killed one's processes may take a moment to end.
write_start() {
    cat >"$work/start" <<TEXT
#!/usr/bin/env bash
for ((attempt = 0; attempt < 100; ++attempt)); do
    if ${as_postgres[*]} taskset -c $other_core $database_programs/pg_ctl -D $database -l $database/log -s -w start >/dev/null 2>&1; then exit 0; fi
    sleep 0.1
done
exit 1
TEXT
    chmod 755 "$work/start"
}

define() {
    printf '{"targets": [{"name": "db1", "address": "127.0.0.1", "port": %s, "mode": "%s"}]}\n' "$database_port" "$1" >"$work/targets.json"
    kill -HUP "${probes[@]}"
}

# measure VIA ROUNDS OTHER_SESSIONS: milliseconds, in $ping and $state, each "p50 p99 max".
measure() {
    local measured
    measured=$("$programs/crash_to_state" "$nats_url" db1 "$1" "$2" "$3" \
        "host=127.0.0.1 port=$database_port user=postgres dbname=postgres gssencmode=disable" \
        "$database/postmaster.pid" "$work/start" 2>"$work/log/crash_to_state") || die "$(tail -n1 "$work/log/crash_to_state")"
    ping=$(awk '$1 == "ping" { print $2, $3, $4 }' <<<"$measured")
    state=$(awk '$1 == "state" { print $2, $3, $4 }' <<<"$measured")
    tell "$1, $3 other sessions: first ping ${ping// /, } ms; state ${state// /, } ms (p50, p99, max of $2)"
}

shown() { awk '{ printf "p50 %.0f, max %.0f ms", $1, $3 }' <<<"$1"; }

# result WHAT SUBJECT BASELINE
result() { row "$1" "$(shown "$2")" "fresh pings $(shown "$3")" "1/$(calc "${3%% *} / ${2%% *}" %.0f)" '' 0 '' 0; }

begin
trap 'end_database; end_all' EXIT
start_nats
make_database
write_start
start aggregator "$subject_core" "$bin/pgpulse-aggregator" --nats "$nats_url" --id bench
echo '{"targets": []}' >"$work/targets.json"
probes=()
for ((i = 1; i <= 3; ++i)); do
    start "probe-$i" "$subject_core" "$bin/pgpulse-probe" --nats "$nats_url" --id "bench-$i" --http "127.0.0.1:$((9186 + i))" \
        --targets "$work/targets.json"
    probes+=("$started_pid")
    await "probe-$i" "probe-$i" curl -sf -o /dev/null "http://127.0.0.1:$((9186 + i))/readyz"
done

define ping
measure fresh "$fresh_rounds" 0
fresh_ping=$ping fresh_state=$state
define session
for count in 0 "$others"; do
    measure session "$rounds" "$count"
    result "kill -9 of a server to the first ping that holds it down, mode session, $count other sessions" "$ping" "$fresh_ping"
    result "the same to the transition on health.state" "$state" "$fresh_state"
done
