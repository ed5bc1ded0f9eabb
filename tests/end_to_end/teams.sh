#!/usr/bin/env bash
# A model that no node here may hold: five nodes train it in slices. One that works is killed on the way, and another takes
# its seat; the digest is that of the replay on one machine, and so is the model that is fetched. A node alone says what is missing. Every
# member's ledger has receipts for its slice: unchecked, as long as there is one team; of two teams that check each other signed by both sides.
. "$(dirname "$0")/../support/scenario.sh"

make_job "$folder/job" rounds=4 layers=4 heads=8 width=320 context=64 batch=4 micro_batch=1 inner_steps=4 lanes=2
sed -i 's/^cuts = .*/cuts = [1, 2, 3]/; s/^activations = .*/activations = "bf16"/' "$folder/job/job.toml"
# In one piece the job takes more than 200 MiB. The limit holds: it is the worker's RLIMIT_DATA, and its group's where there is one.
swarm_settings="$swarm_settings_default
memory = \"104MiB\""

node_start one
task=$(submit one "$folder/job")
reason_is() { [[ $(node one job show "$task" --json | json_text reason_code) == "$1" ]]; }
wait_for 30 "the node alone to say that it cannot" reason_is team_incomplete
ends 0 node one job show "$task"
says "slice 1 of" "the largest member offers 104.0 MiB"
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

# slices_of NAME TASK VERDICT: the slices that receipts of that verdict say the node computed of the task's lanes, one a line.
slices_of() {
    node "$1" ledger show --json | sed 's/{"index"/\n&/g' | grep "\"task\":\"$2\"" | grep "\"worker\":\"$(node_id "$1")\"" |
        grep "\"kind\":\"lane\"" | grep "\"verdict\":\"$3\",\"answered\":true" | grep -o '"slice":[0-9]*' | sort -u
}
has_slice() { [[ -n $(slices_of "$1" "$2" "$3") ]]; }
members=0
for name in "${left[@]}"; do members=$((members + $(slices_of "$name" "$task" unchecked | wc -l))); done
((members >= 3)) || die "of three slices and more only $members are in the ledgers of those who computed them"

# A smaller model, in two slices: two teams.
make_job "$folder/pairs" rounds=2 layers=4 heads=8 width=256 context=64 batch=4 micro_batch=1 inner_steps=2 lanes=4
sed -i 's/^cuts = .*/cuts = [2]/' "$folder/pairs/job.toml"
task=$(submit one "$folder/pairs")
for name in "${left[@]}"; do
    wait_for 300 "the job of two teams to end on node $name" job_ended "$name" "$task"
    job_done "$name" "$task" || die "the job ended as: $(node "$name" job show "$task" --json)"
done
for name in "${left[@]}"; do wait_for 60 "a signed receipt for its slice on node $name" has_slice "$name" "$task" matched; done
[[ $(for name in "${left[@]}"; do slices_of "$name" "$task" matched; done | sort -u | wc -l) == 2 ]] ||
    die "the receipts are not of both slices: $(for name in "${left[@]}"; do slices_of "$name" "$task" matched; done)"
ledgers_verify "${left[@]}"
