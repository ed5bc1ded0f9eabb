#!/usr/bin/env bash
# Four nodes sum the rounds of a model of ten units in shards: what leaves them is what the formula says, the digest is the
# replay's. Then a node, and with it the owner of a shard, is killed on the way.
. "$(dirname "$0")/../support/scenario.sh"

names=(one two three four)
rounds=8 lanes=4
shape=(layers=3 width=128 'codec="f32"' 'codec_down="f32"' lanes=$lanes)
make_job "$folder/job" "${shape[@]}" rounds=$rounds inner_steps=4
swarm_of "${names[@]}"

contribution=$(node one job plan "$folder/job/job.toml" --json | json_number contribution_bytes)
((contribution > 8 * 262144)) || die "a contribution of $contribution bytes is not nine units"
bytes_sent() { node "$1" status --json | json_number bytes_sent; }

declare -A before
for name in "${names[@]}"; do before[$name]=$(bytes_sent "$name"); done
task=$(submit one "$folder/job")
for name in "${names[@]}"; do finished "$name" "$task" 180; done
sum=0 most=0
for name in "${names[@]}"; do
    sent=$(($(bytes_sent "$name") - before[$name]))
    printf '%s sent %s contributions a round\n' "$name" "$(awk "BEGIN { print $sent / $contribution / $rounds }")"
    sum=$((sum + sent))
    ((sent <= most)) || most=$sent
done
# Of four nodes each sends three quarters of the lanes it ran, and three quarters of a mean, a shard to each of three. Where
# an owner needs a neighbour's unit too: one more in ten, thrice a lane. Whoever checks a merge fetches a quarter of three
# quarters of each lane once more, and a unit. The text and what else is said are small beside these.
formula=$(awk "BEGIN { print $rounds * ($lanes * 0.75 + ${#names[@]} * 0.75) }")
allowed=$(awk "BEGIN { print $rounds * ($lanes * 0.75 * 1.25 + $lanes * 4 / 10 + ${#names[@]} * 0.75) * 1.1 }")
found=$(awk "BEGIN { print $sum / $contribution }")
printf 'all sent %s contributions; the formula says %s, with checks and neighbours at most %s\n' "$found" "$formula" "$allowed"
awk "BEGIN { exit !($found <= $allowed) }" || die "more bytes left the nodes than the exchange in shards needs"
# One owner of every sum would have sent the mean to three others, each round, and that alone.
awk "BEGIN { exit !($most < 0.55 * $sum) }" || die "one node sent most of what all sent: nothing was shared out"
digest=$(job_digest one "$task")
for name in "${names[@]}"; do same "digests" "$digest" "$(job_digest "$name" "$task")"; done
same "digests of swarm and replay" "$digest" "$(replayed one "$task")"

# Whoever stands by for another shard asks others for more pieces of the same lanes, which must not hold up its own: each of the
# rounds that remain would take 10 s.
make_job "$folder/killed" "${shape[@]}" rounds=8 inner_steps=16
task=$(submit one "$folder/killed")
wait_for 30 "data on other nodes" safe_to_leave one "$task"
wait_for 60 "round 2" job_reached three "$task" 2
node_kill three
began=$SECONDS
for name in one two four; do finished "$name" "$task" 180; done
printf 'the rest took %s s\n' "$((SECONDS - began))"
((SECONDS - began < 35)) || die "rounds after a kill took $((SECONDS - began)) s"
expected=$(replayed one "$task")
for name in one two four; do same "digests after a kill" "$expected" "$(job_digest "$name" "$task")"; done
ledgers_verify one two four
