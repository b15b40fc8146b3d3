#!/usr/bin/env bash
# How soon NATS carries a server's transition after it was killed (-9) or hung (SIGSTOP), in mode ping with the defaults: real
# PostgreSQL servers, three workers and an aggregator, each server by itself and all of them at the same moment. The baseline
# watches the same servers at the same time: a script that runs pg_isready every second, and three failures in a row count.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=outage_to_state
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"

# A machine whose PostgreSQL starts a backend in some 50 ms, not 3, stands two. As much is measured whatever their number.
servers=${PGPULSE_BENCH_SERVERS:-12}
kill_rounds=$(((71 + servers) / servers))
# So few hang at the same time that no worker doubts itself.
hung=$((servers < 3 ? servers : 3))
hang_rounds=$(((23 + hung) / hung))
# The script takes three times its timeout to tell of a hang.
scripted_hang_rounds=$(((8 + hung) / hung))
together_rounds=3
interval_ms=1000
first_port=25500

end_databases() {
    local i
    for ((i = 0; i < servers; ++i)); do if [[ -d $work/databases/db$i ]]; then end_database "$work/databases/db$i"; fi; done
}

# So many clusters, copied from one, and all running.
make_databases() {
    local i
    make_database 'shared_buffers = 1MB' 'max_connections = 30' 'max_wal_senders = 0' 'wal_level = minimal'
    write_start
    install -d -m 755 "$work/databases"
    for ((i = 0; i < servers; ++i)); do
        cp -a "$database" "$work/databases/db$i"
        echo "port = $((first_port + i))" >>"$work/databases/db$i/postgresql.conf"
        # Its log is written there as well.
        if ((EUID == 0)); then chown postgres "$work/databases/db$i"; fi
        "$work/start" "$work/databases/db$i" || die "$(tail -n1 "$work/databases/db$i/log")"
    done
}

# define OBSERVERS
define() {
    local i list=''
    for ((i = 0; i < servers; ++i)); do
        list+=$(printf '%s{"name": "db%d", "address": "127.0.0.1", "port": %d, "interval_ms": %d, "observers": %d}' \
            "${list:+, }" "$i" $((first_port + i)) "$interval_ms" "$1")
    done
    printf '{"targets": [%s]}\n' "$list" >"$work/targets.json"
    kill -HUP "${probes[@]}"
}

# quantiles WHAT: of the lines of outage_to_state.
quantiles() { awk -v what="$1" '$1 == what { print $2, $3, $4 }'; }

# measure kill|hang alone|together SERVERS OBSERVERS ROUNDS SCRIPTED_ROUNDS: milliseconds, in $state, $script, and of each
# round's last one in $last, each "p50 p99 max".
measure() {
    local measured
    measured=$("$programs/outage_to_state" "$nats_url" "$@" "$first_port" "$work/databases" "$work/start" \
        "$database_programs/pg_isready" 2>"$work/log/outage_to_state") || die "$(tail -n1 "$work/log/outage_to_state")"
    measured=$(grep -E '^(ping|state|script|last) ' <<<"$measured")
    state=$(quantiles state <<<"$measured") script=$(quantiles script <<<"$measured") last=$(quantiles last <<<"$measured")
    tell "$1 $2, $3 servers, $4 observers, $5 rounds: $(awk '{ printf "%s%s %.0f, %.0f, %.0f ms", (NR > 1 ? "; " : ""), $1, $2, $3, $4 }' <<<"$measured") (p50, p99, max)"
}

shown() { awk '{ printf "p50 %.0f, p99 %.0f ms", $1, $2 }' <<<"$1"; }
p50() { awk '{ print $1 }' <<<"$1"; }
p99() { awk '{ print $2 }' <<<"$1"; }
longest() { awk '{ print $3 }' <<<"$1"; }

# together ALONE: the row of all at the same moment against one by itself.
together() {
    local later
    later=$(calc "$(longest "$last") - $(longest "$1")")
    row "the same, all $servers at the same moment, the last of them" "p50 $(calc "$(p50 "$last")" %.0f), max $(calc "$(longest "$last")" %.0f) ms" \
        "one by itself, max $(calc "$(longest "$1")" %.0f) ms" "$(calc "$later" %+.0f) ms" '<= 2 intervals later' "$later" '<=' $((2 * interval_ms))
}

begin
trap 'end_databases; end_all' EXIT
start_nats
make_databases
start aggregator "$subject_core" "$bin/pgpulse-aggregator" --nats "$nats_url" --id bench
start_probes 3

define 3
measure kill alone "$servers" 3 "$kill_rounds" "$kill_rounds"
killed=$state
row 'kill -9 of a server to the transition, mode ping, 3 observers, median' "$(shown "$killed")" "pg_isready script $(shown "$script")" \
    "1/$(calc "$(p50 "$script") / $(p50 "$killed")" %.0f)" '< 0.6 s' "$(p50 "$killed")" '<' 600
row '  p99' "$(shown "$killed")" "pg_isready script $(shown "$script")" "1/$(calc "$(p99 "$script") / $(p99 "$killed")" %.0f)" \
    '< 1.3 s' "$(p99 "$killed")" '<' 1300
measure kill together "$servers" 3 "$together_rounds" 0
together "$killed"

define 2
measure hang alone "$hung" 2 "$hang_rounds" "$scripted_hang_rounds"
stopped=$state
row 'hang (SIGSTOP) of a server to the transition, 2 observers, p99' "$(shown "$stopped")" "pg_isready script $(shown "$script")" \
    "1/$(calc "$(p99 "$script") / $(p99 "$stopped")" %.0f)" '< 4 s' "$(p99 "$stopped")" '<' 4000
measure hang together "$servers" 2 "$together_rounds" 0
together "$stopped"
