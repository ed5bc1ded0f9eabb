#!/usr/bin/env bash
# Three nodes train; the digest is the replay's, the model the same file from each, the ledgers whole.
. "$(dirname "$0")/../support/scenario.sh"

make_job "$folder/job"
swarm_of one two three
task=$(submit one "$folder/job")
for name in one two three; do finished "$name" "$task"; done
digest=$(job_digest one "$task")
same "digests of one and two" "$digest" "$(job_digest two "$task")"
same "digests of one and three" "$digest" "$(job_digest three "$task")"
same "digests of swarm and replay" "$digest" "$(replayed one "$task")"
for name in one two three; do
    node "$name" job fetch "$task" --out "$folder/model-$name" >/dev/null
    cmp "$folder/model-one/model.safetensors" "$folder/model-$name/model.safetensors"
done
[[ $(job_field one "$task" checked_share) == 1* ]] || die "not every lane was checked"
output=$("$tequio" job sample "$folder/model-two" --prompt "ta " --tokens 20 --seed 1)
same "samples of one seed" "$output" "$("$tequio" job sample "$folder/model-three" --prompt "ta " --tokens 20 --seed 1)"
ledgers_verify one two three
