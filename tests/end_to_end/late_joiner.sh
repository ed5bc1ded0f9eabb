#!/usr/bin/env bash
# Two nodes train; a third, which knew nothing of the job, joins in the middle, goes on from a state that they keep, and helps.
# Killed and started again it goes on from its own. The first two rest meanwhile, so that no machine is too fast for it.
. "$(dirname "$0")/../support/scenario.sh"

# keeps NAME: it keeps full states.
keeps() { (($(node "$1" store show --json | json_number full_states) > 0)); }
settled() { (($(node one job show "$task" --json | json_number settled_round) >= 10)); }
# went_on TIMES: three has begun from a stored state so often.
went_on() { (($(grep -c "goes on from the state of round" "$folder/three.log") >= $1)); }

make_job "$folder/job" rounds=24 inner_steps=2
swarm_of one two
task=$(submit one "$folder/job")
wait_for 120 "ten settled rounds" settled
for name in one two; do
    ends 0 node "$name" pause
    keeps "$name" || die "$name keeps no state"
done
node_start three --peer "$(node_address two)"
wait_for 60 "a state to be fetched" went_on 1
wait_for 60 "that it is kept" keeps three
node_kill three
node_start three
wait_for 60 "its own state" went_on 2
for name in one two; do ends 0 node "$name" resume; done
for name in one two three; do finished "$name" "$task"; done
digest=$(replayed three "$task")
for name in one two three; do same "digests" "$digest" "$(job_digest "$name" "$task")"; done
ends 0 node three ledger show --json
says "$task"
ledgers_verify one two three
