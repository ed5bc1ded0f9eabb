#!/usr/bin/env bash
# Whatever somebody does to the entries of a ledger, verify names the entry and ends with 8.
. "$(dirname "$0")/../support/scenario.sh"

make_job "$folder/job" rounds=2
swarm_of one two
task=$(submit one "$folder/job")
finished one "$task"
finished two "$task"
node_stop one
ledgers_verify one
database=$folder/one/ledger.db
cp "$database" "$folder/good.db"
entries=$(sqlite3 "$database" 'SELECT count(*) FROM entry')
last=$((entries - 1))
((entries >= 5)) || die "only $entries entries"
# Which entry says "round 0" depends on who ran what.
noted=$(sqlite3 "$database" "SELECT min(idx) FROM entry WHERE note LIKE '%round 0%'")
[[ -n $noted ]] || die "no note says \"round 0\""

entries_of() { sqlite3 "$1" 'SELECT *, hex(prev), hex(leaf) FROM entry ORDER BY rowid'; }
# tampered WHAT ENTRY SQL: on a fresh copy; ENTRY is the number that the message must name.
tampered() {
    rm -f "$database"-wal "$database"-shm
    cp "$folder/good.db" "$database"
    sqlite3 "$database" "DROP TRIGGER entry_never_changes; DROP TRIGGER entry_never_goes; $3"
    ! cmp -s <(entries_of "$folder/good.db") <(entries_of "$database") || die "$1: it changed nothing"
    ends 8 node one ledger verify
    says "$2"
    printf '%s: %s\n' "$1" "$(grep -m 1 "$2" <<<"$output")"
    ends 8 node one ledger verify --json
    says '"ok":false'
}
tampered "a number in a note changed" "$noted" "UPDATE entry SET note = replace(note, 'round 0', 'round 1') WHERE idx = $noted"
tampered "an entry dropped" 3 "DELETE FROM entry WHERE idx = 3"
tampered "the last entry dropped" "$last" "DELETE FROM entry WHERE idx = $last"
tampered "two entries swapped" 2 \
    "UPDATE entry SET idx = -1 WHERE idx = 2; UPDATE entry SET idx = 2 WHERE idx = 3; UPDATE entry SET idx = 3 WHERE idx = -1"
tampered "an entry put in twice" "$entries" \
    "INSERT INTO entry SELECT $entries, prev, leaf, NULL, task, round, lane, note FROM entry WHERE idx = $last"
tampered "the link to the entry before changed" 3 "UPDATE entry SET prev = zeroblob(32) WHERE idx = 3"

# The whole ledger again: nothing stays wrong of what was put right.
rm -f "$database"-wal "$database"-shm
cp "$folder/good.db" "$database"
ledgers_verify one
