#!/usr/bin/env bash
# Replay of a job that a node took part in, with its daemon running and without: by id, from its chronicle, and, for
# late rounds, by the means that the node kept instead of by training.
. "$(dirname "$0")/../support/scenario.sh"

make_job "$folder/job" rounds=5
swarm_of one
task=$(submit one "$folder/job")
finished one "$task"
ends 0 node one job replay "$task" --json
says '"mismatches":[]' "$(job_digest one "$task")"

ends 0 node one job replay "${task:0:12}" --rounds 4..5 --json
says '"rounds_computed":2' '"rounds_checked":2' '"mismatches":[]'
[[ $output != *"round 0:"* && $output != *"not all means"* ]] || die "late rounds were not reached by the means"

node_stop one
ends 0 node one job replay "$task" --rounds 4..4 --json
says '"mismatches":[]'

# A mean that the disk damaged is computed again, and nobody is accused.
ends 0 node one job replay "$task" --write-chronicle "$folder/chronicle"
mean=$(awk '/^mean/ { print $2; exit }' "$folder/chronicle")
file=$swarm/one/blobs/${mean:0:2}/${mean/:/-}
[[ -f $file ]] || die "no file of the first mean: $file"
printf 'x' | dd of="$file" bs=1 seek=300 conv=notrunc status=none
ends 0 node one job replay "$task" --rounds 4..4 --json
says 'not all means' '"mismatches":[]'

# A data folder that does not know the job.
ends 4 "$tequio" --data-dir "$folder/empty" job replay "$task"
says "$folder/empty"
