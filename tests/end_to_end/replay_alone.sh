#!/usr/bin/env bash
# Replay without any node: threads and instruction set do not change the chronicle; a chronicle that was changed is
# found out; an interrupted replay goes on; a model can be written and sampled.
. "$(dirname "$0")/../support/scenario.sh"

export TEQUIO_DATA_DIR=$folder/data
make_job "$folder/job" rounds=4
job=$folder/job/job.toml
replay() { "$tequio" job replay "$job" --quiet "$@"; }

digest=$(replay --threads 1 --write-chronicle "$folder/chronicle" --out "$folder/model" --json | json_text state_digest)
same "digests, 2 threads" "$digest" "$(replay --threads 2 --chronicle "$folder/chronicle" --json | json_text state_digest)"
case $(uname -m) in
    x86_64) target=avx2 ;;
    *) target=neon ;;
esac
same "digests, $target" "$digest" "$(TEQUIO_SIMD=$target replay --chronicle "$folder/chronicle" --json | json_text state_digest)"
[[ ! -e $folder/data/replay ]] || [[ -z $(ls "$folder/data/replay") ]] || die "finished replays left files behind"

# Another digit in round 2 is a mismatch of round 2, whichever rounds are asked for.
awk '/^contribution/ && ++n == 10 { sub(/[0-9a-f]$/, substr($0, length) == "0" ? "1" : "0") } { print }' \
    "$folder/chronicle" >"$folder/changed"
ends 8 replay --chronicle "$folder/changed" --json
says '"round":2' 'contribution of lane 1' 'differs from the chronicle'
ends 8 replay --chronicle "$folder/changed" --rounds 2..2
ends 0 replay --chronicle "$folder/changed" --rounds 0..1 --json
says '"rounds_checked":2'

# Interrupted by Ctrl-C in the middle: 130, and the next run does not begin anew.
make_job "$folder/longer" rounds=400
"$tequio" job replay "$folder/longer/job.toml" --threads 1 >"$folder/longer.out" 2>"$folder/longer.log" &
started=$!
wait_for 30 "some rounds" grep -qs '^round 3:' "$folder/longer.log"
kill -INT "$started"
status=0
wait "$started" || status=$?
((status == 130)) || die "an interrupted replay ended with $status"
grep -q 'goes on there' "$folder/longer.log" || die "an interrupted replay does not say how to go on"
"$tequio" job replay "$folder/longer/job.toml" --threads 1 >"$folder/longer.out" 2>"$folder/again.log" &
started=$!
wait_for 30 "a first round" grep -qs '^round ' "$folder/again.log"
kill -TERM "$started"
wait "$started" || true
! grep -qs '^round 0:' "$folder/again.log" || die "the second run began anew"

# The model is what others read; sampling is a function of model, prompt and seed.
same "samples" "$("$tequio" job sample "$folder/model" --prompt "ta ke" --tokens 30 --seed 5 --threads 1 --json)" \
    "$("$tequio" job sample "$folder/model" --prompt "ta ke" --tokens 30 --seed 5 --threads 2 --json)"
ends 2 replay --out "$folder/model"
says "--force"
ends 4 "$tequio" job sample "$folder/nothing" --prompt x

# A study has other bits, the same ones each time; it is no task's, and leaves nothing behind.
for study in inner_state=carried panel=64 softmax=online; do
    studied=$(replay --research "$study" --threads 1 --json | json_text state_digest)
    [[ -n $studied && $studied != "$digest" ]] || die "$study changed nothing"
    same "digests of $study" "$studied" "$(replay --research "$study" --threads 2 --json | json_text state_digest)"
done
[[ ! -e $folder/data/study ]] || [[ -z $(ls "$folder/data/study") ]] || die "finished studies left files behind"
ends 2 replay --research panel=64 --chronicle "$folder/chronicle"
ends 2 replay --research panel=100
says '--research: found "panel=100"'

# What cannot be meant.
ends 2 replay --rounds 3..2
ends 2 replay --slices 2
says "--slices: found 2, allowed: 1 to 1: the recipe has 0 cuts"
ends 4 "$tequio" job replay "$(printf 'a%.0s' {1..64})"
ends 2 "$tequio" bench net
says "not in this version"
