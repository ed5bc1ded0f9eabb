#!/usr/bin/env bash
# What methods and codecs cost in quality: the validation loss of one small model (tiny-1m: gpt2, 4
# layers, width 128, 4 heads, context 128, bytes) at the end of equal numbers of tokens, computed by
# `tequio job replay`. By hand; gates nothing. quality.sh --help says more.

set -euo pipefail

usage() {
    cat <<END
usage: tests/bench/quality.sh --text FILE --folder DIR [option]... VARIANT...
       tests/bench/quality.sh --folder DIR --table

A VARIANT is one of

  synchronous[:CODEC[:CODEC_DOWN]]                one step of all lanes together
  diloco:H[:CODEC[:CODEC_DOWN]][:carried]         H steps of each lane a round; "carried": lanes keep
                                                  AdamW's state from round to round (a research
                                                  switch of the replay; no job can have it)

and is trained once for each seed. DIR/results.tsv has a line for each pair; those that it has are
not computed again. The table is printed at the end: mean, spread (largest less smallest), and the
difference to synchronous training and to the first variant "carried" with the same H, seed by seed.

  --text FILE      what to train on; the table in training/README.md: the dictionary of Debian's
                   package dict-gcide, unpacked as scripts/demo.sh does
  --steps N        optimizer steps of each lane, a multiple of every H (default: 1000)
  --lanes N        (default: 4)
  --seeds "1 2 3"  (default)
  --lr X           inner learning rate (default: 1e-3, as \`tequio job new\` writes)
  --jobs N         variants computed at a time, a thread each (default: as many as there are processors)
  --tequio FILE    the program (default: tequio in the PATH)

Everything else is as \`tequio job new\` writes it: batch 8, AdamW 0.9/0.95, weight decay 0.1, clip 1,
ramp H/5, Nesterov 0.7/0.9, warmup a twentieth, cosine to a tenth, codec mxint8 up and down.
END
}

text='' folder='' steps=1000 lanes=4 seeds='1 2 3' lr=1e-3 jobs=$(nproc) tequio=tequio table_only=no
variants=()
while (($#)); do
    case $1 in
        --text) text=$2; shift ;;
        --folder) folder=$2; shift ;;
        --steps) steps=$2; shift ;;
        --lanes) lanes=$2; shift ;;
        --seeds) seeds=$2; shift ;;
        --lr) lr=$2; shift ;;
        --jobs) jobs=$2; shift ;;
        --tequio) tequio=$2; shift ;;
        --table) table_only=yes ;;
        --help) usage; exit 0 ;;
        -*) usage >&2; exit 2 ;;
        *) variants+=("$1") ;;
    esac
    shift
done
[[ -n $folder ]] || { usage >&2; exit 2; }
mkdir -p "$folder"
results=$folder/results.tsv
touch "$results"

# print_job METHOD H CODEC CODEC_DOWN SEED: the job file.
print_job() {
    local method=$1 h=$2 codec=$3 down=$4 seed=$5 outer='' inner window=-40
    inner="optimizer = \"adamw\", lr = $lr, betas = [0.9, 0.95], weight_decay = 0.1, clip = 1.0"
    if [[ $method == diloco ]]; then
        inner+=", ramp_steps = $((h / 5))"
        outer='outer = { optimizer = "nesterov", lr = 0.7, momentum = 0.9 }'
    else
        window=-46
    fi
    cat <<END
[job]
name = "quality"
[model]
family = "gpt2"
layers = 4
heads = 4
width = 128
context = 128
[data]
files = ["text"]
tokenizer = "bytes"
validation = 0.01
[train]
method = "$method"
lanes = $lanes
rounds = $((steps / h))
inner_steps = $h
batch = 8
window = $window
inner = { $inner }
$outer
schedule = { warmup = $((steps / 20)), decay = "cosine", final = 0.1 }
codec = "$codec"
codec_down = "$down"
seed = $seed
END
}

# compute VARIANT SEED: trains and notes the result.
compute() {
    local variant=$1 seed=$2 parts method h=1 codec down research=() job=$folder/$1-$2
    awk -F '\t' -v v="$variant" -v s="$seed" '$1 == v && $2 == s { found = 1 } END { exit !found }' "$results" && return
    IFS=: read -ra parts <<<"$variant"
    if [[ ${parts[-1]} == carried ]]; then
        research=(--research inner_state=carried)
        unset 'parts[-1]'
    fi
    method=${parts[0]}
    if [[ $method == diloco ]]; then
        h=${parts[1]}
        parts=("${parts[0]}" "${parts[@]:2}")
    fi
    ((steps % h == 0)) || { echo "--steps $steps is no multiple of $h" >&2; exit 2; }
    codec=${parts[1]:-mxint8} down=${parts[2]:-${parts[1]:-mxint8}}
    mkdir -p "$job"
    ln -f -- "$text" "$job/text" 2>/dev/null || cp -- "$text" "$job/text"
    print_job "$method" "$h" "$codec" "$down" "$seed" >"$job/job.toml"
    echo "$variant, seed $seed" >&2
    local begin=$SECONDS answer
    answer=$("$tequio" --data-dir "$job/data" job replay "$job/job.toml" --threads 1 --json "${research[@]}" 2>"$job/log")
    printf '%s\t%s\t%s\t%s\t%s\n' "$variant" "$seed" "$(sed -n 's/.*"validation_loss": *\([0-9.eE+-]*\).*/\1/p' <<<"$answer" | head -1)" \
        "$(sed -n 's/.*"state_digest": *"\([0-9a-f]*\)".*/\1/p' <<<"$answer" | head -1)" $((SECONDS - begin)) >>"$results"
    rm -r -- "$job"
}

# The table, in Markdown, from all that is in results.tsv.
print_table() {
    awk -F '\t' '
        function add(list, x) { return list == "" ? x : list " " x }
        # Mean of a - b over the seeds that both have, and how many these are.
        function against(a, b,    i, s, n, sum) {
            for (i in seed) { s = seed[i]; if ((a, s) in loss && (b, s) in loss) { sum += loss[a, s] - loss[b, s]; ++n } }
            return n ? sprintf("%+.4f", sum / n) : ""
        }
        { if (!($1 in known)) { known[$1] = 1; order[++count] = $1 } seed[$2] = $2; loss[$1, $2] = $3 }
        END {
            print "| variant | seeds | mean | spread | less synchronous | less carried |"
            print "|---|---|---|---|---|---|"
            for (k = 1; k <= count; ++k) {
                v = order[k]; n = sum = 0; low = 1e9; high = -1e9
                for (i in seed) if ((v, seed[i]) in loss) {
                    x = loss[v, seed[i]]; sum += x; ++n; if (x < low) low = x; if (x > high) high = x
                }
                split(v, part, ":")
                carried = part[1] ":" part[2] ":carried"
                printf "| %s | %d | %.4f | %.4f | %s | %s |\n", v, n, sum / n, high - low, \
                    v == "synchronous" ? "" : against(v, "synchronous"), v == carried ? "" : against(v, carried)
            }
        }' "$results"
}

if [[ $table_only == no ]]; then
    [[ -r $text && ${#variants[@]} -gt 0 ]] || { usage >&2; exit 2; }
    for seed in $seeds; do
        for variant in "${variants[@]}"; do
            while (($(jobs -rp | wc -l) >= jobs)); do wait -n; done
            compute "$variant" "$seed" &
        done
    done
    while (($(jobs -rp | wc -l) > 0)); do wait -n; done
fi
print_table
