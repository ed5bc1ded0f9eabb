#!/usr/bin/env bash
# Two nodes train; a third, which knew nothing of the job, joins in the middle and helps.
. "$(dirname "$0")/../support/scenario.sh"

make_job "$folder/job" rounds=64
swarm_of one two
task=$(submit one "$folder/job")
wait_for 60 "the third round" job_reached one "$task" 3
node_start three --peer "$(node_address two)"
for name in one two three; do finished "$name" "$task"; done
digest=$(replayed three "$task")
for name in one two three; do same "digests" "$digest" "$(job_digest "$name" "$task")"; done
ends 0 node three ledger show --json
says "$task"
ledgers_verify one two three
