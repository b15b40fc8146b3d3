# shellcheck shell=bash disable=SC2034,SC2154 # variables of the scripts that meet in demo.sh
# Sourced by demo.sh: what is shown, the table of what each reader sees, and the list of who learned of a change when.
# Uses the caller's $work, $bin, $nats_url and *_port.

bold='' dim='' green='' red='' yellow='' plain=''
# Not empty on a terminal: blocks are then drawn again in place.
live=''

# choose_display COLOR: auto or never.
choose_display() {
    [[ -t 1 && ${TERM:-dumb} != dumb ]] || return 0
    # A block that wraps could not be drawn again in place.
    local columns
    columns=$(stty size 2>/dev/null </dev/tty | cut -d' ' -f2) || columns=80
    if ((${columns:-80} >= 80)); then
        live=yes
        printf '\e[?25l'
    fi
    if [[ $1 == auto && -z ${NO_COLOR:-} ]]; then
        bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' yellow=$'\e[33m' plain=$'\e[0m'
    fi
}

title() { printf '\n%s%s%s\n\n' "$bold" "$*" "$plain"; }
say() { printf '   %s\n' "$*"; }
note() { printf '   %s%s%s\n' "$dim" "$*" "$plain"; }
# item NAME PLACE EXPLANATION
item() { printf '   %-21s  %-15s  %s%s%s\n' "$1" "$2" "$dim" "${3:-}" "$plain"; }
# Time to read, for whoever sits in front of it.
pause() { if [[ -n $live ]]; then sleep "$1"; fi; }

# redraw BLOCK [final]: prints it in the place of the block before; without a terminal only the final one is printed.
drawn_lines=0
redraw() {
    if [[ -n $live ]]; then
        if ((drawn_lines)); then printf '\e[%dA\e[J' "$drawn_lines"; fi
        printf '%s\n' "$1"
        drawn_lines=$(wc -l <<<"$1")
    elif [[ ${2:-} == final ]]; then
        printf '%s\n' "$1"
    fi
    if [[ ${2:-} == final ]]; then drawn_lines=0; fi
}

# --- the table --------------------------------------------------------------------------------------------------------

# What NATS, Consul's check, Consul's key and Consul's DNS say of a server, each asked by itself now.
declare -A nats_says check_says key_says dns_says
look() {
    local name status answer
    status=$("$bin/pgpulse" status --nats "$nats_url" --json 2>/dev/null) || true
    for name in db1 db2; do
        answer=$(jq -r --arg name "$name" 'select(.target == $name) | .state.state' <<<"$status" 2>/dev/null) || true
        nats_says[$name]=${answer:--}
        answer=$(consul_get "health/node/$name" |
            jq -r --arg id "$name-isready" '.[] | select(.CheckID == $id) | .Status' 2>/dev/null) || true
        check_says[$name]=${answer:--}
        answer=$(consul_get "kv/health/$name?raw" | jq -r .state 2>/dev/null) || true
        key_says[$name]=${answer:--}
        answer=$(dig +short +time=1 +tries=1 @127.0.0.1 -p "$dns_port" "$name.service.consul" 2>/dev/null) || true
        dns_says[$name]=${answer:-no answer}
    done
}

# all_say NAME STATE: whether all four agree.
all_say() {
    local check=passing dns=127.0.0.1
    if [[ $2 == down ]]; then check=critical dns='no answer'; fi
    [[ ${nats_says[$1]} == "$2" && ${check_says[$1]} == "$check" && ${key_says[$1]} == "$2" && ${dns_says[$1]} == "$dns" ]]
}

# cell WIDTH TEXT: padded, and coloured by what it says.
cell() {
    local paint=$yellow
    case $2 in
        up | passing | 127.0.0.1) paint=$green ;;
        down | critical | 'no answer') paint=$red ;;
    esac
    printf '%s%-*s%s' "$paint" "$1" "$2" "$plain"
}

table() {
    local name port
    note "SERVER  ADDRESS          NATS     CONSUL CHECK  CONSUL KEY  CONSUL DNS"
    for name in db1 db2; do
        port=${name}_port
        printf '   %s%-6s%s  127.0.0.1:%-5s  %s  %s  %s  %s\n' "$bold" "$name" "$plain" "${!port}" \
            "$(cell 7 "${nats_says[$name]}")" "$(cell 12 "${check_says[$name]}")" \
            "$(cell 10 "${key_says[$name]}")" "$(cell 9 "${dns_says[$name]}")"
    done
}

# --- who learned of a change when -------------------------------------------------------------------------------------

