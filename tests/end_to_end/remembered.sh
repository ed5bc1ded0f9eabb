#!/usr/bin/env bash
# remembered.sh PROGRAM: what the governor did, and how quickly the machine was given back, is still told after the daemon was
# killed and after it was stopped.
. "$(dirname "$0")/../support/scenario.sh"

export TEQUIO_TEST_IDLE=1
helper=$tests/support/give_back.pl
input() { perl "$helper" put "$folder/one/api.sock" /api/v1/test/idle "{\"idle_ms\":$1}" >/dev/null; }
number() { node one status --json | json_number "$1"; }
counted() { (($(number count) >= $1)); }
working() { [[ $(node one status --json | json_text state) == working ]]; }
# history CODE: how often that reason stands in it.
history() { node one status --json | grep -o '"history":\[[^]]*\]' | grep -o "\"reason_code\":\"$1\"" | grep -c . || true; }

make_job "$folder/job" rounds=2 lanes=2 inner_steps=40000 width=64 layers=4
node_start one
submit one "$folder/job" >/dev/null
input 100000000
wait_for 60 "work" working
sleep 1
input 0
wait_for 20 "the giving back to be counted" counted 1
count=$(number count) line=$(node one status | grep '^last 7 days: given back')
node one pause --for 1h
(($(history user_active) == 1 && $(history paused_by_owner) == 1)) || die "$(node one status --json)"

node_kill one
node_start one
[[ $(number count) == "$count" && $(node one status | grep '^last 7 days: given back') == "$line" ]] || {
    die "the record of giving back is lost: $(node one status)"
}
# The owner's pause goes on, and is said again: it is a new life's first decision.
(($(history user_active) == 1 && $(history paused_by_owner) == 2)) || die "history: $(node one status --json)"
node one resume
node_stop one
node_start one
[[ $(number count) == "$count" ]] || die "the record of giving back is lost when it is stopped"
(($(history user_active) == 1 && $(history paused_by_owner) == 2)) || die "history: $(node one status --json)"
printf '%s\nlast changes:\n' "$line"
node one status --json | grep -o '"history":\[[^]]*\]'
