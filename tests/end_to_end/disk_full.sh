#!/usr/bin/env bash
# disk_full.sh PROGRAM: a node whose disk fills up loses nothing: it stops, says so, and goes on when there is room again; what is
# let go by `prune` makes room too; killed on a full disk it comes back. The bits are those of one machine. Needs root, for a
# small file system of its own.
. "$(dirname "$0")/../support/scenario.sh"

small=$folder/one
mkdir "$small"
if ((EUID != 0)) || ! mount -t tmpfs -o size=48m tmpfs "$small" 2>"$folder/mount.log"; then
    printf 'skipped: no small file system can be mounted here: %s\n' "$(cat "$folder/mount.log" 2>/dev/null)"
    exit 77
fi
leave() {
    local status=$?
    swarm_stop
    umount -l "$small"
    scenario_end "$status"
}
trap leave EXIT
fill() { dd if=/dev/zero of="$small/filler" bs=64K oflag=append conv=notrunc status=none 2>/dev/null || true; }
code() { node one status --json | json_text reason_code; }
full() { [[ $(code) == disk_full ]]; }
# What the node lets go of meanwhile makes room, so that it might never meet a full disk.
filled() { fill; full; }
not_full() { [[ $(code) != disk_full ]]; }

# Long enough not to end before the disk is full, whatever the machine.
make_job "$folder/job" rounds=12 inner_steps=80
swarm_of one two
task=$(submit one "$folder/job")
wait_for 60 "some rounds" job_reached one "$task" 2
wait_for 30 "the node to see that its disk is full" filled
output=$(node one status --json)
says '"state":"paused"' "the disk of" "is full"
grep -q 'error .*is full' "$folder/one.log" || die "the log says nothing"
# It stands still, and the other one goes on without it.
reached=$(job_field one "$task" round)
wait_for 90 "the other node to go on" job_reached two "$task" $((reached + 3))
full || die "it went on without room: $(code)"
rm "$small/filler"
wait_for 20 "the node to go on" not_full
grep -q 'has room again' "$folder/one.log" || die "the log does not say that there is room"
finished one "$task" 120
finished two "$task" 120
same "digests of swarm and replay" "$(job_digest one "$task")" "$(replayed two "$task")"
same "digests of both nodes" "$(job_digest one "$task")" "$(job_digest two "$task")"
ledgers_verify one two

# Killed while it is full; then `prune` makes the room that is missing.
again=$(sed -i 's/^seed = .*/seed = 2/; s/^rounds = .*/rounds = 8/; s/^inner_steps = .*/inner_steps = 200/' "$folder/job/job.toml"; submit one "$folder/job")
wait_for 60 "a round" job_reached one "$again" 1
mkdir -p "$small/blobs/88"
stray=$small/blobs/88/$(printf '8%.0s' {1..64})-16777216
head -c 16777216 /dev/zero >"$stray"
touch -d '3 hours ago' "$stray"
wait_for 30 "the node to see that its disk is full" filled
node_kill one
# Started on a full disk it waits for room, or answers without writing anything.
started_or_waits() { node_answers one || grep -q 'the node starts when there is room' "$folder/one.log"; }
(wait_for 15 "the node to say that it waits" started_or_waits && rm "$small/filler") &
node_start one
wait $! || die "the disk was not emptied"
wait_for 30 "the node to see that its disk is full" filled
ends 0 node one store prune --json
says '"freed_bytes":16777216'
wait_for 20 "the node to go on" not_full
finished one "$again" 120
same "digests of swarm and replay" "$(job_digest one "$again")" "$(replayed two "$again")"
ledgers_verify one two
