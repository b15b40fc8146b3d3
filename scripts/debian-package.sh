#!/usr/bin/env bash
# Fetches one package of another Debian release, without adding that release to the system's sources.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/debian-package.sh RELEASE PACKAGE DIR

Downloads PACKAGE of the Debian release RELEASE (bullseye, trixie, ...) into DIR and prints the file's path.

It comes from the Debian mirror that this machine's apt uses already; apt checks the signature with the keys of the
package debian-archive-keyring. Sources, lists and cache are temporary: the system's own are left as they are.
TEXT
}

die() {
    echo "debian-package.sh: $1" >&2
    exit "${2:-1}"
}

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
work=

# The address of the Debian mirror that apt knows; nothing before the first `apt-get update`.
mirror() {
    # shellcheck disable=SC2016 # the $(...) are apt's own fields
    apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 2>/dev/null | awk -F'|' '$1 == "Debian" && !n++ { print $2 }'
}

fetch() {
    local release=$1 package=$2 dir=$3 uri
    uri=$(mirror)
    if [[ -z $uri ]] && ((EUID == 0)); then
        apt-get update -q </dev/null >/dev/null 2>&1 || true
        uri=$(mirror)
    fi
    [[ -n $uri ]] || die "apt knows no Debian mirror (run apt-get update), so $package of $release cannot be fetched"
    [[ -r $keyring ]] || die "$keyring is missing: install debian-archive-keyring"

    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # apt downloads as its own user, who must be able to write here.
    chmod 755 "$work"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/download"
    if ((EUID == 0)) && getent passwd _apt >/dev/null; then chown _apt "$work/download" "$work/lists/partial"; fi
    echo "deb [signed-by=$keyring] $uri $release main" >"$work/sources.list"
    local -a apt=(apt-get -q
        -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache")
    cd "$work/download"
    # Update exits 0 on a failed download unless told otherwise.
    if ! { "${apt[@]}" -o APT::Update::Error-Mode=any update && "${apt[@]}" download "$package"; } \
        </dev/null >"$work/log" 2>&1; then
        die "$package of $release cannot be fetched from this machine's Debian mirror: $(
            grep -m1 '^E:' "$work/log" || tail -n1 "$work/log"
        )"
    fi
    local -a files=(*.deb)
    [[ -f ${files[0]} ]] || die "apt-get download $package left no file"
    install -m 644 "${files[0]}" "$dir/"
    echo "$dir/${files[0]}"
}

main() {
    export LC_ALL=C
    case ${1:-} in
        -h | --help)
            usage
            return
            ;;
        -*) die "unknown option \"$1\"; see --help" 2 ;;
    esac
    (($# == 3)) || die 'expected RELEASE PACKAGE DIR; see --help' 2
    [[ -d $3 ]] || die "$3 is not a folder" 2
    fetch "$1" "$2" "$(cd "$3" && pwd)"
}

main "$@"
