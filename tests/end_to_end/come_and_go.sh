#!/usr/bin/env bash
# come_and_go.sh PROGRAM [LANES] [ROUNDS] [SEED] [PERCENT]: a job on four nodes whose owners come and go every few seconds ends
# with the replay's digest, and gets at least PERCENT of the time in which their machines were idle.
#
# What it gets is the time spent on work that came to its end and that the job wants: a lane, once more to check it, a merge
# (idle_time.pl). Two owners are away at any time, and each node has one thread, so that the nodes do not contend on two
# processors. Idle is the sum of all away times, from the request by which an owner leaves until the one by which he comes or the
# job is done on the first of the nodes. Time in which the workers' threads were ready and other programs had the processors
# (schedstat) counts on neither side.
#
# PERCENT is 70 unless given: two short rounds, each with its end to wait for, are not what people run, and the figure of a busy
# machine is noise. 32 lanes and 5 rounds on a quiet machine: 90.
. "$(dirname "$0")/../support/scenario.sh"

lanes=${1:-16} rounds=${2:-2} seed=${3:-$(($(date +%N | sed 's/^0*//') % 32768))} percent=${4:-70}
[[ $lanes =~ ^[1-9][0-9]*$ && $rounds =~ ^[1-9][0-9]*$ && $seed =~ ^[0-9]+$ && $percent =~ ^[0-9]+$ ]] ||
    die -2 "LANES, ROUNDS, SEED, PERCENT are numbers"
printf 'seed %s; repeat with: tests/end_to_end/come_and_go.sh PROGRAM %s %s %s\n' "$seed" "$lanes" "$rounds" "$seed"
RANDOM=$seed
export TEQUIO_TEST_IDLE=1
helper=$tests/support/give_back.pl owners=$folder/owners
swarm_settings=$swarm_settings_default'
[log]
level = "debug"
format = "json"'
names=(one two three four) logs=()
for name in "${names[@]}"; do logs+=("$name=$folder/$name.log"); done
put_input() { perl "$helper" put "$folder/$1/api.sock" /api/v1/test/idle "{\"idle_ms\":$2}" >/dev/null; }
# For how many nanoseconds the threads of each worker have been ready to run and had no processor, as far as it was looked at:
# this ends with the worker.
declare -A delayed=()
note_delays() {
    local name worker
    for name in "${names[@]}"; do
        for worker in $(cat "/proc/${swarm_pid[$name]}"/task/*/children 2>/dev/null); do
            delayed[$worker]=$(cat "/proc/$worker"/task/*/schedstat 2>/dev/null | awk '{ s += $2 } END { printf "%.0f", s }')
        done
    done
}
delays() { printf '%s\n' "${delayed[@]}" | awk '{ s += $1 } END { printf "%.3f\n", s / 1e9 }'; }
now() { date +%s.%N; }
# When the job was done on the first of the nodes: one whose owner is there hears of it when he leaves. Empty: not yet.
done_at() {
    local at
    at=$(sed -n 's/^{"time":"\([^"]*\)".*"job '"${task:0:8}"' is done.*/\1/p' "$folder"/*.log | sort | head -n 1)
    [[ -z $at ]] || date -d "$at" +%s.%N
}

make_job "$folder/job" lanes="$lanes" rounds="$rounds" layers=4 heads=4 width=128 context=64 batch=8 micro_batch=8 inner_steps=15
swarm_of "${names[@]}"

# The first two owners are there from the start.
present=(one two) away=(three four) visits=2
comes() {
    put_input "$1" 0
    printf '%s %s comes\n' "$(now)" "$1" >>"$owners"
}
leaves() {
    printf '%s %s leaves\n' "$(now)" "$1" >>"$owners"
    put_input "$1" 100000000
}
comes one
comes two
task=$(submit one "$folder/job")
wait_for 30 "data on other nodes" safe_to_leave one "$task"
delayed=()
note_delays
delay_before=$(delays) began=$(now)
deadline=$((SECONDS + 600))
until [[ -n $(done_at) ]]; do
    ((SECONDS < deadline)) || die "the job does not end: $(node one job show "$task" --json)"
    sleep "$((1 + RANDOM % 2)).$((RANDOM % 10))"
    # One of those away comes; then who has been there longest leaves.
    coming=${away[RANDOM % 2]}
    comes "$coming"
    leaves "${present[0]}"
    [[ $coming == "${away[0]}" ]] && away=("${away[1]}" "${present[0]}") || away=("${away[0]}" "${present[0]}")
    present=("${present[1]}" "$coming")
    visits=$((visits + 1))
    note_delays
done
ended=$(done_at)
delay=$(awk -v a="$(delays)" -v b="$delay_before" 'BEGIN { print a - b }')
for name in "${present[@]}"; do leaves "$name"; done
perl "$tests/support/idle_time.pl" "${task:0:8}" "$began" "$ended" "$owners" "${logs[@]}" | tee "$folder/table"
for name in "${names[@]}"; do finished "$name" "$task" 120; done
for name in "${names[@]}"; do same "digests of swarm and replay" "$(job_digest "$name" "$task")" "${digest:=$(replayed one "$task")}"; done
((visits >= 5)) || die "only $visits visits: the job is too short for this test"
awk -v least="$percent" -v delay="$delay" -v visits="$visits" -v a="$began" -v b="$ended" '/^of use: / {
    useful = $3 - delay
    idle = $5 - delay
    printf "%d visits in %.1f s; owners away for %.1f s, of which other programs took %.1f: goodput %.3f of the idle time\n",
        visits, b - a, $5, delay, useful / idle
    met = useful > 1 && useful <= idle && useful / idle >= least / 100
}
END { exit !met }' "$folder/table" || die "less than $percent % of the idle time were used"
ledgers_verify "${names[@]}"
