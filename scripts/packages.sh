#!/usr/bin/env bash
# The one list of Debian packages this project needs, and their installation: what is missing and nothing else.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/packages.sh GROUP...

Installs with apt-get what is missing of the named groups and nothing else. Works as root or through sudo.
When everything is there it only looks, and takes a fraction of a second.

Groups:
  build   compiler, CMake and the libraries
  run     nats-server, PostgreSQL's server programs, and the tools the demo shows
  test    what the tests need beside build and run
  package what scripts/package.sh and tests/packages/run.sh need beside build
  lint    clang-format, clang-tidy, shellcheck

Installed servers are not started, not started at boot either, and no database cluster is created.
TEXT
}

die() {
    echo "packages.sh: $1" >&2
    exit "${2:-1}"
}

# A group is a list of what must be there: `program:package`, `file pattern:package` (with a slash), or a library's package.
requirements() {
    case $1 in
        build)
            echo g++:g++ cmake:cmake ninja:ninja-build ccache:ccache pkg-config:pkgconf \
                libnats-dev libpq-dev libasio-dev libcurl4-openssl-dev libssl-dev nlohmann-json3-dev libcli11-dev \
                libspdlog-dev libexpected-dev libcpp-httplib-dev prometheus-cpp-dev libbenchmark-dev
            ;;
        run)
            echo nats-server:nats-server '/usr/lib/postgresql/*/bin/initdb:postgresql' \
                dig:bind9-dnsutils curl:curl jq:jq
            ;;
        test)
            echo ip:iproute2 pgbouncer:pgbouncer haproxy:haproxy systemd-analyze:systemd \
                libgtest-dev libgmock-dev librapidcheck-dev
            ;;
        package)
            echo dpkg-shlibdeps:dpkg-dev file:file debootstrap:debootstrap systemd-nspawn:systemd-container
            ;;
        lint) echo clang-format-19:clang-format-19 clang-tidy-19:clang-tidy-19 shellcheck:shellcheck git:git ;;
        *) die "unknown group \"$1\"; expected build, run, test, package or lint" 2 ;;
    esac
}

# Prints the packages that the given groups lack, one a line.
missing_packages() {
    local group requirement needed package
    local -a words libraries=()
    for group in "$@"; do
        read -r -a words <<<"$(requirements "$group")"
        for requirement in "${words[@]}"; do
            needed=${requirement%%:*} package=${requirement##*:}
            case $requirement in
                /*) compgen -G "$needed" >/dev/null || echo "$package" ;;
                *:*) type -P "$needed" >/dev/null || echo "$package" ;;
                *) libraries+=("$package") ;;
            esac
        done
    done
    ((${#libraries[@]})) || return 0
    local installed
    # dpkg-query fails as soon as one name is unknown to it, and still prints the others.
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${libraries[@]}" 2>/dev/null || true)
    for package in "${libraries[@]}"; do
        [[ $'\n'$installed$'\n' == *$'\n'"installed $package"$'\n'* ]] || echo "$package"
    done
}

policy=/usr/sbin/policy-rc.d
policy_mark='# temporary, by pgpulse: installing a package starts no service'
cluster_conf=/etc/postgresql-common/createcluster.d/zz-pgpulse-no-main-cluster.conf
made_cluster_dir=
log=

restore_system() {
    if [[ -f $policy ]] && grep -qxF "$policy_mark" "$policy"; then rm -f "$policy"; fi
    rm -f "$cluster_conf"
    if [[ -n $made_cluster_dir ]] && ! dpkg-query -S "${cluster_conf%/*}" >/dev/null 2>&1; then
        rmdir --ignore-fail-on-non-empty "${cluster_conf%/*}" "${cluster_conf%/*/*}"
    fi
    if [[ -n $log ]]; then rm -f "$log"; fi
}

# Installing a server package would start its service, and PostgreSQL's would create a cluster on port 5432.
keep_services_off() {
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$policy"
        chmod 755 "$policy"
    fi
    if [[ ! -d ${cluster_conf%/*} ]]; then
        mkdir -p "${cluster_conf%/*}"
        made_cluster_dir=yes
    fi
    echo 'create_main_cluster = false' >"$cluster_conf"
}

# apt's first own error line, without its mark; else the log's last line.
reason() {
    grep -m1 -oP '^(E|Err(:\d+)?|dpkg): ?\K.*' "$log" || tail -n1 "$log"
}

install_packages() {
    local package
    log=$(mktemp)
    trap restore_system EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    echo "packages.sh: installing $*" >&2
    # A repository that is not ours may be broken: what counts is whether the packages can be had.
    apt-get update -q </dev/null >"$log" 2>&1 || true
    for package in "$@"; do
        [[ $(apt-cache policy "$package") == *'Candidate: '[!\(]* ]] ||
            die "no apt repository of this machine offers $package: $(reason)"
    done
    keep_services_off
    apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" </dev/null >"$log" 2>&1 ||
        die "apt-get could not install $*: $(reason)"
    for package in "$@"; do
        # Their units are enabled by default and would take ports at the next boot. (The helper does
        # nothing unless it believes to be called by the package's own scripts.)
        case $package in
            nats-server | pgbouncer | haproxy)
                DPKG_MAINTSCRIPT_PACKAGE=$package deb-systemd-helper disable "$package.service" >/dev/null 2>&1 || true
                ;;
        esac
    done
}

main() {
    export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
    case ${1:-} in
        -h | --help)
            usage
            return
            ;;
        --install)
            shift
            install_packages "$@"
            return
            ;;
        -*) die "unknown option \"$1\"; see --help" 2 ;;
        '') die 'no group named; expected build, run, test, package or lint' 2 ;;
    esac
    local group
    for group in "$@"; do requirements "$group" >/dev/null; done
    local -a missing
    mapfile -t missing < <(missing_packages "$@" | sort -u)
    ((${#missing[@]})) || return 0
    if ! type -P apt-get dpkg-query >/dev/null; then
        die "missing: ${missing[*]} (Debian's names; there is no apt-get here to install them)"
    elif ((EUID == 0)); then
        install_packages "${missing[@]}"
    elif type -P sudo >/dev/null; then
        local -a sudo=(sudo)
        # Without a terminal nobody could type a password.
        [[ -t 0 ]] || sudo+=(-n)
        "${sudo[@]}" "${BASH_SOURCE[0]}" --install "${missing[@]}" || die "not installed: ${missing[*]}"
    else
        die "missing: ${missing[*]}; run this as root, or install sudo"
    fi
}

main "$@"
