# shellcheck shell=bash disable=SC2034,SC2154 # variables of the scripts that meet here
# Sourced by the benches: servers that end with the bench, readings, medians and result rows.
# Uses the caller's $name.

root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
bin=$root/build/release/bin
programs=$root/build/release/bench

# The one core of what is measured, and the one of everything that it needs.
subject_core=0
other_core=1

die() {
    echo "$name: $1" >&2
    exit "${2:-1}"
}

work=
started=()

# Starts a command in the background, its output in $work/log/NAME; its id is in $started_pid.
# start NAME CORE COMMAND...   (CORE empty: any)
start() {
    local label=$1 core=$2
    shift 2
    if [[ -n $core ]]; then set -- taskset -c "$core" "$@"; fi
    "$@" >"$work/log/$label" 2>&1 </dev/null &
    started_pid=$!
    started+=("$started_pid")
}

# Ends one of them and waits for its end.
stop() {
    kill -TERM "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

# One that does not end on SIGTERM within ten seconds is killed.
end_all() {
    local pid deadline=$((SECONDS + 10))
    for pid in "${started[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${started[@]}"; do
        while kill -0 "$pid" 2>/dev/null && ((SECONDS < deadline)); do sleep 0.05; done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    if [[ -n $work ]]; then rm -rf "$work"; fi
}

begin() {
    [[ $(cat /sys/class/net/lo/operstate 2>/dev/null) != down ]] || die 'loopback is down; start it through bench/run.sh'
    (($(nproc) >= 2)) || die 'two cores are needed: one for what is measured, one for what it needs'
    [[ -x $programs/fake_postgres ]] || die 'not built; start it through bench/run.sh'
    work=$(mktemp -d)
    trap end_all EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    mkdir "$work/log"
}

# await WHAT LOG COMMAND...: until the command succeeds, for at most 20 s.
await() {
    local what=$1 log=$work/log/$2 deadline=$((SECONDS + 20))
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || die "$what: not within 20 s: $(tail -n1 "$log")"
        sleep 0.05
    done
}

# In a network namespace of its own a bench has all ports for itself.
nats_port=4222
nats_url=nats://127.0.0.1:$nats_port
# start_nats [CORE]
start_nats() {
    start nats-server "${1:-$other_core}" nats-server -a 127.0.0.1 -p "$nats_port" -m 8222 -js -sd "$work/nats"
    nats=$started_pid
    await nats-server nats-server curl -sf http://127.0.0.1:8222/varz
}

# start_fake_postgres [CERTIFICATE KEY]
first_target_port=20000
target_ports=10
start_fake_postgres() {
    start fake_postgres "$other_core" "$programs/fake_postgres" "$first_target_port" "$target_ports" "$@"
    await fake_postgres fake_postgres grep -q listening "$work/log/fake_postgres"
}

# A certificate and its key, $work/server.crt and $work/server.key.
make_certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -keyout "$work/server.key" -out "$work/server.crt" >"$work/log/openssl" 2>&1 || die "openssl: $(tail -n1 "$work/log/openssl")"
}

database_port=25432
database=
# As root PostgreSQL's programs refuse to run.
as_postgres=()
if ((EUID == 0)); then as_postgres=(runuser -u postgres --); fi

# A cluster in $database, its programs in $database_programs. Its superuser is `postgres`, and everyone is trusted; it
# speaks TLS where there is a certificate.
# make_database SETTING...
make_database() {
    database=$work/database
    database_programs=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n1) || die 'no /usr/lib/postgresql/*/bin'
    chmod 711 "$work"
    mkdir "$database"
    if ((EUID == 0)); then chown postgres "$database"; fi
    "${as_postgres[@]}" "$database_programs/initdb" --auth=trust --username=postgres --no-sync -D "$database" >"$work/log/initdb" 2>&1 ||
        die "$(tail -n1 "$work/log/initdb")"
    # Without autovacuum and its like nothing runs but what is measured.
    printf '%s\n' "port = $database_port" "listen_addresses = '127.0.0.1'" "unix_socket_directories = ''" \
        'autovacuum = off' 'fsync = off' "$@" >>"$database/postgresql.conf"
    if [[ -f $work/server.key ]]; then
        install -m 600 "$work/server.key" "$work/server.crt" "$database"
        if ((EUID == 0)); then chown postgres "$database/server.key" "$database/server.crt"; fi
        echo 'ssl = on' >>"$database/postgresql.conf"
    fi
}

# The program $work/start, which starts the cluster in a folder and waits until it accepts; a killed one's processes may take a
# moment to end.
write_start() {
    cat >"$work/start" <<TEXT
#!/usr/bin/env bash
for ((attempt = 0; attempt < 100; ++attempt)); do
    if ${as_postgres[*]} taskset -c $other_core $database_programs/pg_ctl -D "\$1" -l "\$1/log" -s -w start >/dev/null 2>&1; then
        # It begins a session of its own, which the kernel may schedule by itself: it comes as early as all else here.
        sed 's/.*nice //' /proc/self/autogroup >"/proc/\$(head -n1 "\$1/postmaster.pid")/autogroup" 2>/dev/null || true
        exit 0
    fi
    sleep 0.1
done
exit 1
TEXT
    chmod 755 "$work/start"
}