# first_line FILE SINCE KEY VALUE: the first line of a follower's file from then on that says so; nothing if none does.
first_line() {
    awk -F'\t' -v since="$2" -v key="$3" -v value="$4" '$1 >= since && $2 == key && $3 == value { print; exit }' \
        "$1" 2>/dev/null || true
}

# A time of ours, RFC 3339 with microseconds, in microseconds since 1970.
jq_micros='def micros: (.[0:19] + "Z" | fromdate) * 1000000 + (.[20:26] | tonumber);'

# news SINCE STATE: one line for each who knows by now that db1 is in STATE: microseconds since 1970, who, what.
news() {
    local since=$1 state=$2 check=passing at what
    if [[ $state == down ]]; then check=critical; fi
    if [[ $state == up ]]; then
        # Seconds with three decimals at the start of the line.
        sed -n 's/^\([0-9]*\)\.\([0-9]*\) .*ready to accept connections.*/\1\2000\tdb1\taccepts connections/p' \
            "$work/log/db1" | head -n1
    fi
    jq -rR --argjson since "$since" --arg state "$state" "$jq_micros"'
        fromjson? | select(.state.target == "db1" and .state.state == $state)
        | (.received_at | micros) as $at | select($at >= $since)
        | [($at | tostring), "NATS event", "\(.subject): \(.state.state), \(.state.reason)"] | @tsv' \
        "$work/log/watch-nats" | head -n1
    "$bin/pgpulse" status --nats "$nats_url" --json db1 2>/dev/null |
        jq -r --arg state "$state" "$jq_micros"'select(.state.state == $state)
            | [(.stored_at | micros | tostring), "NATS KV entry",
               "health/db1: \(.state.state), transition \(.state.transition)"] | @tsv' || true
    while IFS=$'\t' read -r at _ what; do
        printf '%s\tConsul check\tdb1-isready: %s\n' "$at" "$what"
    done < <(first_line "$work/seen/checks" "$since" db1-isready "$check")
    while IFS=$'\t' read -r at _ _ what; do
        printf '%s\tConsul KV key\thealth/db1: %s, %s\n' "$at" "$state" "$what"
    done < <(first_line "$work/seen/keys" "$since" health/db1 "$state")
    while IFS=$'\t' read -r at _ what; do
        printf '%s\tconsul watch\truns its handler: db1-isready %s\n' "$at" "$what"
    done < <(first_line "$work/seen/watch" "$since" db1-isready "$check")
}

# news_list SINCE NEWS: the news with the milliseconds since then, in order of time.
news_list() {
    local at who what
    [[ -n $2 ]] || return 0
    while IFS=$'\t' read -r at who what; do
        printf '   %s%7s ms%s   %-14s  %s\n' "$bold" "$(milliseconds $((at - $1)))" "$plain" "$who" "$what"
    done < <(sort -n <<<"$2")
}

# Microseconds as milliseconds with one decimal.
milliseconds() {
    local tenths=$((($1 + 50) / 100))
    printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

# show_news SINCE STATE COUNT: shows the news as they come in, until COUNT know. Leaves the first and the last time, in
# milliseconds, in $first_ms and $last_ms.
first_ms='' last_ms=''
show_news() {
    local since=$1 state=$2 count=$3 deadline=$((SECONDS + 30)) known='' times
    while :; do
        known=$(news "$since" "$state")
        if (($(grep -c . <<<"$known") >= count)); then break; fi
        # A watcher that has died would be waited for in vain.
        require_running pgpulse-probe pgpulse-aggregator pgpulse-consul-bridge watch-nats watch-checks watch-keys consul-watch
        if ((SECONDS >= deadline)); then
            redraw "$(news_list "$since" "$known")" final
            die "after 30 s not everyone knows that db1 is $state: the list above should have $count lines"
        fi
        if [[ -n $live ]]; then
            look
            redraw "$(
                news_list "$since" "$known"
                note "$(printf '%7s ms   ...' "$(milliseconds $((${EPOCHREALTIME/[.,]/} - since)))")"
                echo
                table
            )"
        fi
        sleep 0.05
    done
    deadline=$((SECONDS + 10))
    until look && all_say db1 "$state"; do
        ((SECONDS < deadline)) || die "after 10 s NATS, Consul and its DNS do not all say that db1 is $state"
        sleep 0.05
    done
    redraw "$(
        news_list "$since" "$known"
        echo
        table
    )" final
    times=$(grep -v $'\tdb1\t' <<<"$known" | cut -f1 | sort -n)
    first_ms=$(milliseconds $(($(head -n1 <<<"$times") - since)))
    last_ms=$(milliseconds $(($(tail -n1 <<<"$times") - since)))
}
