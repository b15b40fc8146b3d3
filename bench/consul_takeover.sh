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

# The next transition of every target, while both live; the seconds until they carried them all.
write_to_both() {
    transition=$((transition + 1))
    "$programs/state_burst" "$nats_url" "$targets" "$transition" "$bridge_metrics" "$other_metrics" >"$work/log/state_burst" 2>&1 ||
        die "$(tail -n1 "$work/log/state_burst")"
    tail -n1 "$work/log/state_burst" | cut -d ' ' -f 2
}

# Each target is the one's that is left, and Consul lacks nothing.
taken_over() {
    [[ $(metric "$bridge_http_port" pgpulse_bridge_owned_targets) == "$targets" ]] &&
        [[ $(metric "$bridge_http_port" pgpulse_bridge_pending_targets) == 0 ]]
}

# The next transition of every target as the other is killed; the seconds until Consul has all of them.
write_and_kill() {
    local began deadline=$((SECONDS + patience))
    transition=$((transition + 1))
    began=$(now)
    { kill -KILL "$other" && wait "$other"; } 2>/dev/null || true
    "$programs/define_states" "$nats_url" "$targets" 3 "$transition" >"$work/log/define_states" 2>&1 || die "$(tail -n1 "$work/log/define_states")"
    until taken_over 2>/dev/null; do ((SECONDS < deadline)) || die "the share of the killed bridge is not taken over after $patience s"; done
    calc "$(now) - $began"
    echo
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
        write_to_both >>"$work/both"
        until_shared
        write_and_kill >>"$work/killed"
        verify "$targets" "$transition"
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
