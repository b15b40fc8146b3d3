#!/usr/bin/env bash
# Runs docker-compose.yml for real, under a project name and on ports of its own: db1 is killed and started again, the
# probes are scaled to three, and NATS and Consul must say what happened each time. Needs docker with compose, and curl.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() {
  cat <<'TEXT'
usage: tests/compose/run.sh [--stand-ins]
  --stand-ins  first build the images of nats, hashicorp/consul, postgres and debian from Debian packages
               (root, debootstrap, a Debian mirror; no image registry)
exit 0: everything was seen; 1: something was not, the last line says what; 2: bad usage
TEXT
}

stand_ins=false
for argument in "$@"; do
  case $argument in
    --stand-ins) stand_ins=true ;;
    --help) usage; exit 0 ;;
    *) echo "tests/compose/run.sh: unknown argument $argument (--stand-ins or --help)" >&2; exit 2 ;;
  esac
done

reason='' started=false
log=$(mktemp)

fail() {
  reason=$*
  exit 1
}

cleanup() {
  local status=$?
  trap - EXIT
  if $started; then
    if [[ $status != 0 ]]; then
      echo "--- the last lines of every container" >&2
      compose logs --no-color --tail 15 >&2 2>/dev/null || true
    fi
    compose down --volumes --remove-orphans --timeout 5 >"$log" 2>&1 || { status=1; reason=${reason:-$(tail -n 1 "$log")}; }
  fi
  rm -f "$log"
  if [[ $status == 0 ]]; then
    echo "PASS: docker-compose.yml works: kill, recovery and --scale probe=3 were seen in NATS and in Consul"
    exit 0
  fi
  echo "FAIL: ${reason:-interrupted or a command failed, exit $status}" >&2
  exit 1
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

command -v curl >/dev/null || fail "curl is missing"
docker info >/dev/null 2>&1 || fail "no docker engine answers (docker info)"
if docker compose version >/dev/null 2>&1; then
  tool=(docker compose)
elif command -v docker-compose >/dev/null; then
  tool=(docker-compose)
else
  fail "neither docker compose nor docker-compose is here"
fi

project=pgpulse-test-$$
# Port 0: the engine chooses a free one, compose tells which.
export PGPULSE_NATS_PORT=0 PGPULSE_CONSUL_PORT=0 PGPULSE_CONSUL_DNS_PORT=0

compose() { "${tool[@]}" --project-name "$project" "$@"; }
# compose reports its progress on stderr; it is shown only when the command fails.
quietly() { "$@" >"$log" 2>&1 || { tail -n 30 "$log" >&2; fail "this command failed: $*"; }; }

now_ms() { date +%s%3N; }

step() {
  echo "$*"
  step_began=$(now_ms)
}

# eventually SECONDS WHAT COMMAND...: waits until the command succeeds; says how long after the step began that was.
eventually() {
  local limit=$1 what=$2 start
  shift 2
  start=$(now_ms)
  until "$@"; do
    (($(now_ms) - start < limit * 1000)) || fail "not within $limit s: $what"
    sleep 0.05
  done
  printf '%7d ms  %s\n' $(($(now_ms) - step_began)) "$what"
}

# --- what can be seen from outside

healthy() {
  local container
  for container in $(compose ps -q "$@" 2>/dev/null); do
    [[ $(docker inspect --format '{{.State.Health.Status}}' "$container") == healthy ]] || return 1
  done
  [[ -n ${container:-} ]]
}

check_is() { grep -Eq "\"CheckID\": ?\"$1-isready\"" <<<"$(curl -fs "$consul/v1/health/state/$2")"; }
key_says() { grep -Eq "\"state\": ?\"$2\"" <<<"$(curl -fs "$consul/v1/kv/health/$1?raw")"; }
bucket_line() { compose exec -T aggregator pgpulse status --json "$1" 2>/dev/null || true; }
bucket_says() { grep -Eq "\"state\": ?\"$2\"" <<<"$(bucket_line "$1")"; }

# The number of answers Consul's DNS gives for SRV <name>.service.consul, asked through the published UDP port.
dns_answers() {
  local name=$1 socket header
  exec {socket}<>"/dev/udp/127.0.0.1/$dns_port"
  # Header: id, recursion desired, one question; then the labels, type SRV (33), class IN.
  # shellcheck disable=SC2059 # the length of the name is part of the format
  printf "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00$(printf '\\x%02x' ${#name})$name\x07service\x06consul\x00\x00\x21\x00\x01" >&"$socket"
  header=$(timeout 2 dd bs=512 count=1 <&"$socket" 2>/dev/null | od -An -tu1 -N 8) || true
  exec {socket}>&-
  # shellcheck disable=SC2086 # eight numbers; the last two are the count of answers
  set -- $header
  echo $((${7:-0} * 256 + ${8:-0}))
}
dns_knows() { [[ $(dns_answers "$1") == "$2" ]]; }

# The number of workers whose pings of this target pass on NATS within three seconds, read through the published port.
ping_workers() {
  local target=$1 socket line deadline
  deadline=$(($(now_ms) + 3000))
  exec {socket}<>"/dev/tcp/127.0.0.1/$nats_port"
  printf 'CONNECT {"verbose":false}\r\nSUB health.ping.*.*.%s 1\r\n' "$target" >&"$socket"
  while (($(now_ms) < deadline)) && read -r -t 3 line <&"$socket"; do
    # MSG health.ping.<partition>.<worker>.<target> ...
    [[ $line == "MSG "* ]] && cut -d. -f4 <<<"$line"
  done | sort -u | wc -l
  exec {socket}>&-
}
workers_ping() { [[ $(ping_workers "$1") == "$2" ]]; }
evidence_names() { [[ $(bucket_line "$1" | grep -Eo '"worker": ?"[^"]*"' | sort -u | wc -l) == "$2" ]]; }

# A port that the engine chose changes with every start.
find_consul() {
  consul=http://$(compose port consul 8500)
  dns_port=$(compose port --protocol udp consul 8600)
  dns_port=${dns_port##*:}
}

# everywhere TARGET STATE STATUS ANSWERS [SECONDS]: NATS and Consul agree on the target.
everywhere() {
  local target=$1 state=$2 status=$3 answers=$4 limit=${5:-30}
  eventually "$limit" "$target $state in the bucket (pgpulse status)" bucket_says "$target" "$state"
  eventually "$limit" "$target $status in Consul's check" check_is "$target" "$status"
  eventually "$limit" "$target $state under Consul's key health/$target" key_says "$target" "$state"
  eventually "$limit" "$target has $answers answers in Consul's DNS" dns_knows "$target" "$answers"
}

kill_db1() {
  step "docker kill -s KILL db1"
  quietly docker kill -s KILL "$db1"
  everywhere db1 down critical 0
  check_is db2 passing || fail "db2 is not passing although only db1 was killed"
}

start_db1() {
  step "compose start db1"
  quietly compose start db1
  everywhere db1 up passing 1
}

# --- the story

if $stand_ins; then tests/compose/stand-ins/build.sh || fail "the stand-in images were not built"; fi

started=true
step "compose build (compiles the programs; minutes the first time)"
quietly compose build
step "compose up"
quietly compose up --detach
eventually 120 "every container healthy" healthy
db1=$(compose ps -q db1)
nats_port=$(compose port nats 4222)
nats_port=${nats_port##*:}
find_consul
everywhere db1 up passing 1
everywhere db2 up passing 1
eventually 30 "one worker pings db1" workers_ping db1 1

kill_db1
start_db1

step "compose up --scale probe=3"
quietly compose up --detach --scale probe=3
eventually 60 "every container healthy" healthy
eventually 30 "three workers ping db1" workers_ping db1 3
kill_db1
eventually 30 "three workers in the evidence for db1" evidence_names db1 3
start_db1

step "compose restart consul (in memory: it forgets everything)"
quietly compose restart consul
find_consul
# The bridge compares everything with Consul once a minute.
everywhere db1 up passing 1 90
everywhere db2 up passing 1 90
