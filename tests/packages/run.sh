#!/usr/bin/env bash
# Installs the Debian packages into a bare Debian, runs the programs there, first without and then with a systemd that
# watches over them, and removes them again. Beside them run a real nats-server and a PostgreSQL of this machine.
set -euo pipefail
cd "${BASH_SOURCE[0]%/*}/../.."

usage() {
    cat <<'TEXT'
Usage: tests/packages/run.sh [--no-boot]

Builds the packages (scripts/package.sh) and tries them in a debootstrap of this machine's Debian release, on this
machine's mirror. Needs root. The bare system and what apt downloaded are kept in build/packages-test for the next time.

  --no-boot   leave out what needs systemd-nspawn to boot that system: units, credentials, watchdog, upgrade

Exit code: 0 everything was seen, 1 something was not, the last line says what, 2 wrong usage.
TEXT
}

die() {
    echo "tests/packages/run.sh: $1" >&2
    exit "${2:-1}"
}

root=$PWD
cache=$root/build/packages-test
work='' layers='' tree='' leader=''
nats_port='' db1_port=''
# shellcheck source=SCRIPTDIR/../../scripts/demo/processes.sh
source "$root/scripts/demo/processes.sh"
# shellcheck source=SCRIPTDIR/../../scripts/demo/servers.sh
source "$root/scripts/demo/servers.sh"

daemons=(pgpulse-probe pgpulse-aggregator pgpulse-consul-bridge)
packages=(pgpulse "${daemons[@]}")

step() { echo "=== $1"; }
seen() { echo "    $1"; }

# eventually SECONDS WHAT COMMAND...
eventually() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        ((SECONDS < deadline)) || die "not seen: $what"
        sleep 0.1
    done
    seen "$what"
}

finish() {
    local status=$?
    trap - EXIT
    trap '' INT TERM HUP
    if [[ -n $work ]]; then
        if ((status)) && [[ -n $leader ]]; then inside journalctl --no-pager -q -n 40 >&2 || true; fi
        if [[ -f $work/processes ]]; then end_processes "$work"; fi
        if [[ -n $tree ]]; then
            local mounted
            for mounted in "$tree/var/cache/apt/archives" "$tree/proc" "$tree"; do
                if mountpoint -q "$mounted"; then umount --lazy "$mounted"; fi
            done
        fi
        rm -rf "$work" "$layers"
    fi
    if ((status == 0)); then echo 'PASS: the packages install, run and go'; fi
    exit "$status"
}

# --- the bare system

# The first repository of this machine's apt whose Release file says this label.
# shellcheck disable=SC2016 # $(REPO_URI) is apt's own field
repository() { apt-get indextargets --format '$(REPO_URI)' "Label: $1" | head -n 1; }

make_base() {
    local release=$1 mirror security
    base=$cache/$release
    [[ ! -f $base.complete ]] || return 0
    mirror=$(repository Debian)
    security=$(repository Debian-Security)
    [[ -n $mirror ]] || die 'apt on this machine knows no Debian mirror (apt-get update?)'
    rm -rf "$base"
    mkdir -p "$base"
    debootstrap --variant=minbase "$release" "$base" "$mirror" >"$cache/debootstrap.log" 2>&1 ||
        die "debootstrap: $(tail -n 1 "$cache/debootstrap.log") ($cache/debootstrap.log)"
    {
        echo "deb $mirror $release main"
        if [[ -n $security ]]; then echo "deb $security $release-security main"; fi
    } >"$base/etc/apt/sources.list"
    apt-config dump Acquire | grep -E '^Acquire::(http|https|Check-)' >"$base/etc/apt/apt.conf.d/90acquire" || true
    touch "$base.complete"
}

