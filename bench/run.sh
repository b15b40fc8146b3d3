#!/usr/bin/env bash
# Runs the benches and prints what they measured as one table.
set -euo pipefail

benches=(ping_rate tls_rate fleet_scale hostile_peers session_cost session_rate crash_to_state outage_to_state
    aggregator_rate aggregator_scale mass_outage definitions_back decision_latency consul_rate consul_latency
    consul_takeover consul_registration contract)

usage() {
    cat <<'TEXT'
Usage: bench/run.sh [--first] [NAME...]

Installs what is missing, builds the release preset, runs the named benches (default: all, about twenty-four minutes) and
prints a table: what was measured, the baseline of the same run, their ratio, the goal and whether it is met.

Benches:
  ping_rate        pings a second on one core with the publish, and CPU a ping, against a bare libpq loop and pg_isready
  tls_rate         the same with TLS, each ping a whole handshake, against a bare libpq loop with TLS
  fleet_scale      memory a target, start and lateness of one worker with 100,000 targets
  hostile_peers    what hostile targets cost the other targets of a worker
  session_cost     CPU of a real server by a held session, against fresh pings
  session_rate     checks of held sessions a second on one core and memory a session, without and with TLS, against a bare loop of Syncs
  crash_to_state   from a server's kill -9 to the ping and to the transition on NATS, against fresh pings
  outage_to_state  from a server's kill -9 or hang to the transition on NATS in mode ping, alone and all at once, against a script
  aggregator_rate  pings a second folded on one core, against a bare nats.c subscriber
  aggregator_scale start and memory a target with 100,000 targets, and the share of the pings each of several aggregators folds
  mass_outage      from the last deciding ping to 10,000 targets down in the bucket, against bare compare-and-set writes
  definitions_back from the loss of 100,000 definitions to their being back beside two aggregators, deleted or purged
  decision_latency from a deciding ping to the transition on NATS, against a bare message, compare-and-set and republished value
  consul_rate      transitions a second into Consul and 1,000 at once, against a bare client's transactions and sequential requests
  consul_latency   from a transition in the bucket to the handler of a consul watch, against one KV put or check update
  consul_takeover  1,000 transitions at the moment at which one of two bridges is killed: until Consul has all
  consul_registration  100,000 targets registered from nothing, and Consul compared with the bucket: time, CPU, memory
  contract         CPU to encode, decode and tally one ping

Options:
  --first  before everything else that runs on this machine, which may be starved meanwhile (needs root)
  --help   this text

Subject and baseline run in turn, several times, in a network namespace of their own; shown are medians. Two cores are
needed: one for what is measured and one for everything that it needs. Writes only into the build folder and a temporary one.
docs/benchmarks.md says what the figures mean.
TEXT
}

die() {
    echo "run.sh: $1" >&2
    exit "${2:-1}"
}

root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)

# In namespaces of its own: connection tracking, where the machine has it, would fill up within seconds.
run_in_namespace() {
    ip link set lo up
    local bench status=0
    for bench in "$@"; do
        "$root/bench/$bench.sh" || status=1
    done
    return "$status"
}

# Tab-separated lines as a table with a heading.
table() {
    { printf 'measured\tpgpulse\tbaseline\tratio\tgoal\tmet\n' && cat; } | awk -F '\t' '
        {
            for (i = 1; i <= NF; ++i) {
                cell[NR, i] = $i
                if (length($i) > width[i]) width[i] = length($i)
            }
            columns = NF > columns ? NF : columns
        }
        END {
            for (row = 1; row <= NR; ++row) {
                line = ""
                for (i = 1; i <= columns; ++i) line = line sprintf("%-*s  ", width[i], cell[row, i])
                sub(/ +$/, "", line)
                print line
            }
        }'
}

main() {
    local first='' name known
    local -a names=()
    while (($#)); do
        case $1 in
            -h | --help)
                usage
                return
                ;;
            --first) first=yes ;;
            --in-namespace)
                shift
                run_in_namespace "$@"
                return
                ;;
            -*) die "unknown option \"$1\"; see --help" 2 ;;
            *) names+=("$1") ;;
        esac
        shift
    done
    for name in "${names[@]}"; do
        known=
        for bench in "${benches[@]}"; do [[ $bench != "$name" ]] || known=yes; done
        [[ -n $known ]] || die "unknown bench \"$name\"; expected ${benches[*]}" 2
    done
    ((${#names[@]})) || names=("${benches[@]}")

    export PATH="$PATH:/usr/sbin:/sbin"
    "$root/scripts/packages.sh" build run test
    "$root/scripts/consul.sh"
    "$root/scripts/build.sh" release

    # Without root a user namespace gives the right to a network namespace.
    local -a namespace=(unshare --net)
    if ((EUID != 0)); then namespace=(unshare --user --map-root-user --net); fi
    "${namespace[@]}" true 2>/dev/null || die 'no right to a network namespace: run this as root'
    if [[ -n $first ]]; then
        ((EUID == 0)) || die '--first: run this as root'
        # Where the kernel schedules by session, a process' own priority counts within its session only.
        # shellcheck disable=SC2016 # for the inner shell
        namespace+=(setsid --wait bash -c 'renice -n -19 -p $$ >/dev/null; echo -19 >/proc/self/autogroup 2>/dev/null; exec "$@"' -)
    fi

    local rows status=0
    rows=$("${namespace[@]}" "$root/bench/run.sh" --in-namespace "${names[@]}") || status=$?
    table <<<"$rows"
    return "$status"
}

main "$@"
