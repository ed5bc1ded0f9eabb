#!/usr/bin/env bash
# long_pause.sh PROGRAM [SECONDS]: a pause beyond the last step of the release ladder costs nothing while worker and states fit
# beside their owner: the lane in hand goes on where it stood. When they do not fit, worker and states go, and are made again
# with the same bits.
. "$(dirname "$0")/../support/scenario.sh"

field() { node one status --json | json_text "$1"; }
is() { [[ $(field "$1") == "$2" ]]; }
cpu() { node one status --json | json_number worker_cpu_seconds; }
worker() { worker_of one; }
no_worker() { [[ -z $(worker) ]]; }
states() { readlink "/proc/${swarm_pid[one]}"/fd/* 2>/dev/null | grep -c tequio-state || true; }
doing() { node one job show "$task" --json | grep -oE '"doing": *"[^"]*"' | head -n 1 | cut -d '"' -f 4; }
does() { [[ $(doing) == "$1" ]]; }
does_not() { ! does "$1"; }
# sum A + B * C, and whether A is below it.
below() { awk -v a="$1" -v b="$2" -v c="$3" -v f="$4" 'BEGIN { exit !(a < b + c * f) }'; }
used() { ! below "$(cpu)" "$@"; }

make_job "$folder/job" rounds=2 lanes=2 layers=4 heads=4 width=128 context=64 batch=8 micro_batch=8 inner_steps=70
node_start one
task=$(submit one "$folder/job")
wait_for 60 "the first lane" does "round 0 lane 0"
began=$(cpu)
wait_for 200 "the second lane" does "round 0 lane 1"
second=$(cpu)
lane=$(awk -v a="$began" -v b="$second" 'BEGIN { print b - a }')
below 1 0 "$lane" 1 || die "a lane takes $lane s: too short for this test"

# A lane is well on its way when its owner comes.
wait_for 200 "half of the second lane" used "$second" "$lane" 0.6
process=$(worker)
node one pause >/dev/null
wait_for 30 "memory to be handed back" is release handed_back
paused=$(cpu)
sleep "${1:-4}"  # memory was handed back at 10 s, and judged a second later
is release handed_back || die "after ${1:-4} s more: $(field release)"
[[ $(worker) == "$process" ]] || die "the worker did not outlast the pause"
[[ $(states) == 1 ]] || die "the states did not outlast the pause"
below "$(cpu)" "$paused" 1 0.1 || die "a paused worker computed: $paused s, then $(cpu) s"
node one resume >/dev/null
wait_for 20 "the lane to be in hand again" does "round 0 lane 1"
wait_for 200 "the second lane to end" does_not "round 0 lane 1"
[[ $(worker) == "$process" ]] || die "another worker process: the lane in hand was lost"
third=$(cpu)
printf 'a lane: %s s of processor; one with a long pause: %s s\n' "$lane" \
    "$(awk -v a="$second" -v b="$third" 'BEGIN { print b - a }')"
below "$third" "$second" "$lane" 1.35 || die "steps were computed twice: $second s, $third s, $lane s a lane"

# Beside an owner who leaves no memory nothing can stay.
wait_for 300 "the next round" does "round 1 lane 0"
printf '[limits.in_use]\nmemory = "0 %%"\n' >>"$folder/one.toml"
kill -HUP "${swarm_pid[one]}"
wait_for 10 "the new limit" grep -q 'the configuration was read again' "$folder/one.log"
node one pause >/dev/null
wait_for 30 "the worker to end" is release ended
wait_for 10 "the worker to be gone" no_worker
wait_for 10 "the states to go" grep -q 'the states of jobs are let go of' "$folder/one.log"
[[ $(states) == 0 ]] || die "the daemon still holds states"
grep 'the worker ends' "$folder/one.log"
node one resume >/dev/null
finished one "$task" 300
same "digests of node and replay" "$(job_digest one "$task")" "$(replayed one "$task")"
ledgers_verify one
