# shellcheck shell=bash disable=SC2154 # variables of the scripts that meet in demo.sh
# Sourced by demo.sh: how each server, daemon and watcher of the demo is started, and when it counts as started.
# Uses the caller's $work, $root, $bin and *_port.

consul_get() { curl -s --max-time 2 "http://127.0.0.1:$consul_port/v1/$1"; }

# PostgreSQL refuses to run as root.
as_postgres=()
pg_bin=
find_postgres() {
    local -a found
    mapfile -t found < <(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V)
    ((${#found[@]})) || die 'no PostgreSQL server programs in /usr/lib/postgresql (package postgresql)'
    pg_bin=${found[-1]%/initdb}
    if ((EUID == 0)); then
        # Unlike runuser it stays no process of its own: the id is the postmaster's.
        as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups --)
    fi
}

create_database() {
    local folder=$work/$1 password=$work/password-$1
    mkdir -m 700 "$folder"
    # A password that nobody is told: pgpulse needs none, and no other user of this machine gets in meanwhile.
    (umask 077 && head -c 32 /dev/urandom | base64 >"$password")
    if ((EUID == 0)); then chown postgres: "$folder" "$password"; fi
    (cd "$folder" && "${as_postgres[@]}" "$pg_bin/initdb" -D "$folder" -U postgres -A scram-sha-256 \
        --pwfile="$password" --no-locale -E UTF8 --no-sync --no-instructions) >"$work/log/initdb-$1" 2>&1 ||
        die "initdb of $1: $(tail -n1 "$work/log/initdb-$1")"
    rm "$password"
}

start_database() {
    local port=${1}_port
    # Its log carries the time of each line in seconds, to the millisecond.
    # (PostgreSQL's user may not even look into the caller's folder.)
    cd "$work/$1" || exit
    start "$1" "${as_postgres[@]}" "$pg_bin/postgres" -D "$work/$1" -p "${!port}" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories= -c dynamic_shared_memory_type=mmap -c shared_buffers=16MB -c fsync=off \
        -c lc_messages=C -c log_line_prefix='%n '
    cd "$root" || exit
}

# The process id of a database's postmaster.
postmaster() { head -n1 "$work/$1/postmaster.pid"; }

database_accepts() { grep -q 'ready to accept connections' "$work/log/$1"; }

start_consul() {
    local -a ports=(-http-port="$consul_port" -dns-port="$dns_port" -server-port="$rpc_port"
        -serf-lan-port="$serf_port" -serf-wan-port=-1 -grpc-port=-1)
    # Newer agents have one port more, which older ones do not know.
    if consul agent -help 2>&1 | grep -e -grpc-tls-port >/dev/null; then ports+=(-grpc-tls-port=-1); fi
    start consul consul agent -dev -node=demo -bind=127.0.0.1 -client=127.0.0.1 "${ports[@]}" \
        -hcl 'disable_update_check = true'
}
consul_has_a_leader() { [[ $(consul_get status/leader) == '"127.'* ]]; }

# Asks Consul again and again, each time until something changes, and notes what it said and when.
follow_consul() {
    local path=$1 file=$2 filter=$3 index=0 next at line
    while :; do
        if curl -s --max-time 90 -D "$file.head" -o "$file.body" "http://127.0.0.1:$consul_port/v1/$path?index=$index&wait=60s&recurse"; then
            at=${EPOCHREALTIME/[.,]/}
            next=0
            while read -r line; do
                if [[ ${line,,} =~ ^x-consul-index:\ ([0-9]+) ]]; then next=${BASH_REMATCH[1]}; fi
            done <"$file.head"
            # An index that goes backwards starts again at 0.
            index=$((next < index ? 0 : next))
            jq -r --arg at "$at" "$filter" "$file.body" >>"$file" 2>/dev/null || true
        else
            sleep 0.1
        fi
    done
}

start_servers() {
    nats_url=nats://127.0.0.1:$nats_port
    start nats-server nats-server -a 127.0.0.1 -p "$nats_port" -js -sd "$work/nats"
    start_consul
    create_database db2 &
    local other=$!
    create_database db1
    wait "$other" || exit 1
    start_database db1
    start_database db2

    await nats-server 'accepts connections' accepts "$nats_port"
    item nats-server "127.0.0.1:$nats_port" "$(nats-server --version | awk '{ print $NF }'), with JetStream"
    await consul 'has a leader' consul_has_a_leader
    item consul "127.0.0.1:$consul_port" "$(consul version | awk 'NR == 1 { print $NF }'), DNS on port $dns_port"
    local name port version
    version=$("$pg_bin/postgres" --version | awk '{ print $3 }')
    for name in db1 db2; do
        port=${name}_port
        await "$name" 'accepts connections' database_accepts "$name"
        item "postgres $name" "127.0.0.1:${!port}" "$version"
    done
}

start_daemons() {
    cat >"$work/targets.json" <<JSON
{
  "targets": [
    { "name": "db1", "address": "127.0.0.1", "port": $db1_port, "service": "db1" },
    { "name": "db2", "address": "127.0.0.1", "port": $db2_port, "service": "db2" }
  ]
}
JSON
    start pgpulse-aggregator "$bin/pgpulse-aggregator" --nats "$nats_url" --id demo-aggregator
    start pgpulse-consul-bridge "$bin/pgpulse-consul-bridge" --nats "$nats_url" \
        --consul "http://127.0.0.1:$consul_port" --id demo-bridge
    start pgpulse-probe "$bin/pgpulse-probe" --nats "$nats_url" --targets "$work/targets.json" --id demo-probe
    item pgpulse-probe '' 'pings both as pg_isready does, without a login'
    item pgpulse-aggregator '' 'turns the pings into one state each, in NATS'
    item pgpulse-consul-bridge '' 'makes Consul say what NATS says'
}

# Those who are to learn of db1's death: a user's `consul watch`, a subscriber of NATS, and two readers of Consul's
# HTTP interface. Each notes what it heard and when.
start_watchers() {
    # What a user of Consul writes: it gets all checks of the service as JSON when one of them changes.
    cat >"$work/handler" <<'HANDLER'
#!/usr/bin/env bash
at=${EPOCHREALTIME/[.,]/}
jq -r --arg at "$at" '.[] | [$at, .CheckID, .Status] | @tsv' >>"${0%/*}/seen/watch"
HANDLER
    chmod +x "$work/handler"
    start consul-watch consul watch -http-addr="127.0.0.1:$consul_port" -type=checks -service=db1 "$work/handler"
    item 'consul watch' '' 'runs a handler when a check of db1 changes'

    start watch-nats "$bin/pgpulse" watch --nats "$nats_url" --json
    export -f follow_consul
    export consul_port
    # shellcheck disable=SC2016 # for the inner shell, and jq's variables
    local follow='follow_consul "$@"'
    # shellcheck disable=SC2016
    start watch-checks bash -c "$follow" - health/state/any "$work/seen/checks" \
        '.[] | select(.CheckID | test("^db[12]-isready$")) | [$at, .CheckID, .Status] | @tsv'
    # shellcheck disable=SC2016
    start watch-keys bash -c "$follow" - kv/health/ "$work/seen/keys" \
        '.[] | select(.Value) | .Key as $key | .Value | @base64d | fromjson
         | [$at, $key, .state, "transition \(.transition)"] | @tsv'
}

# What --keep leaves running is the system itself and the `consul watch`.
end_watchers() {
    local name
    for name in watch-nats watch-checks watch-keys; do end_process "$name"; done
}

# Draws the table until everybody says that both are up.
await_agreement() {
    local deadline=$((SECONDS + 30))
    until look && all_say db1 up && all_say db2 up; do
        require_running pgpulse-probe pgpulse-aggregator pgpulse-consul-bridge
        if ((SECONDS >= deadline)); then
            redraw "$(table)" final
            die 'after 30 s not everybody says that db1 and db2 are up'
        fi
        redraw "$(table)"
        sleep 0.1
    done
    redraw "$(table)" final
}
