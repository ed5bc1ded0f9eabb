#!/usr/bin/env bash
# store.sh PROGRAM: what the store holds by job and kind; what `prune` lets go, with a daemon and without; that a job at work
# loses nothing, the ledger never, and that what was forgotten stays so.
. "$(dirname "$0")/../support/scenario.sh"

shown() { node "$1" store show --json | json_number "$2"; }
blob_bytes() { find "$folder/$1/blobs" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }'; }
# stray NAME: a blob of no job that was written long ago.
stray() {
    local name
    name=$(printf '7%.0s' {1..64})
    mkdir -p "$folder/$1/blobs/77"
    head -c 5000 /dev/zero >"$folder/$1/blobs/77/$name-5000"
    touch -d '3 hours ago' "$folder/$1/blobs/77/$name-5000"
}

ends 4 node nobody store show
says "no store in $folder/nobody"
ends 4 node nobody store prune --json
says '"schema"' '"exit_code":4'
[[ ! -e $folder/nobody ]] || die "looking made a store"

make_job "$folder/job" rounds=3
make_job "$folder/long" rounds=2 lanes=2 inner_steps=40000 width=64 layers=4
swarm_of one two
task=$(submit one "$folder/job")
for name in one two; do finished "$name" "$task"; done
output=$(node one store show --json)
says '"schema":"tequio/store/1"' "\"task\":\"$task\"" '"state":"done"' '"ended":"2' '"kept_until":"2' '"data":60000' '"prunable_bytes":0'
[[ $(shown one used_bytes) == "$(blob_bytes one)" ]] || die "used: $output, on disk $(blob_bytes one)"
for kind in contributions means states other; do
    [[ ! $output =~ \"$kind\":0[,}] ]] || die "no $kind: $output"
done
ends 0 node one store show
says "${task:0:12}" "kept until" "limits.disk" "limits.keep_free"

# A job at work needs what it has.
long=$(submit one "$folder/long")
at_work() { [[ $(node one status --json | json_text state) == working ]]; }
wait_for 60 "work" at_work
before=$(blob_bytes one)
ends 5 node one store prune --job "$long"
says "not over"
ends 4 node one store prune --job 00000000
stray one
ends 0 node one store prune --dry-run --json
says '"schema":"tequio/store-prune/1"' '"dry_run":true' '"blobs":1' '"freed_bytes":5000'
(($(blob_bytes one) >= before + 5000)) || die "a dry run frees something"
ends 0 node one store prune
says "freed 4.9 KiB, 1 blobs"
(($(blob_bytes one) >= before)) || die "more than the stray blob is gone"
ends 0 node one job fetch "$task" --out "$folder/fetched"

# A named one goes before its time, and does not come back from the other node, nor after a restart.
total=$(shown one used_bytes)
ends 0 node one store prune --job "${task:0:12}" --json
says "\"task\":\"$task\"" '"forgotten":true'
freed=$(json_number freed_bytes <<<"$output")
((freed > 60000 && $(shown one used_bytes) >= total - freed)) || die "freed $freed of $total"
ends 4 node one job show "$task"
[[ $(job_state one "$long") =~ ^(waiting|running)$ ]] || die "the job at work is $(job_state one "$long")"
ledgers_verify one
node_kill one  # with a lane in hand
node_start one
wait_for 20 "the nodes to know one another" swarm_has_peers 1 one
ends 4 node one job show "$task"
ends 0 node two job show "$task"
ends 0 node one job cancel "$long"
wait_for 20 "the cancellation to arrive" job_ended two "$long"

# Without a daemon: the same figures; the folder's lock is respected.
output=$(node two store show --json)
used=$(json_number used_bytes <<<"$output")
node_stop two
[[ $(shown two used_bytes) == "$used" ]] || die "two holds $(shown two used_bytes) bytes alone, $used with its daemon"
ends 1 flock "$folder/two/lock" "$tequio" --data-dir "$folder/two" store prune
says "$folder/two"
ends 0 node two store prune --json
says '"jobs":[]' '"freed_bytes":0'
# Its days are over: as if it had ended a year ago.
sqlite3 "$folder/two/node.db" "UPDATE item SET value = CAST('1700000000' AS BLOB) WHERE key = CAST('ended' AS BLOB) AND bucket = CAST('job/$task' AS BLOB)"
ends 0 node two store prune --dry-run
says "${task:0:12}" "would free" "forgotten"
[[ $(shown two used_bytes) == "$used" ]] || die "a dry run frees something"
ends 0 node two store prune
says "${task:0:12}" "freed" "forgotten"
(($(blob_bytes two) < used)) || die "nothing is gone"
ledgers_verify two
node_start two
ends 4 node two job show "$task"
