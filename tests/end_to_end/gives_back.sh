#!/usr/bin/env bash
# gives_back.sh PROGRAM [TRIALS]: input takes the machine back from a node at once, and what it was doing goes on afterwards: by the
# test source of input, by the owner's commands; a configuration is read again while it works; the bits do not notice.
. "$(dirname "$0")/../support/scenario.sh"

export TEQUIO_TEST_IDLE=1
helper=$tests/support/give_back.pl
input() { perl "$helper" put "$folder/$1/api.sock" /api/v1/test/idle "{\"idle_ms\":$2}" >/dev/null; }
goes() { input "$1" 100000000; }
field() { node "$1" status --json | json_text "$2"; }
number() { node "$1" status --json | json_number "$2"; }
is() { [[ $(field "$1" "$2") == "$3" ]]; }
counts() { [[ $(number "$1" "$2") == "$3" ]]; }
computes() {
    local process before
    process=$(worker_of "$1") || return 1
    before=$(perl "$helper" cpu "$process")
    sleep 0.2
    (($(perl "$helper" cpu "$process") - before > 5000000))
}
stands() {
    local process before
    process=$(worker_of "$1") || return 0
    before=$(perl "$helper" cpu "$process")
    sleep 0.5
    (($(perl "$helper" cpu "$process") - before < 10000000))
}

trials=${1:-3}
# Two jobs: one that outlasts whatever is done to the node, and one that is over soon after its lane was handed on.
shape=(lanes=2 layers=4 heads=4 width=128 context=64 batch=8 micro_batch=8)
make_job "$folder/endless" "${shape[@]}" rounds=1000 inner_steps=400
make_job "$folder/job" "${shape[@]}" rounds=2 inner_steps=50
node_start one
endless=$(submit one "$folder/endless")
wait_for 30 "the job to be computed" computes one
wait_for 30 "the node to say so" is one state working
is one idle_source test || die "idle source: $(field one idle_source)"
node one doctor --json | grep -q '"idle_source": *"test"' || die "doctor does not name the source of input"

# Each time the worker uses no processor time soon after; then it goes on where it stood.
process=$(worker_of one)
for ((i = 0; i < trials; ++i)); do
    ms=$(perl "$helper" trigger "$folder/one/api.sock" "$process")
    printf 'given back after %s ms\n' "$ms"
    ((${ms%.*} <= 250)) || die "given back after $ms ms"
    ((i > 0)) || {
        is one state paused && is one reason_code user_active || die "state $(field one state), $(field one reason_code)"
        wait_for 5 "the crew to be told" is one release suspended
        stands one || die "a suspended worker uses processor time"
    }
    goes one
    wait_for 30 "the work to go on" computes one
done
[[ $(worker_of one) == "$process" ]] || die "another worker process: the lane in hand was lost"

# The owner's own pause goes the same way, and ends by itself.
ms=$(perl "$helper" trigger "$folder/one/api.sock" "$process" /api/v1/pause '{"for":"3s"}')
printf 'paused after %s ms\n' "$ms"
((${ms%.*} <= 250)) || die "paused after $ms ms"
is one reason_code paused_by_owner || die "reason: $(field one reason_code)"
[[ -n $(field one until) ]] || die "a pause with an end does not say when"
wait_for 30 "the pause to end" computes one
[[ $(worker_of one) == "$process" ]] || die "another worker process: the lane in hand was lost"

# SIGHUP: a good configuration counts at once, a bad one changes nothing and is named.
sed -i 's/^threads = 1/threads = 2/' "$folder/one.toml"
kill -HUP "${swarm_pid[one]}"
wait_for 10 "two threads" counts one threads_limit "$(($(nproc) < 2 ? 1 : 2))"
sed -i 's/^threads = 2/threads = -1/' "$folder/one.toml"
kill -HUP "${swarm_pid[one]}"
fault() { field one config_fault | grep -q 'limits.idle.threads'; }
wait_for 10 "the fault to be named" fault
counts one threads_limit "$(($(nproc) < 2 ? 1 : 2))" || die "a bad configuration changed something"
grep -q 'the configuration stays as it was' "$folder/one.log" || die "the log does not say that the configuration was bad"
sed -i 's/^threads = -1/threads = 1/' "$folder/one.toml"
kill -HUP "${swarm_pid[one]}"
wait_for 10 "one thread" counts one threads_limit 1

# A longer pause hands the lane to another node, which ends the job; the first then takes up the chronicle.
node_start two --peer "$(node_address one)"
wait_for 20 "the nodes to know one another" swarm_has_peers 1 one two
node one job cancel "$endless" >/dev/null
task=$(submit one "$folder/job")
wait_for 30 "data on the other node" safe_to_leave one "$task"
input one 0
wait_for 5 "the crew to be told" is one release suspended
finished two "$task" 120
goes one
finished one "$task" 60
digest=$(job_digest two "$task")
same "digests of both nodes" "$digest" "$(job_digest one "$task")"
same "digests of swarm and replay" "$digest" "$(replayed two "$task")"
node one status | grep -q . || die "status says nothing"
ledgers_verify one two
