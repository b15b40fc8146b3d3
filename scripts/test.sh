#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/test.sh [--preset NAME] [CTEST-ARGUMENT...]

Installs what is missing, builds NAME (dev; or asan, tsan) and runs all tests through ctest, four at a time.
Every other argument goes to ctest; with -L LABEL, or -L 'LABEL|LABEL', only their tests are built:

    scripts/test.sh -L unit                  only the unit tests (labels: unit, integration, fault)
    scripts/test.sh -R Tally                 only tests whose name contains Tally
    scripts/test.sh --preset tsan -L fault   the fault tests under ThreadSanitizer
TEXT
}

die() {
    echo "test.sh: $1" >&2
    exit "${2:-1}"
}

root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)

# Every report of a sanitizer, also of a daemon that a test started, becomes a file in this folder.
sanitizer_options() {
    local reports=$1 suppressions=$root/tests/support/tsan.supp leaks=$root/tests/support/lsan.supp
    rm -rf "$reports"
    mkdir -p "$reports"
    # Servers run as another user are not sanitized, but what a test starts may be.
    chmod 1777 "$reports"
    export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:check_initialization_order=1:strict_string_checks=1:log_path=$reports/asan"
    export LSAN_OPTIONS="suppressions=$leaks:print_suppressions=0"
    export UBSAN_OPTIONS="print_stacktrace=1:log_path=$reports/ubsan"
    export TSAN_OPTIONS="second_deadlock_stack=1:log_path=$reports/tsan"
    if [[ -f $suppressions ]]; then TSAN_OPTIONS+=":suppressions=$suppressions"; fi
}

main() {
    local preset=dev label=
    local -a arguments=() targets=()
    while (($#)); do
        case $1 in
            -h | --help)
                usage
                return
                ;;
            --preset)
                preset=${2:-}
                shift
                ;;
            --preset=*) preset=${1#*=} ;;
            -L)
                label=${2:-}
                arguments+=("$1")
                ;;
            *) arguments+=("$1") ;;
        esac
        (($#)) && shift
    done
    case $preset in
        dev | asan | tsan) ;;
        *) die "unknown preset \"$preset\"; expected dev, asan or tsan" 2 ;;
    esac

    "$root/scripts/packages.sh" build run test
    "$root/scripts/consul.sh"
    "$root/scripts/promtool.sh"
    # A program of tests is named after its label.
    local one
    for one in unit integration fault; do
        if [[ "|$label|" == *"|$one|"* ]]; then targets+=("${one}_tests"); fi
    done
    "$root/scripts/build.sh" "$preset" "${targets[@]}"

    export PATH="$PATH:/usr/sbin:/sbin"
    cd "$root"
    # Most tests wait for servers and compute little.
    local -a command=(ctest --preset "$preset" -j 4 "${arguments[@]}")
    if [[ $preset == dev ]]; then exec "${command[@]}"; fi

    local reports=$root/build/$preset/reports status=0
    sanitizer_options "$reports"
    # See build.sh: GCC 12's sanitizers need a predictable address space.
    if setarch -R true 2>/dev/null; then command=(setarch -R "${command[@]}"); fi
    "${command[@]}" || status=$?
    local -a found=("$reports"/*)
    if [[ -e ${found[0]} ]]; then
        grep -hE '^(SUMMARY:|.*runtime error:)' "${found[@]}" | sort | uniq -c >&2 || true
        die "sanitizer reports: ${#found[@]} file(s) in ${reports#"$root/"}"
    fi
    return "$status"
}

main "$@"
