#!/usr/bin/env bash
# What peers that mean ill cost the other targets of a worker: the round trips and the lateness of 1,000 healthy ones,
# with a hundred hostile ones beside them against the same worker without.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=hostile_peers
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"

healthy=1000
hostile=100
stretch=15
first_hostile_port=21000
probe_port=9187

has() { (($(metric "$probe_port" pgpulse_probe_targets) == $1)); }
all_settled() { (($(metric "$probe_port" pgpulse_probe_pings_total) >= 4 * healthy)); }

# measure: sets p50, p95 (of round trips) and late (p99 of lateness), in seconds, of the next stretch.
measure() {
    local rtt lateness
    rtt=$(histogram "$probe_port" pgpulse_probe_rtt_seconds)
    lateness=$(histogram "$probe_port" pgpulse_probe_lateness_seconds)
    sleep "$stretch"
    local rtt_after
    rtt_after=$(histogram "$probe_port" pgpulse_probe_rtt_seconds)
    p50=$(quantile 0.5 "$rtt" "$rtt_after")
    # Of the answers up to 4 in 100 are the hostile peers' own.
    p95=$(quantile 0.95 "$rtt" "$rtt_after")
    late=$(quantile 0.99 "$lateness" "$(histogram "$probe_port" pgpulse_probe_lateness_seconds)")
}

begin
start_nats
start_fake_postgres
"$programs/define_targets" "$nats_url" "$healthy" "$first_target_port" "$target_ports" 1000 >"$work/log/define_targets" 2>&1 ||
    die "$(tail -n1 "$work/log/define_targets")"
start pgpulse-probe "$subject_core" "$bin/pgpulse-probe" --nats "$nats_url" --id bench --http "127.0.0.1:$probe_port"
probe=$started_pid
await pgpulse-probe pgpulse-probe has "$healthy"
await pgpulse-probe pgpulse-probe all_settled
measure
alone_p50=$p50 alone_p95=$p95 alone_late=$late before=$(status_kib "$probe" VmHWM)

start hostile_peers "$other_core" "$programs/hostile_peers" "$nats_url" "$hostile" "$first_hostile_port"
await hostile_peers hostile_peers grep -q listening "$work/log/hostile_peers"
await pgpulse-probe pgpulse-probe has "$((healthy + hostile))"
measure
grown=$(calc "($(status_kib "$probe" VmHWM) - $before) / $hostile" %.0f)

shown() { printf '<= %s ms' "$(calc "1000 * $1" %.4g)"; }
row 'round trip, median, 100 hostile targets beside 1,000 healthy ones' "$(shown "$p50")" "without them $(shown "$alone_p50")" - '' 0 '' 0
row 'the same, p95' "$(shown "$p95")" "$(shown "$alone_p95")" - '' 0 '' 0
row 'lateness, p99' "$(shown "$late")" "$(shown "$alone_late")" - '' 0 '' 0
row 'memory a hostile target, at most' "$grown KiB" - - '' 0 '' 0
