#!/usr/bin/env bash
# Two nodes that met in one job are known to each other in the next, restarted or not: few of its lanes are computed twice.
. "$(dirname "$0")/../support/scenario.sh"

rounds=12 lanes=4
make_job "$folder/first" rounds=$rounds lanes=$lanes validation=0.02
make_job "$folder/second" rounds=$rounds lanes=$lanes seed=2
make_job "$folder/third" rounds=$rounds lanes=$lanes seed=3
swarm_of one two

# computed TASK: lanes that the nodes computed, whatever for, as a share of the job's.
computed() {
    for name in one two; do node "$name" job show "$1" --json | json_number results; done |
        awk -v all=$((rounds * lanes)) '{ s += $1 } END { print s / all }'
}
# run JOB: submits it and waits; sets $task.
run() {
    task=$(submit one "$folder/$1")
    for name in one two; do finished "$name" "$task" 120; done
    printf '%s: %s of the lanes computed, %s checked\n' "$1" "$(computed "$task")" "$(job_field one "$task" checked_share)"
}
at_least() { awk "BEGIN { exit !($1 >= $2) }" || die "$3: $1 is below $2"; }
at_most() { awk "BEGIN { exit !($1 <= $2) }" || die "$3: $1 is above $2"; }

run first
at_least "$(job_field one "$task" checked_share)" 0.4 "a crew of strangers checks what it gets"
run second
# One lane in twenty; late ones have second copies, and what has two results counts as checked too.
at_most "$(job_field one "$task" checked_share)" 0.3 "share checked of the second job"
at_most "$(computed "$task")" 1.3 "lanes computed of the second job"
same "digests of swarm and replay" "$(job_digest one "$task")" "$(replayed one "$task")"
for name in one two; do
    node_kill "$name"
done
node_start one
node_start two --peer "$(node_address one)"
wait_for 20 "the nodes to know one another" swarm_has_peers 1 one two
run third
at_most "$(job_field one "$task" checked_share)" 0.3 "share checked after restarts"
at_most "$(computed "$task")" 1.3 "lanes computed after restarts"
same "digests of both" "$(job_digest one "$task")" "$(job_digest two "$task")"
