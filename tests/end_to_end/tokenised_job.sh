#!/usr/bin/env bash
# A job with a tokenizer.json and JSONL trains, and its model writes text with that tokenizer; a token file is the same
# data as the text it was made of.
. "$(dirname "$0")/../support/scenario.sh"

export TEQUIO_DATA_DIR=$folder/data
recipe_of() { "$tequio" job plan "$1" --json | json_text recipe; }

# The 256 bytes in GPT-2's alphabet, some syllables and the end of a text.
awk 'BEGIN {
    printf "{\"added_tokens\": [{\"id\": 268, \"content\": \"<|endoftext|>\", \"special\": true}],"
    printf "\"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false},"
    printf "\"decoder\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\", \"vocab\": {"
    for (b = 0; b < 256; ++b) {
        printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174
        printf "\"\\u%04x\": %d, ", printable ? b : 256 + spare++, b
    }
    n = split("ta ke no mi ri so lu pa ga sh or to", part, " ")
    for (i = 1; i <= n; ++i) printf "\"%s\": %d%s", part[i], 255 + i, i < n ? ", " : "}, \"merges\": ["
    for (i = 1; i <= n; ++i) {
        printf "\"%s %s\"%s", substr(part[i], 1, 1), substr(part[i], 2), i < n ? ", " : "]}}\n"
    }
}' >"$folder/tokenizer.json"

mkdir "$folder/job"
write_text "$folder/job/plain" 40000
awk '{ printf "{\"id\": %d, \"text\": \"%s\"}\n", NR, $0 }' "$folder/job/plain" >"$folder/job/text.jsonl"
cp "$folder/tokenizer.json" "$folder/job/"
make_job "$folder/job" 'files=["text.jsonl"]' 'tokenizer="tokenizer.json"' rounds=2
digest=$("$tequio" job replay "$folder/job/job.toml" --quiet --out "$folder/model" --json | json_text state_digest)
same "digests" "$digest" "$("$tequio" job replay "$folder/job/job.toml" --quiet --threads 1 --json | json_text state_digest)"
output=$("$tequio" job plan "$folder/job/job.toml")
printf '%s\n' "$output"
# One token for two letters of most syllables: far fewer tokens than bytes.
tokens=$(awk '$1 == "data" { print $2 }' <<<"$output")
((tokens > 15000 && tokens < 30000)) || die "$tokens tokens of 40000 bytes"

# The tokenizer goes with the model, which says nothing without it.
cmp "$folder/tokenizer.json" "$folder/model/tokenizer.json"
rm "$folder/model/tokenizer.json"
ends 1 "$tequio" job sample "$folder/model" --prompt "ta"
says "needs its tokenizer.json"
cp "$folder/tokenizer.json" "$folder/model/"
ends 0 "$tequio" job sample "$folder/model" --prompt "ta ke" --tokens 40 --seed 3 --json
says '"tokens":40' '"prompt":"ta ke"'
text=$(json_text base64 <<<"$output" | base64 -d | wc -c)
((text > 40)) || die "40 tokens gave $text bytes: none has two"
ends 0 "$tequio" job sample "$folder/model" --prompt "" --tokens 5

# UTF-16 of ASCII is what nanoGPT would write of bytes.
mkdir "$folder/bytes"
cp "$folder/job/plain" "$folder/bytes/text"
iconv -f ascii -t utf-16le "$folder/bytes/text" >"$folder/bytes/text.bin"
make_job "$folder/bytes"
recipe=$(recipe_of "$folder/bytes/job.toml")
sed -i 's|^tokenizer = .*|vocabulary = 256|' "$folder/bytes/job.toml"
sed -i 's|^files = .*|files = ["text.bin"]|' "$folder/bytes/job.toml"
same "recipes of text and tokens" "$recipe" "$(recipe_of "$folder/bytes/job.toml")"
sed -i 's|^vocabulary = .*|vocabulary = 100|' "$folder/bytes/job.toml"
ends 1 "$tequio" job plan "$folder/bytes/job.toml"
says "text.bin: token" "the vocabulary has 100"

# Faults of the tokenizer name its file and the key.
sed 's/"ByteLevel", "add/"Metaspace", "add/' "$folder/tokenizer.json" >"$folder/job/tokenizer.json"
ends 1 "$tequio" job plan "$folder/job/job.toml"
says "tokenizer.json: pre_tokenizer.type: found \"Metaspace\""
rm "$folder/job/tokenizer.json"
ends 4 "$tequio" job plan "$folder/job/job.toml"
says tokenizer.json
ends 2 "$tequio" job tokenizer train "$folder/job/plain" --out "$folder/new.json"
says "not in this version"
