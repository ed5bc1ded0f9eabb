# Starts, watches and ends nodes on loopback: for scripts/demo.sh and the end-to-end tests.
# shellcheck shell=bash
#
# Wants $tequio (the program) set and scripts/common.sh read before. Each node is a name; its data,
# configuration and log are $swarm/NAME, $swarm/NAME.config and $swarm/NAME.log.

swarm='' swarm_names=() swarm_policy=(--always)
declare -A swarm_pid=() swarm_within=() # swarm_within[NAME]: words that a node's program is started behind

# swarm_start DIR: nodes started from now on live in DIR.
swarm_start() {
    swarm=$1
    swarm_names=() swarm_pid=()
}

# node NAME COMMAND...: the program as the owner of that node types it.
node() {
    local name=$1
    shift
    TEQUIO_DATA_DIR=$swarm/$name XDG_CONFIG_HOME=$swarm/$name.config "$tequio" "$@"
}

# node_start NAME ARGUMENTS...: the daemon, on a free loopback port, until it answers. Started again
# under the same name it goes on with its data and, so that others find it, its old port.
node_start() {
    local name=$1 listen=127.0.0.1:0 settings=$swarm/$1.toml within
    read -ra within <<<"${swarm_within[$1]:-}"
    shift
    mkdir -p "$swarm/$name"
    [[ -f $settings ]] || printf '%s\n' "${swarm_settings-$swarm_settings_default}" >"$settings"
    [[ ! -s $swarm/$name.address ]] || listen=$(<"$swarm/$name.address")
    # --always: the others' load, and this machine's owner, must not pause a test (gives_back.sh has pauses);
    # swarm_policy=() for a node that looks at its machine.
    # A session of its own, so that the node and its worker can be killed as one group.
    TEQUIO_DATA_DIR=$swarm/$name XDG_CONFIG_HOME=$swarm/$name.config setsid "${within[@]}" "$tequio" node "${swarm_policy[@]}" \
        --listen "$listen" --config "$settings" "$@" >>"$swarm/$name.log" 2>&1 </dev/null &
    swarm_pid[$name]=$!
    disown $!
    swarm_names+=("$name")
    wait_for 20 "node $name to answer" node_answers "$name" || {
        tail -n 20 "$swarm/$name.log" >&2
        return 1
    }
    node_address "$name" >"$swarm/$name.address"
}

# Several nodes share this machine: a thread each, and no share of the disk kept free for a person.
swarm_settings_default='[network]
upload_limit = "1000Mbit/s"
[accept]
jobs_per_submitter = 1000
[limits]
keep_free = "0 %"
[limits.idle]
threads = 1'

node_answers() {
    kill -0 "${swarm_pid[$1]}" 2>/dev/null || return 0 # dead: let the caller see it at once
    node "$1" status --quiet >/dev/null 2>&1
}
node_address() { node "$1" status --json | json_text listen; }
node_id() { node "$1" id --json | json_text node; }

# node_kill NAME: SIGKILL to the daemon and its worker, as a power cut would.
node_kill() {
    kill -KILL -- "-${swarm_pid[$1]}" 2>/dev/null || true
    wait_for 5 "node $1 to be gone" node_gone "$1"
}
node_gone() { ! kill -0 "${swarm_pid[$1]}" 2>/dev/null; }

# node_stop NAME: a polite end (SIGTERM), with a deadline.
node_stop() {
    kill -TERM "${swarm_pid[$1]}" 2>/dev/null || true
    wait_for 20 "node $1 to stop" node_gone "$1"
}

# worker_of NAME: the process that computes; not the one that measures at the start what processors its group gets.
worker_of() {
    local child words
    for child in $(cat "/proc/${swarm_pid[$1]}"/task/*/children 2>/dev/null); do
        words=$(tr '\0' ' ' <"/proc/$child/cmdline" 2>/dev/null) || continue
        [[ $words == *" worker "* && $words != *--probe-protection* ]] || continue
        printf '%s\n' "$child"
        return
    done
    return 1
}

# swarm_stop: ends every node, politely first; nothing of them stays.
swarm_stop() {
    local name deadline=$((SECONDS + 5))
    for name in "${swarm_names[@]}"; do kill -TERM "${swarm_pid[$name]}" 2>/dev/null || true; done
    for name in "${swarm_names[@]}"; do
        until node_gone "$name" || ((SECONDS >= deadline)); do sleep 0.1; done
        kill -KILL -- "-${swarm_pid[$name]}" 2>/dev/null || true
    done
}

# swarm_has_peers COUNT NAME...: each named node has a session with at least COUNT others.
swarm_has_peers() {
    local count=$1 name peers
    shift
    for name in "$@"; do
        peers=$(node "$name" status --json 2>/dev/null | json_number peers)
        [[ -n $peers ]] && ((peers >= count)) || return 1
    done
}

job_field() { node "$1" job show "$2" --json 2>/dev/null | json_number "$3"; }
job_state() { node "$1" job show "$2" --json 2>/dev/null | json_text state; }
job_digest() { node "$1" job show "$2" --json | json_text state_digest; }

# job_reached NAME TASK ROUND: the node knows of that many merged rounds, or the job has ended.
job_reached() {
    local round
    job_ended "$1" "$2" && return 0
    round=$(job_field "$1" "$2" round)
    [[ -n $round ]] && ((round >= $3))
}
job_ended() { [[ $(job_state "$1" "$2") =~ ^(done|failed|cancelled)$ ]]; }
job_done() { [[ $(job_state "$1" "$2") == done ]]; } # shellcheck disable=SC1010
job_fetchable() { [[ $(job_field "$1" "$2" fetchable) == true ]]; }
safe_to_leave() { [[ $(job_field "$1" "$2" safe_to_leave) == true ]]; }
