# Begins an end-to-end test:  . "$(dirname "$0")/../support/scenario.sh"  with the program as $1.
# shellcheck shell=bash
#
# Gives a temporary folder $folder that is removed at the end (left when the test fails), nodes that
# are ended with the test (swarm.sh), small jobs, and words to state what is expected.

set -euo pipefail
tequio=$(realpath "$1")
shift
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$tests/../scripts/common.sh"
. "$tests/support/swarm.sh"
folder=$(mktemp -d "${TMPDIR:-/tmp}/tequio-test.XXXXXX")

scenario_end() {
    local status=${1:-$?} log
    trap - EXIT INT TERM HUP
    swarm_stop
    if ((status == 0)); then
        rm -rf "$folder"
    else
        for log in "$folder"/*.log; do
            [[ -f $log ]] || continue
            printf -- '--- the end of %s\n' "$log" >&2
            tail -n 15 "$log" >&2
        done
        printf 'failed (status %s); its files are in %s\n' "$status" "$folder" >&2
    fi
    exit "$status"
}
trap scenario_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
swarm_start "$folder"

# write_text FILE BYTES [SEED]: words of a made-up language, the same for the same seed.
write_text() {
    awk -v bytes="$2" -v seed="${3:-1}" 'BEGIN {
        n = split("ta ke no mi ri so lu wen pa tor shi ga", part, " ")
        x = seed
        while (size < bytes) {
            word = ""
            x = (x * 16807) % 2147483647
            for (i = x % 3; i >= 0; --i) { x = (x * 16807) % 2147483647; word = word part[x % n + 1] }
            x = (x * 16807) % 2147483647
            word = word (x % 9 == 0 ? ".\n" : " ")
            size += length(word)
            printf "%s", word
        }
    }' | head -c "$2" >"$1"
}

# make_job DIR [KEY=VALUE...]: a job that takes seconds, in DIR/job.toml beside DIR/text. KEY=VALUE
# replaces the line "KEY = ..." (of whichever table; the keys are unlike enough).
make_job() {
    local dir=$1 pair key
    shift
    mkdir -p "$dir"
    [[ -f $dir/text ]] || write_text "$dir/text" 60000
    cat >"$dir/job.toml" <<EOF
[job]
name = "small"
purpose = "a test"
data_license = "CC0-1.0"
model_license = "CC0-1.0"
readers = "swarm"
[model]
family = "gpt2"
layers = 2
heads = 2
width = 32
context = 32
[data]
files = ["text"]
tokenizer = "bytes"
validation = 0.02
[train]
method = "diloco"
lanes = 4
rounds = 6
inner_steps = 8
batch = 4
micro_batch = 4
window = -40
inner = { optimizer = "adamw", lr = 2e-3, betas = [0.9, 0.95], weight_decay = 0.1, clip = 1.0, ramp_steps = 2 }
outer = { optimizer = "nesterov", lr = 0.7, momentum = 0.9 }
schedule = { warmup = 4, decay = "cosine", final = 0.1 }
codec = "mxint8"
codec_down = "mxint8"
numerics = "exact/1"
seed = 1
[slices]
cuts = []
activations = "f32"
[trust]
deadline = "1d"
[keep]
copies = 3
days = 1
EOF
    for pair in "$@"; do
        key=${pair%%=*}
        grep -q "^$key = " "$dir/job.toml" || die "make_job: no key $key"
        sed -i "s|^$key = .*|$key = ${pair#*=}|" "$dir/job.toml"
    done
}

# make_synchronous DIR: the job there becomes one of method synchronous.
make_synchronous() {
    sed -i 's/^method = .*/method = "synchronous"/; s/^inner_steps = .*/inner_steps = 1/; s/, ramp_steps = [0-9]*//; /^outer = /d
        s/^window = .*/window = -46/' "$1/job.toml"
}

# submit NAME JOB-DIR: prints the task's id.
submit() { node "$1" job submit "$2/job.toml" --json | json_text task; }

# finished NAME TASK [SECONDS]: waits until the node sees the job done.
finished() {
    wait_for "${3:-60}" "the job to end on node $1" job_ended "$1" "$2"
    job_done "$1" "$2" || die "the job ended as: $(node "$1" job show "$2" --json)"
    wait_for 20 "the model on node $1" job_fetchable "$1" "$2"
}

# replayed NAME TASK: the digest of a replay on one machine; fails when a round differs.
replayed() { node "$1" job replay "$2" --json | json_text state_digest; }

# same WHAT A B: both are the same, and not empty.
same() {
    [[ -n $2 && $2 == "$3" ]] || die "$1 differ: \"$2\" and \"$3\""
    printf 'same %s: %s\n' "$1" "$2"
}

# ends STATUS COMMAND...: runs it, keeps what it prints in $output, and demands that exit status.
ends() {
    local wanted=$1 status=0
    shift
    output=$("$@" 2>&1) || status=$?
    ((status == wanted)) || die "expected exit $wanted, got $status, from: $*"$'\n'"$output"
}

# says TEXT...: each text stands in $output.
says() {
    local text
    for text in "$@"; do
        [[ $output == *"$text"* ]] || die "expected \"$text\" in: $output"
    done
}

# ledgers_verify NAME...: the ledger in each node's data folder is whole; its node need not run.
ledgers_verify() {
    local name
    for name in "$@"; do node "$name" ledger verify --json >/dev/null || die "ledger of $name does not verify"; done
}

# swarm_of NAME...: starts the nodes; each knows the first; waits until all know one another.
swarm_of() {
    local first=$1 name
    node_start "$first"
    for name in "${@:2}"; do node_start "$name" --peer "$(node_address "$first")"; done
    wait_for 20 "the nodes to know one another" swarm_has_peers $(($# - 1)) "$@"
}
