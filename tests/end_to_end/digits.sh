#!/usr/bin/env bash
# The example "digits": what `job new` writes is planned, trained by two nodes and by a replay to the same digest, learns, and
# leaves a folder that says how its inputs are scaled. A classifier writes no text.
. "$(dirname "$0")/../support/scenario.sh"

export TEQUIO_DATA_DIR=$folder/data
"$tequio" job new "$folder/job" --example digits --quiet >/dev/null
job=$folder/job/job.toml
images=$folder/job/train-images-idx3-ubyte
grep -q 'not handwriting' "$job" || die "the job file does not say that its digits are drawn"
# 12,000 images of 28 x 28 behind a header of 16 bytes.
(($(wc -c <"$images") == 16 + 12000 * 28 * 28)) || die "the images have another size"
ends 2 "$tequio" job new "$folder/job" --example digits
says job.toml exists
mkdir "$folder/mine"
echo mine >"$folder/mine/train-labels-idx1-ubyte"
ends 2 "$tequio" job new "$folder/mine" --example digits
says train-labels-idx1-ubyte exists
ends 2 "$tequio" job new "$folder/other" --example digits --family llama
says --family mlp
ends 2 "$tequio" job new "$folder/other" --example letters
says letters text digits

ends 0 "$tequio" job plan "$job" --threads 1
says "12000 examples" "examples/s"
# A narrow uplink is waited for; what would help is said.
ends 0 "$tequio" job plan "$job" --threads 1 --uplink 1Mbit/s
says "at 1 Mbit/s nodes like this one compute 0." "; 0.95 need "
ends 2 "$tequio" job plan "$job" --threads 1 --uplink banana
says '--uplink: found "banana", allowed: a rate above 0 like 20Mbit/s'
# A key of language models, by its line.
sed -i 's/^width = /context = 8\nwidth = /' "$job"
ends 2 "$tequio" job plan "$job"
says "job.toml:$(grep -n '^context' "$job" | cut -d : -f 1) model.context: found an unknown key"
sed -i '/^context/d; s/^rounds = .*/rounds = 6/; s/^width = .*/width = 32/' "$job"

swarm_of one two
task=$(submit one "$folder/job")
for name in one two; do finished "$name" "$task"; done
digest=$(job_digest one "$task")
same "digests of one and two" "$digest" "$(job_digest two "$task")"
same "digests of swarm and replay" "$digest" "$(replayed one "$task")"
node two job fetch "$task" --out "$folder/model" >/dev/null
"$tequio" job replay "$job" --out "$folder/replayed" --quiet --json >"$folder/replay.json"
same "digests of swarm and job file" "$digest" "$(json_text state_digest <"$folder/replay.json")"
cmp "$folder/model/model.safetensors" "$folder/replayed/model.safetensors"
cmp "$folder/model/inputs.safetensors" "$folder/replayed/inputs.safetensors"
# Ten classes guessed at cost log(10) = 2.3 nats.
loss=$(job_field one "$task" validation_loss)
awk -v loss="$loss" 'BEGIN { exit !(loss > 0 && loss < 1.5) }' || die "validation loss $loss: nothing was learnt"
ends 1 "$tequio" job sample "$folder/model" --prompt 7
says "writes no text"
ledgers_verify one two
