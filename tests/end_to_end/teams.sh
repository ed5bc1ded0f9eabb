#!/usr/bin/env bash
# A model that no node here may hold: five nodes train it in slices. One that works is killed on the way, and another takes
# its seat; the digest is that of the replay on one machine, and so is the model that is fetched. A node alone says what is missing.
. "$(dirname "$0")/../support/scenario.sh"

make_job "$folder/job" rounds=4 layers=4 heads=8 width=512 context=64 batch=4 micro_batch=1 inner_steps=4 lanes=2
sed -i 's/^cuts = .*/cuts = [1, 2, 3]/; s/^activations = .*/activations = "bf16"/' "$folder/job/job.toml"
# In one piece the job takes more than 700 MiB. The limit holds: it is the worker's RLIMIT_DATA, and its group's where there is one.
swarm_settings="$swarm_settings_default
memory = \"260MiB\""

node_start one
task=$(submit one "$folder/job")
reason_is() { [[ $(node one job show "$task" --json | json_text reason_code) == "$1" ]]; }
wait_for 30 "the node alone to say that it cannot" reason_is team_incomplete
ends 0 node one job show "$task"
says "slice 1 of" "the largest member offers 260.0 MiB"
for name in two three four five; do node_start "$name" --peer "$(node_address one)"; done
round_of() { node "$1" job show "$task" --json | json_number round; }
round_is() { (($(round_of "$1") >= $2)); }
wait_for 180 "the first round in slices" round_is one 1
ends 0 node one job show "$task"
says "slice 1 of" "team 1, lead" "standby"

# Whoever is in the team, and is not the node that is asked.
in_team() { node one job show "$task" --json | tr '{' '\n' | grep '"team":1' | grep '"lead":false' | grep -o '"node":"[0-9a-f]*"' | cut -d'"' -f4; }
one=$(node_id one) victim=''
for name in two three four five; do
    id=$(node_id "$name")
    if grep -q "$id" <<<"$(in_team)"; then victim=$name; break; fi
done
[[ -n $victim ]] || die "no member of a team but $one: $(node one job show "$task" --json)"
node_kill "$victim"
left=()
for name in one two three four five; do [[ $name == "$victim" ]] || left+=("$name"); done
for name in "${left[@]}"; do
    wait_for 300 "the job to end on node $name" job_ended "$name" "$task"
    job_done "$name" "$task" || die "the job ended as: $(node "$name" job show "$task" --json)"
done
safe_to_leave one "$task" || die "the job is done, and three others have its chronicle: $(node one job show "$task" --json)"
digest=$(job_digest one "$task")
for name in "${left[@]}"; do same "digests of one and $name" "$digest" "$(job_digest "$name" "$task")"; done
# The replay has the machine to itself: it holds the model in one piece.
whole=$("$tequio" job replay "$folder/job/job.toml" --out "$folder/whole" --quiet --json | json_text state_digest)
same "digests of the teams and of the replay in one piece" "$digest" "$whole"
# Nobody holds the whole state: each comes to it slice by slice, and all to the same file.
for name in one "${left[-1]}"; do
    wait_for 60 "the model on node $name" job_fetchable "$name" "$task"
    ends 0 node "$name" job fetch "$task" --out "$folder/model-$name"
    cmp "$folder/whole/model.safetensors" "$folder/model-$name/model.safetensors" || die "node $name has another model"
done
ends 2 node one job fetch "$task" --out "$folder/model-one"
says "--force overwrites it"
ledgers_verify "${left[@]}"
