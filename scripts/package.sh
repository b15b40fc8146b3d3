#!/usr/bin/env bash
# Builds the release and its Debian packages.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/package.sh

Installs what is missing, builds the release and one Debian package a program into build/packages:
pgpulse-probe, pgpulse-aggregator, pgpulse-consul-bridge and pgpulse, the operator's command. Prints their files. They
depend on the libraries of the Debian release that they are built on. tests/packages/run.sh tries them.
TEXT
}

die() {
    echo "package.sh: $1" >&2
    exit "${2:-1}"
}

root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)

main() {
    case ${1:-} in
        '') ;;
        -h | --help)
            usage
            return
            ;;
        *) die "unknown argument \"$1\"; see --help" 2 ;;
    esac
    "$root/scripts/packages.sh" build package
    "$root/scripts/build.sh" release pgpulse pgpulse-probe pgpulse-aggregator pgpulse-consul-bridge
    cd "$root"
    local folder=build/packages
    rm -rf "$folder"
    # The packages' folders are to be open to the services' users, whatever this user's umask.
    umask 022
    mkdir -p "$folder"
    cpack --config build/release/CPackConfig.cmake -B "$folder" >"$folder/cpack.log" 2>&1 ||
        die "cpack failed: $(grep -m1 -A2 'CMake Error\|CPack Error' "$folder/cpack.log" | tr -s ' \n' ' ') ($folder/cpack.log)"
    rm -rf "$folder/_CPack_Packages"
    ls "$folder"/*.deb
}

main "$@"
