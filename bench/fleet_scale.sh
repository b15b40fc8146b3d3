#!/usr/bin/env bash
# One worker with 100,000 targets at an interval of 10 s: how soon it has them, what each costs in memory, and how late
# its pings start. The baseline is the same program without targets.
# Prints rows of bench/run.sh's table.
set -euo pipefail
name=fleet_scale
# shellcheck source-path=SCRIPTDIR
source "${BASH_SOURCE[0]%/*}/measuring.sh"

targets=100000
interval_ms=10000
stretch=20
probe_port=9187

ready() { curl -sf -o /dev/null "http://127.0.0.1:$probe_port/readyz"; }
has_all() { (($(metric "$probe_port" pgpulse_probe_targets) == targets)); }
pings() { metric "$probe_port" pgpulse_probe_pings_total; }
went_round() { (($(pings) >= 2 * targets)); }

lateness() { histogram "$probe_port" pgpulse_probe_lateness_seconds; }

start_probe() {
    start pgpulse-probe "$subject_core" "$bin/pgpulse-probe" --nats "$nats_url" --id bench --http "127.0.0.1:$probe_port"
    probe=$started_pid
    await pgpulse-probe pgpulse-probe ready
}

begin
start_nats
# shellcheck disable=SC2119 # it has none
start_fake_postgres
start_probe
empty=$(status_kib "$probe" VmRSS)
stop "$probe"
"$programs/define_targets" "$nats_url" "$targets" "$first_target_port" "$target_ports" "$interval_ms" >"$work/log/define_targets" 2>&1 ||
    die "$(tail -n1 "$work/log/define_targets")"

began=$(now)
start_probe
await pgpulse-probe pgpulse-probe has_all
took=$(calc "$(now) - $began")
deadline=$((SECONDS + 60))
until went_round; do
    ((SECONDS < deadline)) || die 'not every target was pinged twice within a minute'
    sleep 0.2
done
# The first pings of so many targets are a burst that is worked off first.
deadline=$((SECONDS + 60)) p99=+Inf
until [[ $p99 =~ ^0\.0 ]] || ((SECONDS >= deadline)); do
    before=$(lateness)
    sleep 2
    p99=$(quantile 0.99 "$before" "$(lateness)")
done
before=$(lateness) pings_before=$(pings) cpu=$(cpu_of "$probe") at=$(now)
sleep "$stretch"
seconds=$(calc "$(now) - $at")
rate=$(calc "($(pings) - $pings_before) / $seconds")
share=$(calc "100 * ($(cpu_of "$probe") - $cpu) / $seconds")
p99=$(quantile 0.99 "$before" "$(lateness)")
full=$(status_kib "$probe" VmRSS)
each=$(calc "($full - $empty) * 1024 / $targets")
tell "$(printf '%d targets after %.1f s, %.0f pings/s at %.0f %% of a core, %.0f MiB resident' \
    "$targets" "$took" "$rate" "$share" "$(calc "$full / 1024")")"

row 'memory of a target, 100,000 in one worker' "$(thousands "$each") bytes" "without targets $(calc "$empty / 1024" %.0f) MiB" - \
    '<= 8 KiB' "$each" '<=' 8192
row 'start with 100,000 targets' "$(calc "$took" %.1f) s" - - '< 10 s' "$took" '<' 10
# Later than the histogram's last bound: the core does not keep up.
if [[ $p99 == +Inf ]]; then p99=1e9 shown='> 5 s'; else shown="<= $(calc "1000 * $p99" %.1f) ms"; fi
row 'lateness of a ping, p99' "$shown" - - '< 50 ms' "$p99" '<=' 0.05
