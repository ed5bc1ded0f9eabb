#!/usr/bin/env bash
# A learning rate of a million: the job fails within one round, names where, and accuses nobody.
. "$(dirname "$0")/../support/scenario.sh"

make_job "$folder/job" 'inner={ optimizer = "adamw", lr = 1e6, betas = [0.9, 0.95], weight_decay = 0.1, clip = 1.0, ramp_steps = 2 }'
swarm_of one two
task=$(submit one "$folder/job")
for name in one two; do
    wait_for 60 "the job to end" job_ended "$name" "$task"
    output=$(node "$name" job show "$task" --json)
    same "states" failed "$(json_text state <<<"$output")"
    says "round 0" "lane " "step "
    [[ $(json_number round <<<"$output") == 0 ]] || die "it went on: $output"
done
ends 7 node one job watch "$task"
output=$(node one ledger show; node two ledger show)
for word in refuted faulty liar; do
    [[ $output != *$word* ]] || die "somebody was accused: $output"
done
ledgers_verify one two