# Ends what $work/start has started there, also where it is stopped: those processes are nobody's children here.
# end_database FOLDER
end_database() {
    local pid
    pid=$(head -n1 "$1/postmaster.pid" 2>/dev/null) || return 0
    # That of a killed one may be another process' by now.
    [[ $(readlink "/proc/$pid/cwd") == "$1" ]] || return 0
    for pid in "$pid" $(pgrep -P "$pid"); do kill -CONT "$pid" 2>/dev/null || true; done
    "${as_postgres[@]}" "$database_programs/pg_ctl" -D "$1" -m immediate -s -w stop >/dev/null 2>&1 || true
}

# A real server; its first process is $postmaster.
# start_postgres SETTING...
start_postgres() {
    make_database "$@"
    start postgres "$other_core" "${as_postgres[@]}" "$database_programs/postgres" -D "$database"
    await postgres postgres grep -q 'ready to accept connections' "$work/log/postgres"
    postmaster=$(head -n1 "$database/postmaster.pid")
}

# How many pings of a worker went `fresh`, or by its `session`s.
# pings_by PORT VIA
pings_by() {
    curl -sf "http://127.0.0.1:$1/metrics" | awk -v via="via=\"$2\"" '
        index($0, "pgpulse_probe_pings_total{") == 1 && index($0, via) { sum += $NF } END { printf "%d", sum }'
}

# Workers bench-1 to bench-COUNT on the core of what is measured, with the targets of $work/targets.json, none at first. They are in
# $probes.
# start_probes COUNT
start_probes() {
    local i
    echo '{"targets": []}' >"$work/targets.json"
    probes=()
    for ((i = 1; i <= $1; ++i)); do
        start "probe-$i" "$subject_core" "$bin/pgpulse-probe" --nats "$nats_url" --id "bench-$i" --http "127.0.0.1:$((9186 + i))" \
            --targets "$work/targets.json"
        probes+=("$started_pid")
        await "probe-$i" "probe-$i" curl -sf -o /dev/null "http://127.0.0.1:$((9186 + i))/readyz"
    done
}

# The CPU seconds, of user and system and of all threads, that a process has used.
cpu_of() {
    local -a stat
    read -r -a stat <<<"$(sed 's/.*) //' "/proc/$1/stat")"
    awk -v ticks="$((stat[11] + stat[12]))" -v hertz="$(getconf CLK_TCK)" 'BEGIN { printf "%.2f", ticks / hertz }'
}

# A line of a process' status that is in KiB: VmRSS (what is resident), VmHWM (the most that was).
# status_kib PID LINE
status_kib() { awk -v name="$2:" '$1 == name { print $2 }' "/proc/$1/status"; }

# metric PORT NAME: the sum over its labels; 0 where it is not there.
metric() {
    curl -sf "http://127.0.0.1:$1/metrics" |
        awk -v name="$2" 'index($0, name) == 1 && substr($0, length(name) + 1, 1) ~ /[{ ]/ { sum += $NF }
                          END { printf "%.0f", sum }'
}

# The counts of a histogram without labels: "le count" a line. histogram PORT NAME
histogram() {
    curl -sf "http://127.0.0.1:$1/metrics" | sed -n "s/^$2_bucket{le=\"\([^\"]*\)\"} \(.*\)/\1 \2/p"
}

# The upper bound of the bucket that holds the quantile $1 of what came between two readings of a histogram.
quantile() {
    paste -d ' ' <(echo "$2") <(echo "$3") | awk -v q="$1" '
        { bound[NR] = $1; count[NR] = $4 - $2 }
        END { for (i = 1; i <= NR; ++i) if (count[i] >= q * count[NR]) { print bound[i]; exit } }'
}

now() { echo "${EPOCHREALTIME/,/.}"; }

calc() { awk "BEGIN { printf \"${2:-%.6g}\", $1 }"; }

# median VALUE...
median() {
    printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END { printf "%.6g", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# row WHAT SUBJECT BASELINE RATIO GOAL VALUE OPERATOR BOUND: one line of the table; met when VALUE OPERATOR BOUND.
row() {
    local met=no
    if [[ -z $7 ]]; then met=; elif awk "BEGIN { exit !($6 $7 $8) }"; then met=yes; fi
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "$5" "$met"
}

# What happens meanwhile, for a person.
tell() { echo "$name: $1" >&2; }

# A number with thousands separated.
thousands() { awk -v n="$1" 'BEGIN { s = sprintf("%.0f", n); while (s ~ /^[0-9]+[0-9][0-9][0-9]($|,)/) sub(/[0-9][0-9][0-9]($|,)/, ",&", s); print s }'; }
