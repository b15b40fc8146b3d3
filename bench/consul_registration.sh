#!/usr/bin/env bash
# Many targets in Consul: with 100,000 how long pgpulse-consul-bridge takes to register all of them in a Consul that has none, and
# the most memory it takes; and with them and with 10,000 what a comparison of Consul with the bucket takes when nothing differs.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=consul_registration
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/consul.sh"

observers=3
reconciles=3
patience=600

bridge_says() { metric "$bridge_http_port" "pgpulse_bridge_$1"; }
most_resident_mib() { calc "$(status_kib "$1" VmHWM) / 1024" %.0f; }

# until_says METRIC AT_LEAST
until_says() {
    local deadline=$((SECONDS + patience))
    until [[ $(bridge_says "$1") -ge $2 ]]; do
        ((SECONDS < deadline)) || die "$1 is $(bridge_says "$1") after $patience s, expected $2"
        sleep 0.1
    done
}

# measure COUNT GOAL_SECONDS AGENT-FLAG...
measure() {
    local count=$1 goal=$2 began seconds most first from cpu consul_cpu each
    shift 2
    start_nats
    start_consul "$@"
    define "$count"
    "$programs/define_states" "$nats_url" "$count" "$observers" >"$work/log/define_states" 2>&1 || die "$(tail -n1 "$work/log/define_states")"
    began=$(now) consul_cpu=$(cpu_of "$consul")
    launch_bridge
    until_says delay_seconds_count "$count"
    seconds=$(calc "$(now) - $began") most=$(most_resident_mib "$bridge")
    verify "$count" 1
    tell "$(thousands "$count") targets: $(printf 'registered after %.1f s, CPU of the bridge %.1f s, of Consul %.1f s; at most %d MiB resident' \
        "$seconds" "$(cpu_of "$bridge")" "$(calc "$(cpu_of "$consul") - $consul_cpu")" "$most")"
    row "$(thousands "$count") targets registered from nothing, from the bridge's start" "$(calc "$seconds" %.1f) s" - - \
        "${goal:+<= $goal s}" "$seconds" "${goal:+<=}" "${goal:-0}"
    row '  memory of the bridge, at most' "$most MiB" - - '' 0 '' 0

    # One that starts on a Consul that has all, and compares every second.
    stop "$bridge"
    began=$(now)
    launch_bridge --reconcile-interval 1
    until_says reconciles_total 1
    tell "$(thousands "$count") targets: $(printf 'ready after %.1f s where Consul has all' "$(calc "$(now) - $began")")"
    # The first may still find what the bucket's watch had not told yet.
    until_says reconciles_total 2
    first=$(bridge_says reconciles_total) from=$(now) cpu=$(cpu_of "$bridge") consul_cpu=$(cpu_of "$consul")
    until_says reconciles_total $((first + reconciles))
    each=$(calc "($(now) - $from) / $reconciles - 1")
    cpu=$(calc "($(cpu_of "$bridge") - $cpu) / $reconciles") consul_cpu=$(calc "($(cpu_of "$consul") - $consul_cpu) / $reconciles")
    (($(bridge_says operations_total) == 0)) || die 'the bridge wrote although nothing differs'
    most=$(most_resident_mib "$bridge")
    tell "$(thousands "$count") targets: $(printf 'a comparison %.2f s, CPU of the bridge %.2f s, of Consul %.2f s; at most %d MiB resident' \
        "$each" "$cpu" "$consul_cpu" "$most")"
    row "Consul compared with the bucket, $(thousands "$count") targets, nothing differs" "$(calc "$each" %.2f) s" - - '' 0 '' 0
    row '  CPU of the bridge, of Consul' "$(calc "$cpu" %.2f) s, $(calc "$consul_cpu" %.2f) s" - - '' 0 '' 0
    row '  memory of the bridge, at most' "$most MiB" - - '' 0 '' 0
    stop_all_of_it
}

begin
measure 10000 '' "${on_disk[@]}"
measure 100000 120 "${on_disk[@]}"
