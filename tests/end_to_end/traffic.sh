#!/usr/bin/env bash
# What a month may carry, and how fast: counted over restarts, said in `status`, and nothing of a job moves beyond it; each job
# knows its own bytes; data comes no faster than `network.download_limit`.
. "$(dirname "$0")/../support/scenario.sh"

# Limits are for nodes of a swarm; these stay on this machine all the same.
for name in one two; do
    node_start "$name"
    if [[ $name == one ]]; then
        node one swarm new traffic --quiet >/dev/null
        invite=$(node one swarm invite --address "$(node_address one)" --quiet)
    else
        node two swarm join "$invite" --quiet >/dev/null
    fi
done
wait_for 20 "the nodes to know one another" swarm_has_peers 1 one two

traffic() { node "$1" status --json | grep -o '"traffic":{[^}]*}' | json_number "$2"; }
reason_code() { node "$1" status --json | json_text reason_code; }
code_is() { [[ $(reason_code "$1") == "$2" ]]; }
restart() {
    node_stop "$1"
    printf '%s\n[network]\n%s\n' "${swarm_settings_default#*1000Mbit/s\"}" "$2" >"$folder/$1.toml"
    node_start "$1"
    wait_for 20 "the nodes to know one another" swarm_has_peers 1 one two
}

write_text "$folder/text" 3000000
make_job "$folder/job"
cp "$folder/text" "$folder/job/text"
task=$(submit one "$folder/job")
for name in one two; do finished "$name" "$task"; done
sent=$(job_field one "$task" bytes_sent) received=$(job_field two "$task" bytes_received)
((sent > 3000000 && received > 3000000)) || die "bytes of the job: $sent sent, $received received"
counted() { (($(traffic "$1" sent) + $(traffic "$1" received) > 3000000)); }
for name in one two; do wait_for 10 "the traffic to be counted" counted "$name"; done
[[ $(node two status --json | grep -o '"traffic":{[^}]*}') == *'"used_up":false'* ]] || die "not used up: $(node two status --json)"

# Members talk on after the end, and a restart loses no byte of that: with nobody there the count can't grow back.
at_end=$received
talked_on() { (($(job_field two "$task" bytes_received) > at_end)); }
wait_for 20 "words after the end" talked_on
node_stop one
received=$(job_field two "$task" bytes_received) before=$(traffic two received)
node_stop two
node_start two
same "the job's count" "$received" "$(job_field two "$task" bytes_received)"
(($(traffic two received) >= before)) || die "the month's count is lost: $(traffic two received), was $before"
node_start one

# A limit that is used up already, by what was counted before the restart.
restart two 'monthly_traffic = "2MiB"'
wait_for 10 "the limit to be noticed" code_is two traffic_used_up
output=$(node two status)
says "paused: network.monthly_traffic, 2.0 MiB, is used up" "no data of jobs is fetched or served" "links to other nodes stay"
make_job "$folder/second" seed=2
second=$(submit one "$folder/second")
refused() { node one job show "$second" --json | grep -q 'network.monthly_traffic'; }
wait_for 20 "the refusal" refused
ends 5 node two job submit "$folder/second/job.toml"
says "network.monthly_traffic" "is used up"
ends 4 node two job show "$second"
finished one "$second"

# More is allowed: what went round meanwhile is taken up.
printf '%s\n[network]\n%s\n' "${swarm_settings_default#*1000Mbit/s\"}" 'monthly_traffic = "1GiB"' >"$folder/two.toml"
kill -HUP "${swarm_pid[two]}"
finished two "$second" 60
same "digests" "$(job_digest one "$second")" "$(job_digest two "$second")"

# 3 MB at 8 Mbit/s are 3 s.
restart two 'download_limit = "8Mbit/s"'
make_job "$folder/third" seed=3
write_text "$folder/third/text" 3000000 7
began=$(date +%s%N)
third=$(submit one "$folder/third")
has_data() { [[ $(job_field two "$third" data_here) == true ]]; }
wait_for 30 "the data on two" has_data
took=$((($(date +%s%N) - began) / 1000000))
printf 'fetched 3 MB in %s ms\n' "$took"
((took > 2300)) || die "3 MB came in $took ms: the limit is not kept"
for name in one two; do finished "$name" "$third"; done
