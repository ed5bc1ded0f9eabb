#!/usr/bin/env bash
# Jobs with one recipe but other names, purposes, deadlines and submitters: other tasks, the same bits.
. "$(dirname "$0")/../support/scenario.sh"

make_job "$folder/a" 'name="first"' 'deadline="2d"'
make_job "$folder/b" 'name="second"' 'purpose="another"' 'deadline="3d"'
swarm_of one two
first=$(node one job submit "$folder/a/job.toml" --json)
second=$(node two job submit "$folder/b/job.toml" --json)
same "recipes" "$(json_text recipe <<<"$first")" "$(json_text recipe <<<"$second")"
a=$(json_text task <<<"$first") b=$(json_text task <<<"$second")
[[ $a != "$b" ]] || die "two tasks have one id"
finished one "$a"
finished one "$b"
same "digests" "$(job_digest one "$a")" "$(job_digest one "$b")"
