#!/usr/bin/env bash
# The whole pipeline on this machine: a database dies, and everybody who should know is told.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/demo.sh [OPTION...]
       scripts/demo.sh --stop FOLDER

Installs what is missing, builds, and starts on 127.0.0.1, in a temporary folder: nats-server, a Consul agent, two
PostgreSQL servers db1 and db2, pgpulse's three daemons and a `consul watch`. Then kills db1 with SIGKILL, shows who
learns of it and how many milliseconds after the kill, and starts db1 again. Leaves no process and no file.

  --keep              leave everything running, and print what to type next
  --stop FOLDER       end what --keep left running, and remove its folder
  --nats-port PORT    nats-server                     (default of all ports: the first free ones from 24222 on)
  --consul-port PORT  Consul's HTTP interface
  --dns-port PORT     Consul's DNS
  --db1-port PORT     PostgreSQL db1
  --db2-port PORT     PostgreSQL db2
  --no-color          no colours; also without a terminal, and where NO_COLOR is set
  --help              this text

Exit code: 0 everything was seen, 1 something failed (one line says what), 2 a wrong option.
TEXT
}

die() {
    echo "demo.sh: $1" >&2
    exit "${2:-1}"
}

root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
bin=$root/build/release/bin
work=''
# shellcheck source=SCRIPTDIR/demo/processes.sh
source "$root/scripts/demo/processes.sh"
# shellcheck source=SCRIPTDIR/demo/servers.sh
source "$root/scripts/demo/servers.sh"
# shellcheck source=SCRIPTDIR/demo/display.sh
source "$root/scripts/demo/display.sh"

keep='' stop='' color=auto
nats_port='' consul_port='' dns_port='' db1_port='' db2_port=''
serf_port='' rpc_port=''

parse_options() {
    while (($#)); do
        case $1 in
            --keep) keep=yes ;;
            --no-color) color=never ;;
            -h | --help)
                usage
                exit 0
                ;;
            --stop | --nats-port | --consul-port | --dns-port | --db1-port | --db2-port)
                (($# > 1)) || die "$1 needs a value; see --help" 2
                local name=${1#--}
                if [[ $1 == *-port ]] && { [[ ! $2 =~ ^[0-9]{1,5}$ ]] || ((10#$2 < 1 || 10#$2 > 65535)); }; then
                    die "$1: \"$2\" is not a port, 1 to 65535" 2
                fi
                printf -v "${name//-/_}" '%s' "$2"
                shift
                ;;
            *) die "unknown option \"$1\"; see --help" 2 ;;
        esac
        shift
    done
}

leave_running=''
finish() {
    local status=$?
    trap - EXIT
    trap '' INT TERM HUP
    if [[ -n $live ]]; then printf '\e[?25h'; fi
    if [[ -n $work && -z $leave_running ]]; then
        # A database may just be being created.
        wait
        end_processes "$work"
        rm -rf "$work"
    fi
    exit "$status"
}

stop_kept() {
    if [[ $1 != */pgpulse-demo.* || ! -f $1/processes ]]; then
        die "$1 is not the folder of a demo that was kept running" 2
    fi
    work=$(cd "$1" && pwd)
    end_processes "$work"
    rm -rf "$work"
    echo "Stopped; nothing is left of $work."
}

choose_ports() {
    take_port nats_port "$nats_port" --nats-port nats-server 24222
    take_port consul_port "$consul_port" --consul-port "Consul's HTTP interface" 28500
    take_port dns_port "$dns_port" --dns-port "Consul's DNS" 28600
    take_port db1_port "$db1_port" --db1-port 'PostgreSQL db1' 25431
    take_port db2_port "$db2_port" --db2-port 'PostgreSQL db2' 25432
    take_port rpc_port '' '' 'Consul itself' 28300
    take_port serf_port '' '' 'Consul itself' 28301
}

what_to_type() {
    cat <<TEXT
   ${bold}nats${plain}     nats --server $nats_url sub 'health.state.>'
            nats --server $nats_url kv get health db1
   ${bold}pgpulse${plain}  build/release/bin/pgpulse --nats $nats_url status
            build/release/bin/pgpulse --nats $nats_url watch
   ${bold}curl${plain}     curl -s http://127.0.0.1:$consul_port/v1/kv/health/db1?raw
            curl -s http://127.0.0.1:$consul_port/v1/health/service/db1?passing=true
   ${bold}consul${plain}   consul watch -http-addr=127.0.0.1:$consul_port -type=checks -service=db1 cat
   ${bold}dig${plain}      dig @127.0.0.1 -p $dns_port db1.service.consul SRV
   ${bold}kill${plain}     kill -KILL \$(head -n1 $work/db2/postmaster.pid)

   Targets, logs and data are in $work. To end it:

            scripts/demo.sh --stop $work
TEXT
}

main() {
    parse_options "$@"
    if [[ -n $stop ]]; then
        stop_kept "$stop"
        return
    fi
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    choose_ports
    choose_display "$color"

    printf '\n%spgpulse%s   a database dies, and everybody who should know is told\n' "$bold" "$plain"
    title '1  Packages and programs'
    "$root/scripts/packages.sh" build run
    "$root/scripts/consul.sh"
    item packages 'all there'
    "$root/scripts/build.sh" release pgpulse-probe pgpulse-aggregator pgpulse-consul-bridge pgpulse
    item programs 'up to date' build/release/bin

    export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8 NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
    # What the user has set for servers of theirs is not meant for these.
    unset "${!NATS_@}" "${!CONSUL_@}" "${!PG@}"
    find_postgres
    work=$(mktemp -d -t pgpulse-demo.XXXXXXXX)
    # PostgreSQL's user passes through.
    chmod 711 "$work"
    mkdir "$work/log" "$work/seen"
    : >"$work/processes"

    title '2  Servers and daemons'
    start_servers
    start_daemons
    start_watchers
    echo
    await_agreement

    local killed killed_first killed_last restarted
    pause 1.5
    title '3  Killing db1'
    killed=$(postmaster db1)
    note 'Each server is pinged once a second, and every 100 ms after a first failure;'
    note 'three failures in a row make it down. Milliseconds since the kill:'
    echo
    remember_children "$killed"
    local at=${EPOCHREALTIME/[.,]/}
    kill -KILL "$killed"
    show_news "$at" down 5
    killed_first=$first_ms killed_last=$last_ms

    pause 1.5
    title '4  Starting db1 again'
    note 'Two successes in a row make it up. Milliseconds since its start:'
    echo
    await_children_end
    restarted=${EPOCHREALTIME/[.,]/}
    start_database db1
    show_news "$restarted" up 6

    title '5  In short'
    say "db1 killed    NATS knew after $killed_first ms, the last watcher of Consul after $killed_last ms."
    say "db1 started   NATS knew after $first_ms ms, the last watcher of Consul after $last_ms ms."
    if [[ -n $keep ]]; then
        end_watchers
        title '6  It is still running. What to type next'
        what_to_type
        leave_running=yes
        return
    fi
    end_processes "$work"
    rm -rf "$work"
    say 'Every process has ended, and the temporary folder is gone.'
    work=''
    echo
}

main "$@"
