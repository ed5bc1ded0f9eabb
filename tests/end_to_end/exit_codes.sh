#!/usr/bin/env bash
# How commands end (INTERFACE.md, exit codes), and that errors say what to type next.
. "$(dirname "$0")/../support/scenario.sh"

export TEQUIO_DATA_DIR=$folder/nobody XDG_CONFIG_HOME=$folder/nobody.config
no_task=$(printf '0%.0s' {1..64})

# 3 without a daemon, naming the data folder looked in and the command that starts one.
make_job "$folder/job"
for command in status peers pause resume drain "swarm list" "job submit $folder/job/job.toml" "job list" \
    "job show $no_task" "job watch $no_task" "job cancel $no_task" "job leave $no_task" "job fetch $no_task --out $folder/x"; do
    # shellcheck disable=SC2086
    ends 3 "$tequio" $command
    says "$folder/nobody" "tequio" "node"
done
ends 3 "$tequio" status --json
says '"schema"' "$folder/nobody"
[[ ! -e $folder/nobody/api.sock ]] || die "asking made a socket"

# 2 for what is typed wrong.
ends 2 "$tequio" no-such-command
ends 2 "$tequio" status --no-such-option
ends 2 "$tequio" job fetch "$no_task"
ends 2 "$tequio" job sample
ends 2 "$tequio" job no-such-command
says '"no-such-command"'
# What this version lacks it refuses by name, whatever stands behind it.
for command in "swarm members|--x" "swarm remove|a b" "bench net|--preset x" "job offers|" "ledger credit|x" "logs|-f"; do
    # shellcheck disable=SC2086
    ends 2 "$tequio" ${command/|/ }
    says "\`tequio ${command%%|*}\` is not in this version"
done
# 4 for a file that is not there.
ends 4 "$tequio" job plan "$folder/no-such-job.toml"
says "$folder/no-such-job.toml"

# Without a daemon these work.
ends 0 "$tequio" --version
ends 0 "$tequio" --help
ends 0 "$tequio" id --json
says '"node"'
ends 0 "$tequio" config path
ends 0 "$tequio" job new "$folder/new"
ends 0 "$tequio" job plan "$folder/job/job.toml"

# With one: 4 for what nobody knows; a second daemon on one data folder is refused.
swarm_of one
ends 4 node one job show "$no_task"
ends 4 node one job cancel "$no_task"
ends 4 node one job fetch "$no_task" --out "$folder/x"
says "$(printf '0%.0s' {1..12})"
ends 1 node one node
says "$folder/one"
ends 0 node one status --json
says '"schema"' '"state"' '"reason_code"'
ends 0 node one pause
ends 0 node one resume
ends 0 node one drain --exit
wait_for 20 "the drained node to stop" node_gone one
ends 3 node one status
