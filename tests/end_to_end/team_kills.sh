#!/usr/bin/env bash
# Jobs in slices whose members are killed at random: team_kills.sh PROGRAM [RUNS] [SEED] [FIRST]. By run the family, the format at the
# cuts, slices (2 to 4), lanes and members differ; each time the digest and the fetched model are those of the replay in one piece.
. "$(dirname "$0")/../support/scenario.sh"

runs=${1:-20} seed=${2:-1} first=${3:-0} rounds=4
families=(gpt2 llama) formats=(f32 bf16 mxint8)

# memory_for SLICES: that share of what the plan says of the whole lets a member hold one of so many slices, and none of fewer.
memory_for() {
    local share=(0 0 1.0 0.62 0.45) whole
    whole=$("$tequio" job plan "$folder/$run/job.toml" --json --quiet | json_number memory_bytes)
    awk -v whole="$whole" -v share="${share[$1]}" 'BEGIN { printf "%dMiB", whole * share / 1048576 }'
}
round_of() { node "$1" job show "$task" --json 2>/dev/null | json_number round; }
data_elsewhere() { (($(job_field m0 "$task" data_copies) > 1)); }
alive() {
    local name
    for name in "${members[@]}"; do [[ -n ${dead[$name]:-} ]] || printf '%s\n' "$name"; done
}

one_run() {
    local slices=$((2 + run % 3)) family=${families[$((run % 2))]} format=${formats[$((run / 2 % 3))]} lanes count name kills i at some
    RANDOM=$((seed * 1000 + run))
    lanes=$((1 + RANDOM % 3)) count=$((slices + 1 + RANDOM % 2)) kills=$((1 + RANDOM % 3))
    printf 'run %d: %s, %s, %d slices, %d lanes, %d members, %d kills\n' "$run" "$family" "$format" "$slices" "$lanes" "$count" "$kills"
    make_job "$folder/$run" family="\"$family\"" rounds=$rounds layers=$((2 * slices)) heads=4 width=256 context=32 batch=2 \
        micro_batch=1 inner_steps=2 lanes=$lanes seed=$((run + 1))
    sed -i "s/^cuts = .*/cuts = [$(seq -s ', ' 2 2 $((2 * slices - 2)))]/; s/^activations = .*/activations = \"$format\"/" "$folder/$run/job.toml"
    swarm_settings="$swarm_settings_default
memory = \"$(memory_for "$slices")\""
    swarm_start "$folder/swarm$run"
    mkdir -p "$swarm"
    members=() dead=()
    for ((i = 0; i < count; i++)); do
        name=m$i
        members+=("$name")
        if ((i == 0)); then node_start m0; else node_start "$name" --peer "$(node_address m0)"; fi
    done
    task=$(submit m0 "$folder/$run")
    wait_for 60 "the data elsewhere" data_elsewhere
    for ((i = 0; i < kills; i++)); do
        mapfile -t some < <(alive)
        name=${some[$((RANDOM % ${#some[@]}))]}
        at=$((RANDOM % rounds))
        wait_for 240 "round $at on $name" job_reached "$name" "$task" "$at"
        printf 'killed: %s in round %s\n' "$name" "$(round_of "$name")"
        node_kill "$name"
        # As many as a team needs are left, or it comes back.
        if ((${#some[@]} - 1 < slices || RANDOM % 2)); then
            node_start "$name"
        else
            dead[$name]=1
        fi
    done
    for name in $(alive); do
        wait_for 300 "the job to end on node $name" job_ended "$name" "$task"
        job_done "$name" "$task" || die "the job ended as: $(node "$name" job show "$task" --json)"
    done
    mapfile -t some < <(alive)
    name=${some[0]}
    ends 0 node "$name" job show "$task"
    says "slice 1 of $slices"
    whole=$("$tequio" job replay "$folder/$run/job.toml" --out "$folder/$run/whole" --quiet --json | json_text state_digest)
    for name in $(alive); do same "digests of the replay and of $name" "$whole" "$(job_digest "$name" "$task")"; done
    wait_for 90 "the model on node $name" job_fetchable "$name" "$task"
    ends 0 node "$name" job fetch "$task" --out "$folder/$run/model"
    cmp "$folder/$run/whole/model.safetensors" "$folder/$run/model/model.safetensors" || die "node $name has another model"
    ledgers_verify "${some[@]}"
    swarm_stop
    rm -rf "$swarm"
}

declare -A dead
members=()
for ((run = first; run < runs; run++)); do one_run; done
