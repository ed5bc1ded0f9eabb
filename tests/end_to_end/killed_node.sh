#!/usr/bin/env bash
# killed_node.sh PROGRAM [TRIES] [SEED]: a node, any of three, gets SIGKILL at a random moment of a
# job; the other two end it with the replay's digest. Then it comes back for the next try.
. "$(dirname "$0")/../support/scenario.sh"

tries=${1:-3} seed=${2:-$(($(date +%N | sed 's/^0*//') % 32768))}
[[ $tries =~ ^[1-9][0-9]*$ && $seed =~ ^[0-9]+$ ]] || die -2 "TRIES and SEED are numbers"
printf 'seed %s; repeat with: tests/end_to_end/killed_node.sh PROGRAM %s %s\n' "$seed" "$tries" "$seed"
RANDOM=$seed
names=(one two three)
make_job "$folder/job" rounds=8
swarm_of "${names[@]}"
expected=
for ((try = 1; try <= tries; ++try)); do
    victim=${names[RANDOM % 3]} round=$((RANDOM % 8)) delay=$((RANDOM % 400))
    survivors=()
    for name in "${names[@]}"; do [[ $name == "$victim" ]] || survivors+=("$name"); done
    submitter=${names[RANDOM % 3]}
    task=$(submit "$submitter" "$folder/job")
    [[ -n $expected ]] || expected=$(replayed "$submitter" "$task")
    # Its submitter may leave once others hold the data; before that its death ends the job for all.
    wait_for 30 "data on other nodes" safe_to_leave "$submitter" "$task"
    wait_for 60 "round $round" job_reached "$victim" "$task" "$round"
    sleep "$(printf '0.%03d' "$delay")"
    node_kill "$victim"
    printf 'try %s: killed %s %s ms after round %s\n' "$try" "$victim" "$delay" "$round"
    for name in "${survivors[@]}"; do
        finished "$name" "$task"
        same "digests" "$expected" "$(job_digest "$name" "$task")"
    done
    node_start "$victim" --peer "$(node_address "${survivors[0]}")"
    wait_for 30 "the nodes to know one another" swarm_has_peers 2 "${names[@]}"
done
ledgers_verify "${names[@]}"
