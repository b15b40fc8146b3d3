# shellcheck shell=bash
# Sourced by demo.sh: ports, and processes that are started, found again and ended by their own ids alone.
#
# Every process gets a session of its own, so that Ctrl-C reaches only the script, which then ends the others in order.
# $work/processes lists them, one a line: name, process id, start time in clock ticks after boot. Id and start time
# together name one process for ever; an id alone may have been given to a stranger meanwhile.

# The demo's folder, with log/ in it.
work=${work:-}

# The start time of a process that lives; fails for one that is gone or only waits to be reaped.
process_start_time() {
    local stat fields
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # The second field is a name that may hold spaces and brackets.
    read -r -a fields <<<"${stat##*) }"
    [[ ${fields[0]} != Z ]] || return 1
    echo "${fields[19]}"
}

# alive PID START_TIME
alive() {
    [[ $(process_start_time "$1") == "$2" ]]
}

# start NAME COMMAND...: runs it in the background, output in $work/log/NAME; leaves its id in $started.
start() {
    local name=$1 start_time
    shift
    setsid "$@" </dev/null >"$work/log/$name" 2>&1 &
    started=$!
    # Else the shell itself would report how it ended.
    disown "$started"
    start_time=$(process_start_time "$started") || start_time=gone
    echo "$name $started $start_time" >>"$work/processes"
}

# running NAME: whether the last process started under this name lives.
running() {
    local name pid start_time found=
    while read -r name pid start_time; do
        if [[ $name == "$1" ]]; then found="$pid $start_time"; fi
    done <"$work/processes"
    # shellcheck disable=SC2086 # two words
    [[ -n $found ]] && alive $found
}

# require_running NAME...: says in one line which has ended, and its last words.
require_running() {
    local name
    for name in "$@"; do
        running "$name" || die "$name has ended: $(tail -n1 "$work/log/$name")"
    done
}

# The ids of a process's children, one a line.
children() {
    grep -lE "^PPid:[[:space:]]+$1\$" /proc/[0-9]*/status 2>/dev/null | cut -d/ -f3 || true
}

# remember_children PID: a killed postmaster's children have to be gone, too, before the demo says so.
remember_children() {
    local child start_time
    for child in $(children "$1"); do
        start_time=$(process_start_time "$child") && echo "child $child $start_time" >>"$work/processes"
    done
    return 0
}

# await_children_end: until what remember_children noted is gone.
await_children_end() {
    local name pid start_time
    while read -r name pid start_time; do
        if [[ $name == child ]]; then await_end 10 "$pid" "$start_time" || die "process $pid outlives its postmaster"; fi
    done <"$work/processes"
}

# await_end SECONDS PID START_TIME...: fails when one of them still lives after that.
await_end() {
    local deadline=$((SECONDS + $1))
    shift
    while (($#)); do
        if ! alive "$1" "$2"; then
            shift 2
        elif ((SECONDS > deadline)); then
            return 1
        else
            sleep 0.02
        fi
    done
}

# end_process NAME: ends one that is neither a database nor needed by others.
end_process() {
    local name pid start_time
    while read -r name pid start_time; do
        if [[ $name == "$1" ]] && alive "$pid" "$start_time"; then
            kill -TERM -- "-$pid" 2>/dev/null || true
            await_end 3 "$pid" "$start_time" || kill -KILL -- "-$pid" 2>/dev/null || true
        fi
    done <"$work/processes"
}

# end_processes FOLDER: ends what its list names, the last started first, and waits until nothing of it is left.
end_processes() {
    local name pid start_time signal i
    local -a names=() ids=() watched=()
    while read -r name pid start_time; do
        alive "$pid" "$start_time" || continue
        names+=("$name") ids+=("$pid $start_time") watched+=("$pid" "$start_time")
        if [[ $name == db* ]]; then
            # PostgreSQL's workers are in sessions of their own.
            for pid in $(children "$pid"); do
                start_time=$(process_start_time "$pid") && watched+=("$pid" "$start_time")
            done
        fi
    done <"$1/processes"
    # The daemons before the servers they talk to; SIGQUIT is PostgreSQL's immediate shutdown.
    for ((i = ${#names[@]} - 1; i >= 0; i--)); do
        read -r pid start_time <<<"${ids[i]}"
        case ${names[i]} in
            db*) signal=QUIT ;;
            *) signal=TERM ;;
        esac
        if [[ ${names[i]} == child ]]; then continue; fi
        # The whole group: a watcher has a curl under it. (No group yet: it was started this instant.)
        kill "-$signal" -- "-$pid" 2>/dev/null || kill "-$signal" "$pid" 2>/dev/null || true
        if [[ ${names[i]} == pgpulse-* ]]; then await_end 3 "$pid" "$start_time" || true; fi
    done
    if ! await_end 6 "${watched[@]}"; then
        for ((i = 0; i < ${#watched[@]}; i += 2)); do
            if alive "${watched[i]}" "${watched[i + 1]}"; then kill -KILL "${watched[i]}" 2>/dev/null || true; fi
        done
        await_end 3 "${watched[@]}" || true
    fi
    # A postmaster that was killed and not started again leaves its System V segment; its id stands in line 7.
    local file id
    for file in "$1"/db*/postmaster.pid; do
        if [[ -f $file ]]; then
            read -r _ id <<<"$(sed -n 7p "$file")"
            ipcrm -m "${id:-none}" 2>/dev/null || true
        fi
    done
}

# port_is_free PORT: nothing on this machine listens there, by TCP or UDP.
port_is_free() {
    local hex
    local -a tables=(/proc/net/tcp /proc/net/udp)
    if [[ -e /proc/net/tcp6 ]]; then tables+=(/proc/net/tcp6 /proc/net/udp6); fi
    hex=$(printf '%04X' "$1")
    ! awk -v port="$hex" '
        FNR > 1 && substr($2, length($2) - 3) == port && (FILENAME ~ /udp/ || $4 == "0A") { found = 1 }
        END { exit !found }' "${tables[@]}"
}

# take_port VARIABLE WISH FLAG WHAT FIRST: the wish, which must be free, or else the first free port from FIRST on.
taken_ports=' '
take_port() {
    local -n result=$1
    local wish=$2 flag=$3 what=$4 port=$5
    if [[ -n $wish ]]; then
        [[ $taken_ports != *" $wish "* ]] || die "port $wish is asked for twice ($flag)" 2
        port_is_free "$wish" || die "port $wish for $what is in use: choose another with $flag"
        port=$wish
    else
        # Below 32768, where the kernel takes no ports of its own for outgoing connections.
        while [[ $taken_ports == *" $port "* ]] || ! port_is_free "$port"; do
            ((++port < 32768)) || die "no free port for $what"
        done
    fi
    taken_ports+="$port "
    # shellcheck disable=SC2034 # a reference to the caller's variable
    result=$port
}

# accepts PORT: something on loopback accepts TCP connections there.
accepts() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# await NAME WHAT COMMAND...: until the command succeeds, as long as process NAME lives and for at most 30 s.
await() {
    local name=$1 what=$2 deadline=$((SECONDS + 30))
    shift 2
    until "$@"; do
        running "$name" || die "$name ended before it $what: $(tail -n1 "$work/log/$name")"
        ((SECONDS < deadline)) || die "$name: not seen within 30 s that it $what: $(tail -n1 "$work/log/$name")"
        sleep 0.02
    done
}
