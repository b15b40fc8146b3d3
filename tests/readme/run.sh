#!/usr/bin/env bash
# Runs the README's lines for reading against a demo that was kept running.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: tests/readme/run.sh

Starts scripts/demo.sh --keep and runs the README's dig, curl, consul and pgpulse lines against it; what its `nats`
lines do is done with the npm client. Needs node and npm besides. Exit code 0: every line did what the README says.
TEXT
}

die() {
    echo "readme check: $1" >&2
    exit "${2:-1}"
}

case ${1:-} in
    '') ;;
    -h | --help)
        usage
        exit
        ;;
    *) die "unknown argument \"$1\"; see --help" 2 ;;
esac

root=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
command -v npm >/dev/null || die 'needs node and npm (packages nodejs and npm)'
work=$(mktemp -d -t pgpulse-readme.XXXXXXXX)
demo=''
watch=''
finish() {
    if [[ -n $watch ]]; then kill "$watch" 2>/dev/null || true; fi
    if [[ -n $demo ]]; then "$root/scripts/demo.sh" --stop "$demo" || true; fi
    rm -rf "$work"
}
trap finish EXIT

cp "$root/tests/readme/package.json" "$root/tests/readme/nats_lines.mjs" "$work"
(cd "$work" && npm install --no-audit --no-fund --silent)

"$root/scripts/demo.sh" --keep >"$work/demo.log" 2>&1 || die "the demo failed: $(tail -n 3 "$work/demo.log")"
demo=$(sed -nE 's#^ *scripts/demo.sh --stop (/.*)$#\1#p' "$work/demo.log")
[[ -n $demo ]] || die 'the demo does not say how to stop it'
nats_url=$(grep -oE 'nats://127.0.0.1:[0-9]+' "$work/demo.log" | head -n 1)
consul=$(grep -oE 'http://127.0.0.1:[0-9]+' "$work/demo.log" | head -n 1)
dns_port=$(sed -nE 's/.*-p ([0-9]+) db1.service.consul.*/\1/p' "$work/demo.log" | head -n 1)

# expect LINE PATTERN: runs a line of the README, whose output must match.
expect() {
    local output
    output=$(NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 NATS_URL=$nats_url CONSUL_HTTP_ADDR=$consul bash -c "$1" 2>&1) || true
    grep -qE "$2" <<<"$output" || die "\"$1\" printed: ${output:-nothing}"
    printf 'ok    %s\n' "$1"
}

export PATH=$root/build/release/bin:$PATH
expect 'pgpulse status' '^db1 +up'
expect 'pgpulse status --json db1' '"state":"up"'
expect "dig @127.0.0.1 -p $dns_port db1.service.consul SRV" 'ANSWER: 1'
expect "curl -s '$consul/v1/health/service/db1?passing=true'" '"CheckID": ?"db1-isready"'
expect "curl -s '$consul/v1/kv/health/db1?raw'" '"state":"up"'

cat >"$work/handler" <<TEXT
#!/bin/sh
cat >>$work/handled
echo >>$work/handled
TEXT
chmod +x "$work/handler"
CONSUL_HTTP_ADDR=$consul consul watch -type=checks -service=db1 "$work/handler" &
watch=$!

(cd "$work" && node nats_lines.mjs "$nats_url" "$(head -n 1 "$demo/db1/postmaster.pid")")

# The handler's last call shows the check as critical; the key's value follows with it.
for ((tries = 0; tries < 300; tries++)); do
    if grep -qE '"Status": ?"critical"' "$work/handled" 2>/dev/null; then break; fi
    read -r -t 0.1 <> <(:) || true
done
expect "cat $work/handled" '"Status": ?"critical"'
expect "curl -s '$consul/v1/kv/health/db1?raw'" '"state":"down"'
expect 'pgpulse status' '^db1 +down'
echo 'Every line did what the README says.'
