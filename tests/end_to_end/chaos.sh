#!/usr/bin/env bash
# chaos.sh PROGRAM [SECONDS] [SEED]: jobs of every method and codec, one after the other, on four nodes to which something
# happens every second or two: SIGKILL, SIGSTOP, a full disk, a slow link, a cut link. Every job ends on every node with the
# digest of a replay on one machine; and afterwards the node that was never killed has no more memory, open files, threads or
# files on disk than the calm jobs before explain.
#
# Links need network namespaces, full disks a small file system of their own: both need root. What cannot be had is skipped
# by name.
. "$(dirname "$0")/../support/scenario.sh"

duration=${1:-60} seed=${2:-$(($(date +%N | sed 's/^0*//') % 32768))}
[[ $duration =~ ^[1-9][0-9]*$ && $seed =~ ^[0-9]+$ ]] || die -2 "SECONDS and SEED are numbers"
printf 'seed %s; repeat with: tests/end_to_end/chaos.sh PROGRAM %s %s\n' "$seed" "$duration" "$seed"
RANDOM=$seed
names=(one two three four)
space=tqc$$ # of the namespaces' names
faults=(kill kill stop stop)
declare -A count=([kill]=0 [stop]=0 [fill]=0 [slow]=0 [cut]=0) number=([one]=1 [two]=2 [three]=3 [four]=4)
mounted=() healing=()

in_bridge() { ip -n "$space.br" "$@"; }

# A namespace a node, joined by a bridge in one of its own.
make_links() {
    command -v ip >/dev/null && command -v tc >/dev/null && ip netns add "$space.br" 2>/dev/null || return 1
    in_bridge link add br0 type bridge && in_bridge link set br0 up || return 1
    local name i
    for name in "${names[@]}"; do
        i=${number[$name]}
        ip netns add "$space.$name" && ip -n "$space.$name" link set lo up &&
            ip link add eth0 netns "$space.$name" type veth peer name "p$i" netns "$space.br" &&
            in_bridge link set "p$i" master br0 up &&
            ip -n "$space.$name" addr add "10.79.0.$i/24" dev eth0 && ip -n "$space.$name" link set eth0 up &&
            set_rate "$name" 1000mbit || return 1
    done
}
set_rate() { tc -n "$space.$1" qdisc replace dev eth0 root tbf rate "$2" burst 64kb latency 200ms; }
drop_links() {
    local name
    for name in "${names[@]}" br; do ip netns del "$space.$name" 2>/dev/null || true; done
}
make_disks() {
    local name
    for name in "${names[@]}"; do
        mkdir -p "$folder/$name"
        mount -t tmpfs -o size=64m tmpfs "$folder/$name" 2>/dev/null || return 1
        mounted+=("$folder/$name")
    done
}

# start NAME: the node, told where the others listen.
start() {
    local other arguments=()
    for other in "${names[@]}"; do
        [[ $other == "$1" || ! -s $folder/$other.address ]] || arguments+=(--peer "$(<"$folder/$other.address")")
    done
    node_start "$1" "${arguments[@]}"
}

chaos_end() {
    local status=$? dir
    set +e
    for name in "${names[@]}"; do kill -CONT -- "-${swarm_pid[$name]:-0}" 2>/dev/null; done
    swarm_stop
    for dir in "${mounted[@]}"; do umount -l "$dir"; done
    drop_links 2>/dev/null
    (exit "$status")
    scenario_end
}
trap chaos_end EXIT

if make_disks; then faults+=(fill); else printf 'skipped: full disks (no mounting here)\n'; fi
if make_links; then
    faults+=(slow cut cut)
    for name in "${names[@]}"; do
        swarm_within[$name]="ip netns exec $space.$name"
        # Only members of a swarm leave loopback.
        node_start "$name"
        if [[ $name == one ]]; then
            node one swarm new chaos --quiet >/dev/null
        else
            node "$name" swarm join "$invite" --quiet >/dev/null
        fi
        node_stop "$name"
        printf '10.79.0.%s:47100\n' "${number[$name]}" >"$folder/$name.address"
        start "$name"
        [[ $name != one ]] || invite=$(node one swarm invite --address 10.79.0.1:47100 --quiet)
    done
    wait_for 60 "the nodes to know one another" swarm_has_peers 3 "${names[@]}"
else
    drop_links
    printf 'skipped: slow links and partitions (no network namespaces here)\n'
    swarm_of "${names[@]}"
fi

# The kinds of jobs, one a method and codec; a digest each, by replay at the first time.
declare -A expected=()
kinds=()
for codec in f32 mxint8 mxfp4; do
    for method in diloco synchronous; do
        kinds+=("$method-$codec")
        make_job "$folder/$method-$codec" rounds=12 "codec=\"$codec\"" "codec_down=\"$codec\""
        [[ $method == diloco ]] || make_synchronous "$folder/$method-$codec"
    done
done

