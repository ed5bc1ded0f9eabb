#!/usr/bin/env bash
# drained.sh PROGRAM: SIGTERM while a lane is in hand. A short lane is finished; a long one is given up in time; in
# both cases the daemon is gone within 10 s, and the job goes on from where it stood, to the replay's digest.
. "$(dirname "$0")/../support/scenario.sh"

# ended_in SECONDS NAME SIGNAL...: sends them and waits for the node's end.
ended_in() {
    local most=$1 name=$2 began took number
    shift 2
    began=$(date +%s%N)
    for number in "$@"; do
        kill -s "$number" "${swarm_pid[$name]}"
        sleep 0.3
    done
    wait_for "$most" "node $name to end" node_gone "$name"
    took=$((($(date +%s%N) - began) / 1000000))
    printf 'node %s ended %s ms after SIG%s\n' "$name" "$took" "$*"
}

# Preparing is work too, and no lane.
has_lane() { node "$1" job show "$task" --json | grep -qE '"doing": *"round [0-9]+ lane [0-9]+"'; }

make_job "$folder/short" rounds=6
make_job "$folder/long" rounds=2 lanes=2 inner_steps=40000 width=64 layers=4
node_start one
task=$(submit one "$folder/short")
expected=$(replayed one "$task")
wait_for 60 "round 1" job_reached one "$task" 1
ended_in 10 one TERM
grep -q 'signal: finishing the work in hand' "$folder/one.log" || die "it did not drain"
node_start one
finished one "$task"
same "digests" "$expected" "$(job_digest one "$task")"

task=$(submit one "$folder/long")
wait_for 60 "a lane of the long job" has_lane one
ended_in 10 one TERM
grep -q 'other nodes take over the work in hand' "$folder/one.log" || die "the long lane was not given up"
node_start one
wait_for 60 "a lane of the long job" has_lane one
ended_in 5 one INT
node_start one
wait_for 60 "a lane of the long job" has_lane one
# The second signal waits for nothing.
ended_in 3 one TERM TERM
ledgers_verify one
