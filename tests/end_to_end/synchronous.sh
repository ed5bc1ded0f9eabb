#!/usr/bin/env bash
# A job of method synchronous: three nodes, one of them killed on the way, come to the replay's digest; the model leaves as any
# other; `job new` writes such a job.
. "$(dirname "$0")/../support/scenario.sh"

make_job "$folder/job" rounds=24 lanes=3
make_synchronous "$folder/job"
ends 0 "$tequio" --data-dir "$folder/data" job plan "$folder/job/job.toml" --threads 1
says "24 rounds of 3 lanes, one step together"
swarm_of one two three
task=$(submit one "$folder/job")
expected=$(replayed one "$task")
wait_for 30 "data on other nodes" safe_to_leave one "$task"
wait_for 60 "round 3" job_reached two "$task" 3
node_kill three
for name in one two; do
    finished "$name" "$task"
    same "digests" "$expected" "$(job_digest "$name" "$task")"
done
node two job fetch "$task" --out "$folder/model" >/dev/null
grep -q '^method synchronous' "$folder/model/README.md" || die "the run card does not show the method"
output=$("$tequio" job sample "$folder/model" --prompt "ta " --tokens 20 --seed 1)
[[ -n $output ]] || die "no sample"
# Bytes guessed at cost log(256) = 5.5 nats.
loss=$(job_field one "$task" validation_loss)
awk -v loss="$loss" 'BEGIN { exit !(loss > 0 && loss < 5) }' || die "validation loss $loss: nothing was learnt"
ends 2 "$tequio" --data-dir "$folder/data" job replay "$folder/job/job.toml" --research inner_state=carried
says "inner_state=carried is for method diloco"
ledgers_verify one two

"$tequio" --data-dir "$folder/data" job new "$folder/new" --method synchronous --quiet >/dev/null
grep -q '^method = "synchronous"' "$folder/new/job.toml" || die "job new wrote another method"
cp "$folder/job/text" "$folder/new/data.txt"
ends 0 "$tequio" --data-dir "$folder/data" job plan "$folder/new/job.toml" --threads 1
ends 2 "$tequio" --data-dir "$folder/data" job new "$folder/other" --method gossip
says gossip "diloco, synchronous"
