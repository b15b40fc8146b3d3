#!/usr/bin/env bash
# Makes sure that there is a promtool, without the Prometheus server that its package would install and start.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/promtool.sh

Makes sure that the tests find promtool: one on PATH is taken as it is, otherwise the program alone is taken out of
Debian's package prometheus into build/tools. Nothing is installed, and no root is needed.
TEXT
}

die() {
    echo "promtool.sh: $1" >&2
    exit "${2:-1}"
}

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
tools=$here/../build/tools
work=

# The file of this release's package, by apt's own lists or, where there are none, by lists of our own.
fetch() {
    local -a files
    # apt downloads as its own user, who must be able to write here.
    chmod 777 "$work"
    (cd "$work" && apt-get download -q prometheus) </dev/null >"$work/log" 2>&1 || true
    files=("$work"/*.deb)
    if [[ -f ${files[0]} ]]; then
        echo "${files[0]}"
        return
    fi
    # shellcheck source=/dev/null
    "$here/debian-package.sh" "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" prometheus "$work"
}

main() {
    case ${1:-} in
        '') ;;
        -h | --help)
            usage
            return
            ;;
        *) die "unknown argument \"$1\"; see --help" 2 ;;
    esac
    if type -P promtool >/dev/null || [[ -x $tools/promtool ]]; then return; fi
    type -P apt-get dpkg-deb >/dev/null || die 'there is no promtool on PATH, and no apt-get to fetch it with'
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    echo "promtool.sh: fetching promtool out of Debian's package prometheus" >&2
    local file
    file=$(fetch) || die "Debian's package prometheus cannot be fetched"
    mkdir -p "$tools" "$work/tree"
    dpkg-deb --fsys-tarfile "$file" | tar -x -C "$work/tree" ./usr/bin/promtool ||
        die "there is no promtool in $file"
    # At once or not at all: another run may look for it.
    cp "$work/tree/usr/bin/promtool" "$tools/.promtool.$$"
    mv "$tools/.promtool.$$" "$tools/promtool"
}

main "$@"
