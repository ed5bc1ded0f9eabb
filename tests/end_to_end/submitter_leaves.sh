#!/usr/bin/env bash
# The submitter's machine stops for good once it is safe to leave; the others end the job, and the
# result comes from one of them.
. "$(dirname "$0")/../support/scenario.sh"

make_job "$folder/job" rounds=10
swarm_of one two three
task=$(submit one "$folder/job")
wait_for 30 "that it is safe to leave" safe_to_leave one "$task"
node_kill one
for name in two three; do finished "$name" "$task"; done
node three job fetch "$task" --out "$folder/three" >/dev/null
node two job fetch "$task" --out "$folder/two" >/dev/null
cmp "$folder/two/model.safetensors" "$folder/three/model.safetensors"
same "digests of swarm and replay" "$(job_digest three "$task")" "$(replayed two "$task")"
ledgers_verify one two three