# A system of its own over the bare one, which stays as it is.
make_tree() {
    # Not in the temporary folder, which may be an overlay itself.
    layers=$(mktemp -d "$cache/run.XXXXXX")
    chmod 755 "$layers"
    tree=$layers/tree
    mkdir -p "$tree" "$layers/upper" "$layers/work" "$cache/archives/partial"
    mount -t overlay overlay -o "lowerdir=$base,upperdir=$layers/upper,workdir=$layers/work" "$tree"
    mount --bind "$cache/archives" "$tree/var/cache/apt/archives"
    mount -t proc proc "$tree/proc"
    cp /etc/resolv.conf "$tree/etc/resolv.conf"
    echo bare >"$tree/etc/hostname"
    mkdir "$tree/packages"
    cp build/packages/*.deb "$tree/packages"
}

# Runs a command in the system, booted or not.
inside() {
    if [[ -n $leader ]]; then
        nsenter --target "$leader" --mount --uts --ipc --pid --net -- "$@"
    else
        chroot "$tree" "$@"
    fi
}

apt_inside() {
    inside env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -y --no-install-recommends "$@" \
        </dev/null >"$work/log/apt" 2>&1 || die "apt-get $*: $(grep -m1 '^E:' "$work/log/apt" || tail -n 1 "$work/log/apt")"
}

install_packages() {
    local -a files=("$tree"/packages/*.deb)
    apt_inside "$@" install "${files[@]#"$tree"}"
}

# What is there of pgpulse, beside what apt and the journal note.
traces() {
    (cd "$tree" && find etc usr lib opt srv root var -xdev \( -path var/cache -o -path var/log -o -path 'var/lib/apt' \) \
        -prune -o -path '*pgpulse*' -print | sort)
}

expect_conffiles_alone() {
    local daemon left expected='etc/pgpulse'
    for daemon in "${daemons[@]}"; do
        expected+=$'\n'"etc/default/$daemon"$'\n'"etc/pgpulse/${daemon#pgpulse-}.toml"
    done
    # dpkg's own note of the conffiles, and systemd's helper's of what might be enabled.
    left=$(traces | grep -vE '^var/lib/(dpkg/info|systemd/deb-systemd-helper-enabled)/' || true)
    [[ $left == "$(sort <<<"$expected")" ]] || die "after apt-get remove there is not exactly the configuration: $left"
    seen 'removed: nothing is left but the configuration'
}

remove_and_purge() {
    apt_inside remove "${packages[@]}"
    expect_conffiles_alone
    apt_inside purge "${packages[@]}"
    [[ -z $(traces) ]] || die "after apt-get purge there is still: $(traces | tr '\n' ' ')"
    seen 'purged: nothing is left'
}

# --- the servers beside it

start_servers_beside() {
    take_port nats_port '' '' nats-server 24222
    take_port db1_port '' '' PostgreSQL 25431
    (umask 077 && for secret in nats postgres; do head -c 18 /dev/urandom | base64 >"$work/$secret.password"; done)
    (umask 077 && cat >"$work/nats.conf") <<CONF
listen: "127.0.0.1:$nats_port"
jetstream { store_dir: "$work/nats" }
authorization { user: "pgpulse", password: "$(<"$work/nats.password")" }
CONF
    start nats-server nats-server -c "$work/nats.conf"
    mkdir -m 700 "$work/db1"
    cp "$work/postgres.password" "$work/initdb.password"
    chown postgres: "$work/db1" "$work/initdb.password"
    find_postgres
    (cd / && "${as_postgres[@]}" "$pg_bin/initdb" -D "$work/db1" -U postgres -A scram-sha-256 \
        --pwfile="$work/initdb.password" --no-locale -E UTF8 --no-sync --no-instructions) >"$work/log/initdb" 2>&1 ||
        die "initdb: $(tail -n 1 "$work/log/initdb")"
    start_database db1
    await nats-server 'accepts connections' accepts "$nats_port"
    await db1 'accepts connections' database_accepts db1
    nats_url=nats://127.0.0.1:$nats_port
}

ask_pgpulse() {
    install -m 600 "$work/nats.password" "$tree/etc/nats.password"
    inside env NATS_URL="$nats_url" NATS_USER=pgpulse NATS_PASSWORD_FILE=/etc/nats.password pgpulse "$@" 2>&1
}
# status_says FIELD VALUE
status_says() { [[ $(ask_pgpulse status --json db1 | jq -r ".state.$1" 2>/dev/null) == "$2" ]]; }

# --- without systemd

run_without_systemd() {
    step 'a bare Debian: install, run, remove'
    apt_inside update
    local before
    before=$(inside dpkg-query -W | wc -l)
    install_packages
    seen "installed, with $(($(inside dpkg-query -W | wc -l) - before - ${#packages[@]})) libraries"
    ! traces | grep -q '\.wants/' || die 'a unit is enabled by its installation'
    local program
    for program in "${packages[@]}"; do
        inside "$program" --version >/dev/null || die "$program does not run there"
    done

    echo '{"targets": [{"name": "db1", "address": "127.0.0.1", "port": '"$db1_port"'}]}' >"$tree/etc/targets.json"
    install -m 600 "$work/nats.password" "$tree/etc/nats.password"
    export NATS_URL=$nats_url NATS_USER=pgpulse NATS_PASSWORD_FILE=/etc/nats.password
    start pgpulse-aggregator chroot "$tree" pgpulse-aggregator --config /etc/pgpulse/aggregator.toml
    start pgpulse-probe chroot "$tree" pgpulse-probe --config /etc/pgpulse/probe.toml --targets /etc/targets.json
    start pgpulse-consul-bridge chroot "$tree" pgpulse-consul-bridge --config /etc/pgpulse/consul-bridge.toml
    unset NATS_URL NATS_USER NATS_PASSWORD_FILE
    eventually 60 'pgpulse status: db1 is up' status_says state up
    require_running "${daemons[@]}"
    end_process pgpulse-probe
    end_process pgpulse-aggregator
    end_process pgpulse-consul-bridge
    rm "$tree/etc/targets.json"
    remove_and_purge
}

# --- with systemd

boot() {
    apt_inside install systemd-sysv dbus
    umount "$tree/proc"
    # Its network is this machine's, so that it finds the servers on loopback.
    start bare-debian systemd-nspawn --quiet --directory="$tree" --machine=pgpulse-test-$$ --register=no --keep-unit \
        --boot --resolv-conf=off --timezone=off
    local nspawn=$started
    eventually 30 'systemd-nspawn has started it' has_child "$nspawn"
    leader=$(children "$nspawn" | head -n 1)
    eventually 120 'systemd is up' is_up
}
has_child() { [[ -n $(children "$1") ]]; }
is_up() { [[ $(inside systemctl is-system-running 2>/dev/null) =~ ^(running|degraded)$ ]]; }

property() { inside systemctl show --property="$2" --value "$1.service"; }
is_active() { inside systemctl --quiet is-active "$1"; }
status_text_is() { [[ $(property "$1" StatusText) == "$2" ]]; }
was_restarted() { (($(property "$1" NRestarts) > 0)) && is_active "$1"; }
has_another_pid() { [[ $(property "$1" MainPID) != 0 && $(property "$1" MainPID) != "$2" ]] && is_active "$1"; }

# set_option FILE LINE KEY: the example's line of this key is to be this.
set_line() {
    grep -q "^#$3" "$tree/etc/$1" || die "/etc/$1 has no line '#$3'"
    sed -i "s|^#$3.*|$2|" "$tree/etc/$1"
}

configure() {
    local daemon short
    install -d -m 700 "$tree/etc/credstore"
    for daemon in "${daemons[@]}"; do
        short=${daemon#pgpulse-}
        install -m 600 "$work/nats.password" "$tree/etc/credstore/$daemon.nats.password"
        set_line "pgpulse/$short.toml" "nats = \"$nats_url\"" 'nats = '
        set_line "default/$daemon" 'NATS_USER=pgpulse' NATS_USER=
        set_line "default/$daemon" "NATS_PASSWORD_FILE=/run/credentials/$daemon.service/nats.password" NATS_PASSWORD_FILE=
    done
    install -m 600 /dev/stdin "$tree/etc/credstore/pgpulse-probe.pgpass" <<<"*:*:*:postgres:$(<"$work/postgres.password")"
    cat >"$tree/etc/pgpulse/targets.json" <<JSON
{ "targets": [ { "name": "db1", "address": "127.0.0.1", "port": $db1_port, "mode": "session", "user": "postgres",
  "database": "postgres", "credentials": "passfile:/run/credentials/pgpulse-probe.service/pgpass" } ] }
JSON
    set_line pgpulse/probe.toml 'targets = "/etc/pgpulse/targets.json"' 'targets = '
}

run_with_systemd() {
    step 'the same with systemd: install, configure, start'
    boot
    install_packages
    local daemon pid
    for daemon in "${daemons[@]}"; do
        ! is_active "$daemon" || die "$daemon is started by its installation"
        [[ $(inside systemctl is-enabled "$daemon" || true) == disabled ]] || die "$daemon is enabled by its installation"
    done
    seen 'installed, neither enabled nor started'
    configure
    inside systemctl --quiet enable "${daemons[@]}"
    inside systemctl start "${daemons[@]}"
    eventually 60 'the aggregator is ready' status_text_is pgpulse-aggregator Ready
    eventually 60 'the probe is ready' status_text_is pgpulse-probe Ready
    eventually 60 'the bridge waits for Consul' status_text_is pgpulse-consul-bridge \
        'Waiting: Consul at http://127.0.0.1:8500 does not answer'
    eventually 60 'pgpulse status: db1 is up' status_says state up
    eventually 60 'its role is known, by a session with the password of LoadCredential' status_says role primary
    # systemd-nspawn cannot give more than it has.
    local files
    files=$(ulimit -Hn)
    if [[ $files == unlimited ]] || ((files > 524288)); then files=524288; fi
    inside journalctl -q -u pgpulse-probe | grep -q "may open $files files" ||
        die "the probe may not open LimitNOFILE= files: $(inside journalctl -q -u pgpulse-probe | grep 'may open')"

    step 'reload, watchdog, crash, upgrade'
    inside systemctl reload pgpulse-probe
    is_active pgpulse-probe || die 'the probe did not survive its reload'
    seen 'reloaded'
    inside sh -c 'mkdir -p /run/systemd/system/pgpulse-aggregator.service.d &&
        printf "[Service]\nWatchdogSec=2\nRestartSec=1\n" >/run/systemd/system/pgpulse-aggregator.service.d/test.conf &&
        systemctl daemon-reload && systemctl restart pgpulse-aggregator'
    inside systemctl kill --signal=STOP --kill-who=main pgpulse-aggregator
    eventually 60 'an aggregator that stands still is restarted' was_restarted pgpulse-aggregator
    inside systemctl kill --signal=KILL --kill-who=main pgpulse-probe
    eventually 60 'a probe that was killed is restarted' was_restarted pgpulse-probe
    eventually 60 'pgpulse status: db1 is up' status_says state up
    pid=$(property pgpulse-probe MainPID)
    inside systemctl --quiet stop pgpulse-consul-bridge
    install_packages --reinstall
    eventually 60 'an upgrade restarts what runs' has_another_pid pgpulse-probe "$pid"
    ! is_active pgpulse-consul-bridge || die 'an upgrade starts what was stopped'
    grep -q "^nats = \"$nats_url\"" "$tree/etc/pgpulse/probe.toml" || die 'an upgrade overwrote the configuration'

    step 'remove'
    rm "$tree/etc/pgpulse/targets.json" "$tree"/etc/credstore/pgpulse-*
    inside systemctl --quiet disable "${daemons[@]}"
    pid=$(property pgpulse-probe MainPID)
    remove_and_purge
    ! inside kill -0 "$pid" 2>/dev/null || die 'a removed probe still runs'
    inside systemctl poweroff || true
    leader=''
}

main() {
    local with_boot=yes
    while (($#)); do
        case $1 in
            --no-boot) with_boot='' ;;
            -h | --help)
                usage
                return
                ;;
            *) die "unknown argument \"$1\"; see --help" 2 ;;
        esac
        shift
    done
    ((EUID == 0)) || die 'needs root, for debootstrap and chroot'
    export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
    scripts/packages.sh run package
    step 'packages'
    scripts/package.sh | sed 's/^/    /'
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    mkdir -p "$cache"
    work=$(mktemp -d)
    chmod 755 "$work"
    mkdir "$work/log"
    : >"$work/processes"
    # shellcheck disable=SC1091 # names the release
    make_base "$(. /etc/os-release && echo "$VERSION_CODENAME")"
    make_tree
    start_servers_beside
    run_without_systemd
    if [[ -n $with_boot ]]; then run_with_systemd; fi
}

main "$@"
