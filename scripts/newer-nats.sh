#!/usr/bin/env bash
# Brings Debian 13's nats-server beside the system's own, so that the tests can run against both.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/newer-nats.sh DIR

Unpacks Debian 13's nats-server (2.10) into DIR, installing nothing, and prints the folder its program is in:

    PATH="$(scripts/newer-nats.sh /tmp/nats):$PATH" scripts/test.sh
TEXT
}

die() {
    echo "newer-nats.sh: $1" >&2
    exit "${2:-1}"
}

main() {
    case ${1:-} in
        -h | --help)
            usage
            return
            ;;
        -*) die "unknown option \"$1\"; see --help" 2 ;;
    esac
    (($# == 1)) || die 'expected one folder; see --help' 2
    local here file dir=$1
    here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    if [[ ! -x $dir/usr/sbin/nats-server ]]; then
        file=$("$here/debian-package.sh" trixie nats-server "$dir") || exit
        dpkg-deb -x "$file" "$dir"
        rm -f "$file"
    fi
    "$dir/usr/sbin/nats-server" --version >&2 || die "$dir/usr/sbin/nats-server does not run here"
    echo "$dir/usr/sbin"
}

main "$@"