# later SECONDS COMMAND...: by itself, after a while.
later() {
    (sleep "$1" && "${@:2}") >/dev/null 2>&1 &
    healing+=($!)
}
alive() { kill -0 "${swarm_pid[$1]}" 2>/dev/null; }
wake() { kill -CONT -- "-${swarm_pid[$1]}"; }
fill() { head -c 100000000 /dev/zero >"$folder/$1/.filler" 2>/dev/null || true; }
revive() {
    local name
    for name in "${names[@]}"; do alive "$name" || start "$name"; done
}

# One fault, over within some seconds. Node one is never killed: it is the one that is measured.
hurt() {
    local fault=${faults[RANDOM % ${#faults[@]}]} name=${names[RANDOM % 4]} seconds=$((1 + RANDOM % 6)).$((RANDOM % 10))
    alive "$name" || return 0
    [[ $fault != kill || $name != one ]] || return 0
    count[$fault]=$((count[$fault] + 1))
    case $fault in
        kill) wake "$name" && node_kill "$name" ;;
        stop) kill -STOP -- "-${swarm_pid[$name]}" && later "$seconds" wake "$name" ;;
        fill) fill "$name" && later "$seconds" rm -f "$folder/$name/.filler" ;;
        slow) set_rate "$name" "$((1 + RANDOM % 8))mbit" && later "$seconds" set_rate "$name" 1000mbit ;;
        cut) in_bridge link set "p${number[$name]}" down && later "$seconds" in_bridge link set "p${number[$name]}" up ;;
    esac
}
# Whatever was done is undone, and everybody is there.
heal() {
    ((${#healing[@]} == 0)) || wait "${healing[@]}" || die "a fault could not be undone"
    healing=()
    revive
}

# everywhere TASK KIND: the job is done on every node, with the replay's digest.
everywhere() {
    local name
    for name in "${names[@]}"; do finished "$name" "$1" 240; done
    [[ -n ${expected[$2]:-} ]] || expected[$2]=$(replayed one "$1")
    for name in "${names[@]}"; do
        [[ $(job_digest "$name" "$1") == "${expected[$2]}" ]] || die "$2 ended on $name with another digest than ${expected[$2]}"
    done
}

# sample: memory in KiB, open files, threads of node one; files and KiB of its data.
sample() {
    local pid=${swarm_pid[one]}
    printf '%s %s %s %s %s\n' "$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")" "$(find "/proc/$pid/fd" 2>/dev/null | wc -l)" \
        "$(find "/proc/$pid/task" -maxdepth 1 -mindepth 1 | wc -l)" "$(find "$folder/one" -type f | wc -l)" \
        "$(du -sk "$folder/one" | cut -f 1)"
}
quiet_sample() { sleep 3 && sample; } # what a job leaves behind is put away within seconds

run_calm() {
    local task
    task=$(submit one "$folder/$1")
    everywhere "$task" "$1"
}
for kind in "${kinds[@]}"; do run_calm "$kind"; done
first=$(quiet_sample)
for kind in "${kinds[@]}"; do run_calm "$kind"; done
second=$(quiet_sample)

deadline=$((SECONDS + duration)) jobs=0
while ((SECONDS < deadline || jobs < 2)); do
    kind=${kinds[jobs % ${#kinds[@]}]}
    submitter=${names[RANDOM % 4]}
    task=$(submit "$submitter" "$folder/$kind")
    wait_for 60 "data on other nodes" safe_to_leave "$submitter" "$task"
    until job_ended one "$task"; do
        hurt
        sleep "$((RANDOM % 2)).$((RANDOM % 10))"
        # Half of the dead come back at once, and never are all of the others dead.
        ((RANDOM % 2)) || revive
    done
    heal
    everywhere "$task" "$kind"
    jobs=$((jobs + 1))
    printf 'job %s, %s: done everywhere after %s s\n' "$jobs" "$kind" "$SECONDS"
done
wait_for 30 "the nodes to know one another" swarm_has_peers 3 "${names[@]}"
last=$(quiet_sample)
printf '%s jobs; kills %s, stops %s, full disks %s, slow links %s, cut links %s\n' "$jobs" "${count[kill]}" "${count[stop]}" \
    "${count[fill]}" "${count[slow]}" "${count[cut]}"
ledgers_verify "${names[@]}"
awk -v jobs="$jobs" -v a="$first" -v b="$second" -v c="$last" 'BEGIN {
    split(a, x); split(b, y); split(c, z)
    split("memory KiB,open files,threads,files,data KiB", what, ","); split("16384 8 4 20 4096", slack, " ")
    # Six calm jobs lie between the first two samples: what they left, each of the others may leave too.
    for (i = 1; i <= 5; ++i) {
        each = y[i] > x[i] ? (y[i] - x[i]) / 6 : 0
        allowed = y[i] + (i == 2 || i == 3 ? 0 : jobs * each) + slack[i]
        printf "%-11s %8d after 6 calm jobs, %8d after 12, %8d at the end; allowed %8d\n", what[i], x[i], y[i], z[i], allowed
        if (z[i] > allowed) bad = bad " " what[i]
    }
    if (bad) { print "grew:" bad; exit 1 }
}' || die "node one holds more than its jobs explain"
