#!/usr/bin/env bash
# Configures and builds one preset, quietly: one line of progress, the whole output in the build folder.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/build.sh PRESET [TARGET...]

Builds TARGETs (default: everything) of PRESET (dev, release, asan, tsan) with all cores into build/PRESET.
The compiler's whole output is kept in build/PRESET/build.log; of a failure the first error is printed.
TEXT
}

die() {
    echo "build.sh: $1" >&2
    exit "${2:-1}"
}

root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)

# Runs the command without address space randomisation where sanitized programs run as a part of it: GCC 12's
# sanitizers do not start under all layouts of newer kernels. Containers may forbid it, and then mostly do not need it.
without_aslr() {
    if [[ $preset == [at]san ]] && setarch -R true 2>/dev/null; then
        setarch -R "$@"
    else
        "$@"
    fi
}

# Copies the build's output to the log; on a terminal shows ninja's counter.
show_progress() {
    local line
    while IFS= read -r line; do
        printf '%s\n' "$line" >&3
        if [[ -t 2 && $line =~ ^\[([0-9]+/[0-9]+)\] ]]; then
            printf '\r\e[K%s: %s' "building $preset" "${BASH_REMATCH[1]}" >&2
        fi
    done
    if [[ -t 2 ]]; then printf '\r\e[K' >&2; fi
}

# The first line that says what is wrong: the compiler's, the linker's or CMake's.
first_error() {
    grep -m1 -E '(: (fatal )?error: |undefined reference to|multiple definition of|^ninja: error: )' "$1" && return
    grep -m1 -A2 '^CMake Error' "$1" | tr -s ' \n' ' ' && return
    tail -n1 "$1"
}

fail() {
    echo "build.sh: $preset failed: $(first_error "$log")" >&2
    echo "build.sh: the whole output is in ${log#"$root/"}" >&2
    exit 1
}

main() {
    case ${1:-} in
        -h | --help)
            usage
            return
            ;;
        -*) die "unknown option \"$1\"; see --help" 2 ;;
        dev | release | asan | tsan) ;;
        *) die "unknown preset \"${1:-}\"; expected dev, release, asan or tsan" 2 ;;
    esac
    preset=$1
    shift
    cd "$root"
    local folder=build/$preset started=$SECONDS
    mkdir -p "$folder"
    log=$root/$folder/build.log
    exec 3>"$log"

    # Ninja configures again when a CMakeLists.txt changed; it does not know of the presets.
    local configured=$folder/.configured
    if [[ ! -f $folder/build.ninja || ! -f $configured || CMakePresets.json -nt $configured ]]; then
        echo "building $preset (configuring)" >&2
        cmake --preset "$preset" >&3 2>&1 </dev/null || fail
        touch "$configured"
    fi
    local -a command=(cmake --build --preset "$preset" -j "$(nproc)")
    if (($#)); then command+=(--target "$@"); fi
    NINJA_STATUS='[%f/%t] ' without_aslr "${command[@]}" 2>&1 </dev/null | show_progress || fail
    if ! grep -q '^ninja: no work to do' "$log"; then echo "built $preset in $((SECONDS - started)) s" >&2; fi
}

main "$@"
