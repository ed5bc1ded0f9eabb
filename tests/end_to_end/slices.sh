#!/usr/bin/env bash
# A recipe with cuts: three nodes run its lanes whole and come to the digest of replays in one, two and three slices.
# More slices than cuts allow are refused; what each slice takes stands in the plan.
. "$(dirname "$0")/../support/scenario.sh"

# cut DIR LAYERS CUTS FORMAT: the job there gets so many layers, and cuts.
cut() { sed -i "s/^layers = .*/layers = $2/; s/^cuts = .*/cuts = $3/; s/^activations = .*/activations = \"$4\"/" "$1/job.toml"; }

make_job "$folder/job" rounds=3
cut "$folder/job" 3 "[1, 2]" bf16
ends 0 "$tequio" job plan "$folder/job/job.toml" --threads 1
says "slice 1 of 3" "layers 0 to 0:" "slice 3 of 3" "layers 2 to 2:" "a micro-batch"
swarm_of one two three
task=$(submit one "$folder/job")
for name in one two three; do finished "$name" "$task"; done
digest=$(job_digest one "$task")
for name in two three; do same "digests of one and $name" "$digest" "$(job_digest "$name" "$task")"; done
same "digests of swarm and replay" "$digest" "$(replayed one "$task")"
for slices in 2 3; do
    ends 0 node two job replay "$task" --slices "$slices"
    says "state_digest $digest" "4 rounds equal the chronicle"
done
ends 2 node one job replay "$task" --slices 4
says "--slices: found 4, allowed: 1 to 3: the recipe has 2 cuts"
ends 2 node one job replay "$task" --slices 0
says "--slices: found 0, allowed: 1 to 3"
ledgers_verify one two three

# A llama with a head of its own, in mxint8, and the other method; without a node.
export TEQUIO_DATA_DIR=$folder/alone
replay() { "$tequio" job replay "$1/job.toml" --quiet --json "${@:2}" | json_text state_digest; }
for kind in llama synchronous; do
    make_job "$folder/$kind" rounds=2 micro_batch=1
    cut "$folder/$kind" 4 "[1, 2, 3]" mxint8
    if [[ $kind == llama ]]; then
        sed -i 's/^family = .*/family = "llama"\ntied = false/' "$folder/$kind/job.toml"
    else
        make_synchronous "$folder/$kind"
    fi
    whole=$(replay "$folder/$kind" --threads 1)
    for slices in 2 3 4; do
        same "digests of a $kind in $slices slices" "$whole" "$(replay "$folder/$kind" --slices "$slices")"
        same "digests of a $kind, recomputed" "$whole" "$(replay "$folder/$kind" --slices "$slices" --recompute)"
    done
    cut "$folder/$kind" 4 "[1, 2, 3]" f32
    other=$(replay "$folder/$kind")
    [[ -n $other && $other != "$whole" ]] || die "mxint8 at the cuts of a $kind rounds nothing"
    sed -i 's/^cuts = .*/cuts = []/' "$folder/$kind/job.toml"
    same "digests of a $kind with cuts of f32 and without" "$other" "$(replay "$folder/$kind")"
    ends 2 "$tequio" job replay "$folder/$kind/job.toml" --slices 2
    says "--slices: found 2, allowed: 1 to 1: the recipe has 0 cuts"
done
ends 2 "$tequio" job replay "$folder/job/job.toml" --recompute
says "--recompute: allowed with --slices above 1 only"
ends 2 "$tequio" job replay "$folder/job/job.toml" --slices 2 --research panel=64
says "--slices: found 2, allowed: 1 with --research"
