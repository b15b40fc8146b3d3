#!/usr/bin/env bash
# How soon after a server was killed NATS carries the first ping that holds it down, and its transition: a real PostgreSQL,
# three workers and an aggregator, in mode session beside fresh pings at the same interval. What a server's end takes
# grows with the processes it has, so it is measured with other clients' sessions as well. The server stands for another
# machine: it has a core of its own, on which its processes end, and all of pgpulse and NATS have the other one.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=crash_to_state
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"

rounds=30
fresh_rounds=15
# Up to so many a server's end takes no longer than without them.
few=10
many=50

define() {
    printf '{"targets": [{"name": "db1", "address": "127.0.0.1", "port": %s, "mode": "%s"}]}\n' "$database_port" "$1" >"$work/targets.json"
    kill -HUP "${probes[@]}"
}

# measure VIA ROUNDS OTHER_SESSIONS: milliseconds, in $ping, $state and, from the one to the other, $quorum, each "p50 p99 max".
measure() {
    local measured
    measured=$(taskset -c "$subject_core" "$programs/crash_to_state" "$nats_url" db1 "$1" "$2" "$3" \
        "host=127.0.0.1 port=$database_port user=postgres dbname=postgres gssencmode=disable" \
        "$database" "$work/start" 2>"$work/log/crash_to_state") || die "$(tail -n1 "$work/log/crash_to_state")"
    ping=$(awk '$1 == "ping" { print $2, $3, $4 }' <<<"$measured")
    state=$(awk '$1 == "state" { print $2, $3, $4 }' <<<"$measured")
    quorum=$(awk '$1 == "quorum" { print $2, $3, $4 }' <<<"$measured")
    tell "$1, $3 other sessions: first ping ${ping// /, } ms; state ${state// /, } ms (p50, p99, max of $2)"
}

shown() { awk '{ printf "p50 %.0f, p99 %.0f, max %.0f ms", $1, $2, $3 }' <<<"$1"; }
p99() { awk '{ print $2 }' <<<"$1"; }

# result WHAT SUBJECT BASELINE [GOAL VALUE OPERATOR BOUND]
result() { row "$1" "$(shown "$2")" "fresh pings $(shown "$3")" "1/$(calc "${3%% *} / ${2%% *}" %.0f)" "${4:-}" "${5:-0}" "${6:-}" "${7:-0}"; }

begin
trap 'if [[ -n $database ]]; then end_database "$database"; fi; end_all' EXIT
start_nats "$subject_core"
make_database
write_start
start aggregator "$subject_core" "$bin/pgpulse-aggregator" --nats "$nats_url" --id bench
start_probes 3

define ping
measure fresh "$fresh_rounds" 0
fresh_ping=$ping fresh_state=$state
define session
for count in 0 "$few" "$many"; do
    measure session "$rounds" "$count"
    result "kill -9 of a server to the first ping that holds it down, mode session, $count other sessions" "$ping" "$fresh_ping"
    if ((count <= few)); then
        result 'the same to the transition on health.state' "$state" "$fresh_state" 'p99 < 50 ms' "$(p99 "$state")" '<' 50
    else
        # The goal is so much later than the first event, of all deaths together and of each by itself. The server's
        # processes end side by side, so that most sessions end late.
        bound=$(calc "$(p99 "$ping") + 30" %.0f)
        result 'the same to the transition on health.state' "$state" "$fresh_state" "p99 < $bound ms" "$(p99 "$state")" '<' "$bound"
        row '  from that ping to the transition of the same death' "$(shown "$quorum")" - - 'p99 < 30 ms' "$(p99 "$quorum")" '<' 30
    fi
done
