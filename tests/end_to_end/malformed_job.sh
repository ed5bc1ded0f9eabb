#!/usr/bin/env bash
# Job files with one fault each, through the command line: exit 2, with file, line, key, what was
# found and what is allowed. (tests/unit/training has the long list.)
. "$(dirname "$0")/../support/scenario.sh"

export TEQUIO_DATA_DIR=$folder/data XDG_CONFIG_HOME=$folder/config

# refused KEY VALUE WORDS...: the job with this one line changed.
refused() {
    local key=$1 value=$2 line
    shift 2
    make_job "$folder/job" "$key=$value"
    line=$(grep -n "^$key = " "$folder/job/job.toml" | cut -d : -f 1)
    ends 2 "$tequio" job plan "$folder/job/job.toml"
    says "job.toml:$line" "$key" "$@"
    printf '%s\n' "$output"
}
refused family '"perceptron"' perceptron gpt2 llama mlp
refused tokenizer '"words"' words bytes tokenizer.json
refused files '["text", "more.bin"]' "more.bin" "one kind"
refused files '["digits.csv"]' digits.csv gpt2 mlp
refused files '["text.gz"]' "text.gz" gunzip
refused method '"gossip"' gossip "diloco, synchronous"
refused codec '"mxfp6"' mxfp6 "f32, mxint8, mxfp4"
refused codec_down '"int8"' int8 "f32, mxint8, mxfp4"
refused lanes 0 0 allowed
refused lanes 65537 65537 allowed
refused inner_steps 0 0 "from 1 to 1048576"
refused rounds '"many"' many allowed
refused heads 3 3
refused width -32 -32 allowed
refused context 99999999999 99999999999 allowed
refused validation 1.5 1.5 allowed
refused window 7 7 allowed
refused numerics '"fast/1"' fast/1 exact/1
refused seed 1.5 1.5 allowed
refused cuts '[0]' "[0]" "layers from 1 to"
refused cuts '[1, 1]' "[1,1]" "each above the one before"
refused cuts '[99]' "[99]" "layers from 1 to"
refused cuts '["a"]' "a list of layers"
refused activations '"bf16"' bf16 "f32 without cuts"
refused activations '"fp8"' fp8 "f32, bf16, mxint8"
refused readers '"nobody"' nobody swarm
refused deadline '"soon"' soon
refused files '["../text"]' "../text"
refused files '[]' allowed

# Lines that another line makes wrong: the method has one step a round and no outer optimizer.
inner='{ optimizer = "adamw", lr = 2e-3 }'
make_job "$folder/job" 'method="synchronous"' inner_steps=2 "inner=$inner"
ends 2 "$tequio" job plan "$folder/job/job.toml"
says "job.toml:$(grep -n '^inner_steps' "$folder/job/job.toml" | cut -d : -f 1) train.inner_steps: found 2, allowed: 1 with method synchronous"
says "job.toml:$(grep -n '^outer' "$folder/job/job.toml" | cut -d : -f 1) train.outer: found a table, allowed: no such key with method synchronous"
sed -i '/^outer/d' "$folder/job/job.toml"
sed -i 's/^inner_steps = 2/inner_steps = 1/' "$folder/job/job.toml"
ends 0 "$tequio" job plan "$folder/job/job.toml"
sed -i 's/lr = 2e-3 }/lr = 2e-3, ramp_steps = 2 }/' "$folder/job/job.toml"
ends 2 "$tequio" job plan "$folder/job/job.toml"
says "job.toml:$(grep -n '^inner =' "$folder/job/job.toml" | cut -d : -f 1) train.inner.ramp_steps: found 2" "no such key with method synchronous"
make_job "$folder/job"
sed -i '/^deadline/a crew_min = 9\ncrew_max = 8' "$folder/job/job.toml"
ends 2 "$tequio" job plan "$folder/job/job.toml"
says "job.toml:$(grep -n '^crew_min' "$folder/job/job.toml" | cut -d : -f 1) trust.crew_min: found 9, allowed: at most crew_max (8)"

make_job "$folder/job"
printf 'colour = "red"\n' >>"$folder/job/job.toml"
ends 2 "$tequio" job plan "$folder/job/job.toml"
says colour
make_job "$folder/job" 'files=["missing"]'
ends 4 "$tequio" job plan "$folder/job/job.toml"
says missing
printf 'this is no TOML [' >"$folder/job/job.toml"
ends 2 "$tequio" job plan "$folder/job/job.toml"
says job.toml:1
ends 4 "$tequio" job plan "$folder/nowhere/job.toml"
says "$folder/nowhere/job.toml"
