#!/usr/bin/env bash
# SIGKILL to every node in the middle of a job; restarted, they go on to the same digest, and no work
# stands twice in a ledger.
. "$(dirname "$0")/../support/scenario.sh"

make_job "$folder/job" rounds=10
swarm_of one two three
task=$(submit one "$folder/job")
wait_for 60 "the fourth round" job_reached two "$task" 4
for name in one two three; do node_kill "$name"; done
ledgers_verify one two three
for name in one two three; do node_start "$name"; done
for name in one two three; do finished "$name" "$task"; done
digest=$(replayed one "$task")
for name in one two three; do same "digests" "$digest" "$(job_digest "$name" "$task")"; done
ledgers_verify one two three
for name in one two three; do
    twice=$(sqlite3 "$folder/$name/ledger.db" "
        SELECT substr(note, 1, instr(note, char(10) || 'state ')) AS work FROM entry
        WHERE note LIKE 'tequio/receipt/v1%' GROUP BY work HAVING count(*) > 1")
    [[ -z $twice ]] || die "signed twice by $name: $twice"
done
