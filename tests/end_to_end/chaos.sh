#!/usr/bin/env bash
# chaos.sh PROGRAM [SECONDS|RUNSx] [SEED]: jobs of every method and codec, one after the other, on four nodes to which something
# happens every second or two: SIGKILL, SIGSTOP, a full disk, a slow link, a cut link. Every job ends on every node with the
# digest of a replay on one machine; and afterwards the node that was never killed has no more memory, open files, threads or
# files on disk than the calm jobs before explain.
#
# For so many seconds, or ("54x") so many jobs, spread evenly over methods and codecs. Each has a seed of its own, SEED, SEED + 1,
# ...; a table at the end names each one's faults and digest.
#
# Links need network namespaces, full disks a small file system of their own: both need root. What cannot be had is skipped
# by name.
. "$(dirname "$0")/../support/scenario.sh"
. "$tests/support/namespaces.sh"

duration=${1:-60} seed=${2:-$(($(date +%N | sed 's/^0*//') % 32768))}
[[ $duration =~ ^[1-9][0-9]*x?$ && $seed =~ ^[0-9]+$ ]] || die -2 "SECONDS, RUNS and SEED are numbers"
runs=0
if [[ $duration == *x ]]; then runs=${duration%x} duration=0; fi
printf 'seed %s; repeat with: tests/end_to_end/chaos.sh PROGRAM %s %s\n' "$seed" "${1:-60}" "$seed"
names=(one two three four)
faults=(kill kill stop stop)
declare -A count=([kill]=0 [stop]=0 [fill]=0 [slow]=0 [cut]=0)
mounted=() healing=()

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
    links_down
    scenario_end "$status"
}
trap chaos_end EXIT

if make_disks; then faults+=(fill); else printf 'skipped: full disks (no mounting here)\n'; fi
if links_up "tqc$$" 1000mbit "${names[@]}" 2>/dev/null; then
    faults+=(slow cut cut)
    swarm_behind_links
else
    links_down
    swarm_within=()
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

# counted: how often each fault was so far. since COUNTED: how much oftener now.
counted() { printf '%s ' "${count[kill]}" "${count[stop]}" "${count[fill]}" "${count[slow]}" "${count[cut]}"; }
since() { paste -d ' ' <(tr ' ' '\n' <<<"$(counted)") <(tr ' ' '\n' <<<"$1") | awk 'NF == 2 { printf "%4d ", $1 - $2 }'; }

# later SECONDS COMMAND...: by itself, after a while.
later() {
    (sleep "$1" && "${@:2}") >/dev/null 2>&1 &
    healing+=($!)
}
alive() { kill -0 "${swarm_pid[$1]}" 2>/dev/null; }
# Who was killed since it was stopped needs no waking.
wake() { kill -CONT -- "-${swarm_pid[$1]}" 2>/dev/null || ! alive "$1"; }
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
        slow) link_rate "$name" "$((1 + RANDOM % 8))mbit" && later "$seconds" link_rate "$name" 1000mbit ;;
        cut) link_set "$name" down && later "$seconds" link_set "$name" up ;;
    esac
}
# Whatever was done is undone, and everybody is there.
heal() {
    local undoing
    for undoing in "${healing[@]}"; do wait "$undoing" || die "a fault could not be undone"; done
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

deadline=$((SECONDS + duration)) jobs=0 table=()
while ((SECONDS < deadline || jobs < (runs > 2 ? runs : 2))); do
    kind=${kinds[jobs % ${#kinds[@]}]}
    RANDOM=$(((seed + jobs) % 32768)) # each job's faults are drawn anew, from a seed that the table names
    before=$(counted) began=$SECONDS
    printf 'job %s: %s, seed %s\n' "$((jobs + 1))" "$kind" "$((seed + jobs))"
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
    table+=("$(printf '%6s  %-18s %5s s  %s  %.16s' "$((seed + jobs))" "$kind" "$((SECONDS - began))" "$(since "$before")" "${expected[$kind]}")")
    jobs=$((jobs + 1))
    printf 'job %s: done everywhere after %s s\n' "$jobs" "$SECONDS"
done
wait_for 30 "the nodes to know one another" swarm_has_peers 3 "${names[@]}"
last=$(quiet_sample)
printf '  seed  kind                time  kill stop fill slow  cut  digest\n'
printf '%s\n' "${table[@]}"
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
