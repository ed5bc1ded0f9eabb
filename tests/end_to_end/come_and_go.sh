#!/usr/bin/env bash
# come_and_go.sh PROGRAM [LANES] [ROUNDS] [SEED]: a job on four nodes whose owners come and go every few seconds ends with the
# replay's digest, and hardly any processor time is lost by it: what the same job took four undisturbed nodes is at least
# 0.9 of what it takes these.
. "$(dirname "$0")/../support/scenario.sh"

lanes=${1:-8} rounds=${2:-2} seed=${3:-$(($(date +%N | sed 's/^0*//') % 32768))}
[[ $lanes =~ ^[1-9][0-9]*$ && $rounds =~ ^[1-9][0-9]*$ && $seed =~ ^[0-9]+$ ]] || die -2 "LANES, ROUNDS, SEED are numbers"
printf 'seed %s; repeat with: tests/end_to_end/come_and_go.sh PROGRAM %s %s %s\n' "$seed" "$lanes" "$rounds" "$seed"
RANDOM=$seed
export TEQUIO_TEST_IDLE=1
names=(one two three four)
input() { perl "$tests/support/give_back.pl" put "$folder/$1/api.sock" /api/v1/test/idle "{\"idle_ms\":$2}" >/dev/null; }
workers_cpu() {
    local name sum=0
    for name in "${names[@]}"; do
        sum=$(awk -v a="$sum" -v b="$(node "$name" status --json | json_number worker_cpu_seconds)" 'BEGIN { print a + b }')
    done
    echo "$sum"
}
now() { date +%s.%N; }

make_job "$folder/job" lanes="$lanes" rounds="$rounds" layers=4 heads=4 width=128 context=64 batch=8 micro_batch=8 inner_steps=40
swarm_of "${names[@]}"

calm=$(submit one "$folder/job")
finished one "$calm" 300
wait_for 60 "the last checks" job_done four "$calm"
calm_cpu=$(workers_cpu)
digest=$(job_digest one "$calm")

# The same work once more (a task of its own), this time with owners.
task=$(submit one "$folder/job")
wait_for 30 "data on other nodes" safe_to_leave one "$task"
began=$(now) idle_seconds=0 visits=0
declare -A here=() changed=()
for name in "${names[@]}"; do here[$name]=0 changed[$name]=$began; done
leave_or_come() {
    local name=$1 at
    at=$(now)
    if ((here[$name])); then
        input "$name" 100000000
    else
        input "$name" 0
        visits=$((visits + 1))
        idle_seconds=$(awk -v s="$idle_seconds" -v a="${changed[$name]}" -v b="$at" 'BEGIN { print s + b - a }')
    fi
    here[$name]=$((1 - here[$name])) changed[$name]=$at
}
deadline=$((SECONDS + 600))
until job_done one "$task"; do
    ((SECONDS < deadline)) || die "the job does not end: $(node one job show "$task" --json)"
    sleep "0.$((2 + RANDOM % 7))"
    leave_or_come "${names[RANDOM % 4]}"
done
for name in "${names[@]}"; do ((here[$name] == 0)) || leave_or_come "$name"; done
for name in "${names[@]}"; do finished "$name" "$task" 120; done
ended=$(now)
for name in "${names[@]}"; do same "digests" "$digest" "$(job_digest "$name" "$task")"; done
same "digests of swarm and replay" "$digest" "$(replayed one "$task")"
((visits >= 3)) || die "only $visits visits: the job is too short for this test"
busy_cpu=$(awk -v a="$(workers_cpu)" -v b="$calm_cpu" 'BEGIN { print a - b }')
awk -v calm="$calm_cpu" -v busy="$busy_cpu" -v idle="$idle_seconds" -v visits="$visits" -v a="$began" -v b="$ended" 'BEGIN {
    printf "%d visits in %.0f s; workers used %.1f s undisturbed and %.1f s disturbed: goodput %.3f; idle seconds of nodes %.0f\n",
        visits, b - a, calm, busy, calm / busy, idle
    exit !(calm > 1 && busy > 1 && calm / busy >= 0.9)
}' || die "more than a tenth of the processor time was lost"
ledgers_verify "${names[@]}"
