#!/usr/bin/env bash
# interference.sh PROGRAM: the smallest run of `bench interference` starts a node of its own, measures every probe, and leaves
# neither process nor file; so does one that is interrupted. Figures are not looked at: the machine is anybody's.
. "$(dirname "$0")/../support/scenario.sh"

export TEQUIO_DATA_DIR=$folder/data TMPDIR=$folder/tmp
mkdir "$folder/data" "$folder/tmp"
left() { find "$folder/tmp" -mindepth 1 | head -n 3; }
node_processes() { pgrep -f "^[^ ]*tequio node --listen 127.0.0.1:0 --config $folder/tmp" || true; }
node_seen() { [[ -n $(node_processes) ]]; }

ends 0 "$tequio" bench interference --quick --json
says '"schema":"tequio/bench-interference/1"' '"cpu_protection":"' '"steal_share":' '"seed":1' '"warnings":['
for probe in wake-up keystroke frames request share triad chase build; do says "{\"name\":\"$probe\""; done
for condition in A B C D; do says "{\"condition\":\"$condition\",\"samples\":"; done
says '"by_block":[' '"figure":"p99","as":"difference"' '"figure":"median","as":"ratio"' '"verdict":"' '"low":' '"high":'
says '{"trigger":"input","trials":1' '{"trigger":"contention","trials":1' '"p99_ms":' '"within_250ms":'
says '"harvest":{"seconds":' '"available_cpu_seconds":' '"daemon_proportional_bytes":' '"memory_released_seconds":'
grep -q '"p99_ms":.*"within_120ms":' "$folder/data/interference.json" || die "the data dir does not keep the figures"
[[ -z $(left) ]] || die "files are left: $(left)"
[[ -z $(node_processes) ]] || die "a node is left"

# Some probes alone, for people.
ends 0 "$tequio" bench interference --quick --conditions AB --probe wake-up --probe build --build true
says 'wake-up, us' 'build, s' 'A no node' 'B node forced on'
[[ $output != *harvest* && $output != *triad* ]] || die "probes that were not asked for: $output"

# A build that fails is no measurement; what cannot be meant is refused.
ends 1 "$tequio" bench interference --quick --conditions A --probe build --build 'exit 3'
says 'the build ended with status 3'
ends 2 "$tequio" bench interference --probe nose
says '--probe: found "nose", allowed: wake-up, keystroke'
ends 2 "$tequio" bench interference --conditions AXB
says '--conditions: found "AXB"'
ends 2 "$tequio" bench interference --blocks 0

# Interrupted while the node works: 130, and nothing is left.
"$tequio" bench interference --conditions B --blocks 1000 --probe share >"$folder/out" 2>"$folder/interrupted.log" &
started=$!
wait_for 30 "a node" node_seen
kill -INT "$started"
status=0
wait "$started" || status=$?
((status == 130)) || die "an interrupted measurement ended with $status"
[[ -z $(left) ]] || die "files are left: $(left)"
[[ -z $(node_processes) ]] || die "a node is left"

# A node counts how it gives back, shows it beside what was measured, and still knows it after a restart.
unset TEQUIO_DATA_DIR
export TEQUIO_TEST_IDLE=1
input() { perl "$tests/support/give_back.pl" put "$folder/one/api.sock" /api/v1/test/idle "{\"idle_ms\":$1}" >/dev/null; }
given_back() { [[ $(node one status --json | grep -o '"give_back":{[^}]*}' | json_number count) == "$1" ]]; }
works() { [[ $(node one status --json | json_text state) == working ]]; }
make_job "$folder/job" rounds=3 lanes=2 layers=4 heads=4 width=128 context=64 batch=8 micro_batch=8 inner_steps=400
node_start one
ends 0 node one status
says 'last 7 days: nothing had to be given back'
submit one "$folder/job" >/dev/null
for ((i = 1; i <= 2; ++i)); do
    wait_for 30 "the node to work" works
    input 0
    wait_for 10 "giving back number $i to be counted" given_back "$i"
    input 100000000
done
cp "$folder/data/interference.json" "$folder/one/"
node_stop one
node_start one
ends 0 node one status
says 'last 7 days: given back within 120 ms in ' ' % of 2 times' 'measured 2' 'in 2 trials'
ends 0 node one status --json
says '"give_back":{"line":"last 7 days' '"interference":{"date":"'
