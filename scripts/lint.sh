#!/usr/bin/env bash
# Formatting, clang-tidy and shellcheck over everything that git tracks; one line per finding.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/lint.sh [CHECK...]

Runs the checks (default: shell, format, tidy) over the files that git tracks:
  shell    shellcheck
  format   clang-format-19, by .clang-format
  tidy     clang-tidy-19, by .clang-tidy, over everything but the tests
  tests    the same over the tests, which takes as long again
  fix      formats the C++ files instead of complaining

One line per finding; exit code 1 when there is one.
TEXT
}

die() {
    echo "lint.sh: $1" >&2
    exit "${2:-1}"
}

root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
findings=$root/build/lint.log

cxx_files() { git ls-files -- '*.cpp' '*.hpp'; }

# report CHECK FILTER: prints the lines of $findings that the filter lets through, and fails.
report() {
    local lines
    lines=$(grep -E "$2" "$findings" | sed "s#^$root/##" | sort -u || true)
    # A check that fails without a line of the expected form still has to be heard.
    echo "${lines:-$(tail -n3 "$findings")}"
    echo "lint.sh: $1 has findings" >&2
    return 1
}

check_shell() {
    local -a files
    # A script is what says so in its first line.
    mapfile -t files < <(git grep -lIE '^#!.*\bbash$|^# shellcheck shell=bash' -- scripts .ci tests deploy bench)
    ((${#files[@]})) || die 'no script found: is this a git checkout?'
    shellcheck --external-sources --format=gcc "${files[@]}" >"$findings" 2>&1 || report shell '^[^:]+:[0-9]+:'
}

check_format() {
    local -a files
    mapfile -t files < <(cxx_files)
    ((${#files[@]})) || die 'no C++ file found: is this a git checkout?'
    clang-format-19 --dry-run -Werror "${files[@]}" >"$findings" 2>&1 || report format '(error|warning):'
}

check_tidy() { tidy_over '(common|probe|aggregator|consul-bridge|ctl|bench)'; }
check_tests() { tidy_over 'tests'; }

# tidy_over FOLDERS: an extended regular expression of the folders whose files are gone through, many as one: most of
# the time of each is its headers'.
tidy_over() {
    if ! cmake --preset dev -B build/tidy -DCMAKE_CXX_COMPILER_LAUNCHER= \
        -DCCACHE=CCACHE-NOTFOUND >"$findings" 2>&1 </dev/null; then
        report tidy '^CMake Error'
        return
    fi
    local -a files
    mapfile -t files < <(jq -r '.[].file' build/tidy/compile_commands.json | sort -u |
        grep -E "^$root/(build/tidy/)?$1/")
    ((${#files[@]})) || die 'no C++ file in build/tidy/compile_commands.json'
    local status=0
    printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 1 clang-tidy-19 -p build/tidy --quiet >"$findings" 2>&1 ||
        status=$?
    # A line of our own log says it even when xargs' exit code is lost.
    if ((status)) || grep -qE '(error|warning): .*\[' "$findings"; then report tidy '(error|warning): '; fi
}

fix_format() {
    local -a files
    mapfile -t files < <(cxx_files)
    clang-format-19 -i "${files[@]}"
}

main() {
    local check failed=''
    local -a checks=()
    while (($#)); do
        case $1 in
            -h | --help)
                usage
                return
                ;;
            shell | format | tidy | tests | fix) checks+=("$1") ;;
            -*) die "unknown option \"$1\"; see --help" 2 ;;
            *) die "unknown check \"$1\"; expected shell, format, tidy, tests or fix" 2 ;;
        esac
        shift
    done
    ((${#checks[@]})) || checks=(shell format tidy)
    "$root/scripts/packages.sh" build run test lint
    cd "$root"
    mkdir -p build
    for check in "${checks[@]}"; do
        if [[ $check == fix ]]; then
            fix_format
            continue
        fi
        "check_$check" || failed=yes
    done
    [[ -z $failed ]] || exit 1
    echo "lint.sh: ${checks[*]}: nothing found" >&2
}

main "$@"
