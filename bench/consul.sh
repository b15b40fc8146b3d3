# shellcheck shell=bash disable=SC2034,SC2154 # variables of the scripts that meet here
# Sourced after measuring.sh by the benches of the bridge: Consul, the bridge, its buckets, and what Consul says.

consul_url=http://127.0.0.1:8500
bridge_http_port=9189
# Empty: any.
consul_core=
bridge_core=
bridge_metrics=http://127.0.0.1:$bridge_http_port/metrics
# As it is run: every write is in the log on disk before it is answered. The other flag is -dev: no write touches a disk.
on_disk=(-server -bootstrap-expect=1)

consul_has_a_leader() { [[ $(curl -sf "$consul_url/v1/status/leader") == '"127.'* ]]; }

# A Consul with nothing in it; its id is in $consul.
# start_consul AGENT-FLAG...
start_consul() {
    rm -rf "$work/consul"
    if [[ $* != *-dev* ]]; then set -- "$@" -data-dir="$work/consul"; fi
    start consul "$consul_core" consul agent "$@" -bind=127.0.0.1 -client=127.0.0.1 -log-level=err -hcl 'disable_update_check = true'
    consul=$started_pid
    await consul consul consul_has_a_leader
}

# define COUNT: both buckets, and so many definitions.
define() {
    "$programs/define_targets" "$nats_url" "$1" "$first_target_port" "$target_ports" 1000 >"$work/log/define_targets" 2>&1 ||
        die "$(tail -n1 "$work/log/define_targets")"
}

# The bridge; its id is in $bridge.
# launch_bridge FLAG...
launch_bridge() {
    start pgpulse-consul-bridge "$bridge_core" "$bin/pgpulse-consul-bridge" --nats "$nats_url" --consul "$consul_url" --id bench \
        --http "127.0.0.1:$bridge_http_port" "$@"
    bridge=$started_pid
}

# ... ready.
# start_bridge FLAG...
start_bridge() {
    launch_bridge "$@"
    await pgpulse-consul-bridge pgpulse-consul-bridge curl -sf -o /dev/null "http://127.0.0.1:$bridge_http_port/readyz"
}

stop_all_of_it() {
    stop "$bridge"
    stop "$consul"
    stop "$nats"
    rm -rf "$work/nats"
}

# What Consul says counts, not what the bridge says of itself: so many targets have this transition, in the KV store and in
# their checks.
# verify COUNT TRANSITION
verify() {
    local carried status
    carried=$(curl -sf "$consul_url/v1/kv/health/?recurse" |
        jq --argjson transition "$2" '[.[].Value | @base64d | fromjson | select(.transition == $transition)] | length')
    [[ $carried == "$1" ]] || die "Consul's KV store has transition $2 of $carried targets instead of $1"
    status=critical
    if (($2 % 2 == 1)); then status=passing; fi
    carried=$(curl -sf "$consul_url/v1/health/state/$status" | jq '[.[] | select(.CheckID | startswith("bench-"))] | length')
    [[ $carried == "$1" ]] || die "$carried checks of $1 are $status after transition $2"
}
