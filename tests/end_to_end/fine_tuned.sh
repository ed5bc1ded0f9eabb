#!/usr/bin/env bash
# A job's model becomes the start of another's: fetched as bf16 in several files, read back, given to
# three nodes as one blob; the digest is the replay's, and that of a node alone.
. "$(dirname "$0")/../support/scenario.sh"

make_job "$folder/first" rounds=2 lanes=2
swarm_of one two three
base=$(submit one "$folder/first")
finished one "$base"
node one job fetch "$base" --out "$folder/base" --dtype bf16 --max-shard-size 40KiB >/dev/null
[[ -f $folder/base/model.safetensors.index.json && ! -f $folder/base/model.safetensors ]] ||
    die "the weights are not in several files"
grep -q '"torch_dtype": "bfloat16"' "$folder/base/config.json" || die "config.json says another type"
node one job fetch "$base" --out "$folder/whole" >/dev/null
ends 2 node one job fetch "$base" --out "$folder/base"
says "holds a model already"

# The shape comes from the folder; text and settings are others.
write_text "$folder/other" 40000 7
make_job "$folder/second" rounds=3 lanes=3
cp "$folder/other" "$folder/second/text"
sed -i '/^family\|^layers\|^heads\|^width\|^context/d; s|^\[model\]|[model]\ninit_from = "../base"|' "$folder/second/job.toml"
ends 2 node one job plan "$folder/second/job.toml"
says "job.base_license: found nothing"
sed -i 's|^readers|base_license = "CC0-1.0"\nreaders|' "$folder/second/job.toml"
node one job plan "$folder/second/job.toml" | grep -q '^starts from' || die "the plan does not say where it starts"
task=$(submit one "$folder/second")
for name in one two three; do finished "$name" "$task"; done
digest=$(job_digest one "$task")
for name in two three; do same "digests of one and $name" "$digest" "$(job_digest "$name" "$task")"; done
same "digests of swarm and replay by a member" "$digest" "$(replayed three "$task")"
same "digests of swarm and replay of the file" "$digest" \
    "$(node alone job replay "$folder/second/job.toml" --json --out "$folder/replayed" | json_text state_digest)"
node two job fetch "$task" --out "$folder/tuned" >/dev/null
cmp "$folder/tuned/model.safetensors" "$folder/replayed/model.safetensors"
cmp "$folder/tuned/config.json" "$folder/replayed/config.json"
grep -q 'started from' "$folder/tuned/README.md" || die "the card does not name the licence of the base"

# Weights that differ in the last bits of float32 are another recipe.
sed -i 's|"../base"|"../whole"|' "$folder/second/job.toml"
recipe() { node one job plan "$folder/second/job.toml" --json | json_text recipe; }
[[ $(recipe) != $(node one job show "$task" --json | json_text recipe) ]] || die "two bases, one recipe"

# A shape that is not the folder's, and a folder that is none, are said with their line.
sed -i 's|^\[data\]|layers = 5\n[data]|' "$folder/second/job.toml"
ends 2 node one job plan "$folder/second/job.toml"
says "model.layers: found 5, allowed: 2"
sed -i '/^layers/d; s|"../whole"|"../nowhere"|' "$folder/second/job.toml"
ends 2 node one job plan "$folder/second/job.toml"
says "model.init_from: found \"../nowhere\"" "config.json"
ledgers_verify one two three
