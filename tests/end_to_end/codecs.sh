#!/usr/bin/env bash
# Lanes and means in other codecs than mxint8, of different sizes up and down: two nodes and a replay come
# to the same digest. And a window too low for the values: the node and the replay say so.
. "$(dirname "$0")/../support/scenario.sh"

swarm_of one two
for pair in "f32 mxfp4" "mxfp4 f32"; do
    read -r up down <<<"$pair"
    make_job "$folder/$up" rounds=3 "codec=\"$up\"" "codec_down=\"$down\""
    ends 0 "$tequio" job plan "$folder/$up/job.toml" --threads 1
    says "($up)" "($down)"
    task=$(submit one "$folder/$up")
    for name in one two; do finished "$name" "$task"; done
    digest=$(job_digest one "$task")
    same "digests of one and two, $up up and $down down" "$digest" "$(job_digest two "$task")"
    ends 0 node two job replay "$task"
    says "state_digest $digest" "4 rounds equal the chronicle"
    ends 0 node one job show "$task"
    [[ $output != *warning:* ]] || die "no warning was due: $output"
done

# 127 * 2^-27 is all that a code can mean here.
make_job "$folder/low" rounds=2 window=-66
task=$(submit one "$folder/low")
finished one "$task"
ends 0 node one job replay "$task"
says "lanes:" "too large for mxint8 with window -66" "a higher window keeps them"
# Which of the two computed lanes of a job of seconds is chance; one of them did.
said=
for name in one two; do said+=$(node "$name" job show "$task"); done
[[ $said == *"warning: lanes: "*"too large for mxint8 with window -66"* ]] || die "no node warns: $said"

# The mean of block codes must stay below what f32 can hold.
make_job "$folder/high" window=-10 'codec_down="f32"'
ends 2 "$tequio" job plan "$folder/high/job.toml"
says "job.toml:$(grep -n '^window' "$folder/high/job.toml" | cut -d : -f 1)" "train.window: found -10" "at most -23"
ledgers_verify one two
