#!/usr/bin/env bash
# Any text trains: bytes at random, scripts of the world, one long line, Windows line ends, zeros,
# hardly enough bytes. Each ends on two nodes with the replay's digest.
. "$(dirname "$0")/../support/scenario.sh"

swarm_of one two

# trains WHAT: the text in $folder/WHAT/text.
trains() {
    local task
    make_job "$folder/$1" rounds=2 lanes=2 inner_steps=4
    task=$(submit one "$folder/$1")
    finished two "$task"
    same "digests ($1)" "$(job_digest two "$task")" "$(replayed one "$task")"
}
mkdir "$folder"/{random,scripts,line,windows,zeros}
openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c 50000 >"$folder/random/text" || true
for ((i = 0; i < 400; ++i)); do printf '学而时习之，不亦说乎。こんにちは 세계 🌱🤝 مرحبا Žluťoučký\n'; done >"$folder/scripts/text"
write_text "$folder/line/words" 50000
tr '\n' ' ' <"$folder/line/words" >"$folder/line/text"
sed 's/$/\r/' "$folder/line/words" >"$folder/windows/text"
head -c 50000 /dev/zero >"$folder/zeros/text"
for what in random scripts line windows zeros; do trains "$what"; done

# A text too short for one sequence is refused with a reason, before anything is submitted.
mkdir "$folder/short"
printf 'too short' >"$folder/short/text"
make_job "$folder/short"
ends 1 node one job submit "$folder/short/job.toml"
says "add text"
