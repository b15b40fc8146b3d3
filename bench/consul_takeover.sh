#!/usr/bin/env bash
# One of two pgpulse-consul-bridges is killed with -9, and each of 1,000 targets has a transition at that moment: how long it takes
# until Consul has all of them, against the same transitions while both live.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=consul_takeover
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/consul.sh"

targets=1000
rounds=5
patience=60
other_http_port=9190
other_metrics=http://127.0.0.1:$other_http_port/metrics
transition=1

launch_other() {
    start other '' "$bin/pgpulse-consul-bridge" --nats "$nats_url" --consul "$consul_url" --id other --http "127.0.0.1:$other_http_port"
    other=$started_pid
}

# Both serve, neither owes Consul anything, and each target is one's own.
shared() {
    local port own=0 some
    for port in "$bridge_http_port" "$other_http_port"; do
        [[ $(metric "$port" pgpulse_bridge_members) == 2 && $(metric "$port" pgpulse_bridge_pending_targets) == 0 ]] || return 1
        some=$(metric "$port" pgpulse_bridge_owned_targets)
        own=$((own + some))
    done
    ((own == targets))
}

until_shared() {
    local deadline=$((SECONDS + patience))
    until shared 2>/dev/null; do
        ((SECONDS < deadline)) || die "the bridges do not share the targets after $patience s"
        sleep 0.1
    done
}

# write_all METRICS_URL...: the next transition of every target; the seconds until bridges of these URLs carried them all.
write_all() {
    transition=$((transition + 1))
    "$programs/state_burst" "$nats_url" "$targets" "$transition" "$@" >"$work/log/state_burst" 2>&1 || die "$(tail -n1 "$work/log/state_burst")"
    cut -d ' ' -f 2 "$work/log/state_burst"
}

# measure AGENT-FLAG...
measure() {
    local both killed most round
    local -a both_alive one_killed
    start_nats
    start_consul "$@"
    define "$targets"
    "$programs/define_states" "$nats_url" "$targets" 3 >"$work/log/define_states" 2>&1 || die "$(tail -n1 "$work/log/define_states")"
    start_bridge
    for ((round = 0; round < rounds; ++round)); do
        launch_other
        until_shared
        write_all "$bridge_metrics" "$other_metrics" >>"$work/both"
        until_shared
        # What the killed one owned counts as the other's from its own takeover on.
        kill -KILL "$other"
        write_all "$bridge_metrics" >>"$work/killed"
        verify "$targets" "$transition"
        wait "$other" 2>/dev/null || true
    done
    mapfile -t both_alive <"$work/both"
    mapfile -t one_killed <"$work/killed"
    both=$(median "${both_alive[@]}") killed=$(median "${one_killed[@]}") most=$(sort -g "$work/killed" | tail -n1)
    tell "all transitions in Consul: after a kill -9 ${one_killed[*]} s, while both live ${both_alive[*]} s"
    row "$(thousands "$targets") transitions at once as one of two bridges is killed: all in Consul, at most of $rounds" "$(calc "$most" %.2f) s" \
        "both alive $(calc "$both" %.2f) s" "$(calc "$killed / $both" %.1f) x" '<= 3 s' "$most" '<=' 3
    stop_all_of_it
}

begin
measure "${on_disk[@]}"
