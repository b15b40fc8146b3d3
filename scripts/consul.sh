#!/usr/bin/env bash
# Makes sure that there is a consul program. Debian 12 and 13 package none, so it may come from Debian 11.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/consul.sh

Makes sure that `consul` can be run, by the first of these that works:
  1. a consul on PATH is taken as it is;
  2. `apt-get install consul`, where an apt repository of this machine offers it;
  3. Debian 11's package (Consul 1.8.7), fetched from the Debian mirror this machine uses, its signature checked by apt.

The package's service is neither started nor enabled. Needs root or sudo only when something is to be installed.
TEXT
}

die() {
    echo "consul.sh: $1" >&2
    exit "${2:-1}"
}

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
work=

install_debian_11s() {
    local log file
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    chmod 755 "$work"
    log=$work/log
    echo 'consul.sh: installing Consul 1.8.7, the package of Debian 11' >&2
    file=$("$here/debian-package.sh" bullseye consul "$work") || exit
    # The package's maintainer scripts start nothing and enable nothing: its unit is for the administrator.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 \
        "$file" </dev/null >"$log" 2>&1 ||
        die "apt-get could not install Debian 11's consul: $(grep -m1 '^E:' "$log" || tail -n1 "$log")"
}

main() {
    case ${1:-} in
        '' | --install) ;;
        -h | --help)
            usage
            return
            ;;
        *) die "unknown argument \"$1\"; see --help" 2 ;;
    esac
    if type -P consul >/dev/null; then return; fi
    type -P apt-get >/dev/null || die 'there is no consul on PATH, and no apt-get to install it with'
    if ((EUID != 0)); then
        type -P sudo >/dev/null || die 'there is no consul on PATH; run this as root, or install sudo'
        local -a sudo=(sudo)
        [[ -t 0 ]] || sudo+=(-n)
        "${sudo[@]}" "$here/consul.sh" --install || die 'consul was not installed'
    elif [[ $(LC_ALL=C apt-cache policy consul) == *'Candidate: '[!\(]* ]]; then
        "$here/packages.sh" --install consul
    else
        install_debian_11s
    fi
    hash -r
    type -P consul >/dev/null || die 'installed, but there is still no consul on PATH'
}

main "$@"
