#!/usr/bin/env bash
# The main job, from nothing: packages, build, a swarm of three nodes on this machine that trains a
# small language model on a dictionary while one node is killed, and the proof that the result is,
# bit for bit, what one machine alone computes. scripts/demo.sh --help says more.

[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
. "$here/common.sh"
. "$here/packages.sh"
. "$root/tests/support/swarm.sh"

usage() {
    cat <<EOF
usage: scripts/demo.sh [--text FILE] [--keep] [--no-packages] [--jobs N]

  --text FILE     train on this file instead of the dictionary in Debian's package dict-gcide
  --keep          leave the temporary folder (data folders, logs, model) where it is
  --no-packages   install nothing; build with what is here
  --jobs N        compile N files at a time (default: as many as there are processors)
EOF
}

text='' keep=no use_packages=yes jobs=$(nproc)
while (($#)); do
    case $1 in
        --text) [[ $# -ge 2 ]] || die -2 "--text needs a file"; text=$2; shift ;;
        --text=*) text=${1#*=} ;;
        --keep) keep=yes ;;
        --no-packages) use_packages=no ;;
        --jobs) [[ $# -ge 2 ]] || die -2 "--jobs needs a number"; jobs=$2; shift ;;
        --jobs=*) jobs=${1#*=} ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; die -2 "unknown argument: $1" ;;
    esac
    shift
done
[[ $jobs =~ ^[1-9][0-9]*$ ]] || die -2 "--jobs: found \"$jobs\", allowed a number from 1"
if [[ -n $text ]]; then
    [[ -f $text && -r $text ]] || die -2 "--text: cannot read $text"
    text=$(realpath "$text")
fi

started=$SECONDS
build=$root/build/demo
tequio=$build/tequio

finish() {
    local status=$?
    trap - EXIT INT TERM HUP
    swarm_stop
    if [[ $keep == yes || ($status -ne 0 && $status -ne 130 && $status -ne 5 && -d $temporary/one) ]]; then
        printf 'Data folders and logs are in %s (remove it when done).\n' "$temporary" >&2
    else
        rm -rf "$temporary"
    fi
    exit "$status"
}
temporary=$(mktemp -d "${TMPDIR:-/tmp}/tequio-demo.XXXXXX")
trap finish EXIT
swarm_start "$temporary"
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# --- What will happen -----------------------------------------------------------------------------
say "${bold}Tequio demo${plain}: three nodes on this machine train one small language model; one of them gets killed."
say "What this changes:"
if [[ $use_packages == yes ]]; then
    [[ -n $text ]] || packages_lists_needed=yes
    packages_announce build || exit
else
    say "  packages    none (--no-packages)"
fi
[[ -n $text ]] || say "  download    the dictionary dict-gcide (15 MB) from Debian, unpacked in the temporary folder, not installed"
say "  build       $build (about 100 MB)"
say "  temporary   $temporary (removed at the end$([[ $keep == no ]] || printf '; not this time: --keep'))"
say "  network     the nodes talk on 127.0.0.1 only, on free ports; no process stays"

# --- Packages -------------------------------------------------------------------------------------
phase "Packages"
if [[ $use_packages == yes ]]; then
    packages_install || exit
fi

# --- Build ----------------------------------------------------------------------------------------
phase "Build"
cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DTEQUIO_TESTS=OFF -DTEQUIO_UNITY=ON >"$temporary/cmake.log" ||
    { cat "$temporary/cmake.log" >&2; die "configuring failed"; }
if [[ -t 1 ]]; then
    cmake --build "$build" --target tequio -j "$jobs"
else
    cmake --build "$build" --target tequio -j "$jobs" >"$temporary/build.log" ||
        { tail -n 40 "$temporary/build.log" >&2; die "building failed"; }
fi
note "$("$tequio" --version)"

# --- Text -----------------------------------------------------------------------------------------
phase "Text"
mkdir "$temporary/job"
if [[ -n $text ]]; then
    cp -- "$text" "$temporary/job/text"
    purpose="A small language model of one file" licence=NOASSERTION
else
    (cd "$temporary" && apt-get -q -o APT::Sandbox::User="$(id -un)" download dict-gcide >/dev/null) ||
        die "the dictionary could not be fetched; try scripts/demo.sh --text FILE with a text of yours"
    dpkg-deb -x "$temporary"/dict-gcide_*.deb "$temporary/gcide"
    # A .dz file is a gzip file with an index that gzip steps over.
    gzip -dc "$temporary/gcide/usr/share/dictd/gcide.dict.dz" >"$temporary/job/text"
    purpose="A small language model of the GNU Collaborative International Dictionary of English"
    licence=GPL-2.0-or-later
fi
note "$(wc -c <"$temporary/job/text") bytes, $(wc -l <"$temporary/job/text") lines"
sed "s/@PURPOSE@/$purpose/; s/@LICENCE@/$licence/" "$here/demo.toml" >"$temporary/job/job.toml"

# --- Swarm ----------------------------------------------------------------------------------------
phase "Swarm"
node_start one
node_start two --peer "$(node_address one)"
node_start three --peer "$(node_address one)"
for name in one two three; do
    note "node $name: $(node_id "$name" | cut -c 1-16)… on $(node_address "$name")"
done
wait_for 30 "three nodes that know one another" swarm_has_peers 2 one two three

task=$(node one job submit "$temporary/job/job.toml" --json --quiet | json_text task)
note "task $task"
node one job watch "$task" > >(sed -u 's/^/    /') 2>&1 &
watcher=$!
wait_for 300 "the first round to be merged" job_reached one "$task" 1
rounds=$(job_field one "$task" rounds)
wait_for 300 "a third of the rounds" job_reached one "$task" $((rounds / 3))
node_kill two
say "${bold}  node two was killed (SIGKILL) in round $(job_field one "$task" round) of $rounds; the other two go on${plain}"
wait_for 600 "the job to end" job_ended one "$task"
wait "$watcher" || die -7 "the job failed: $(node one job show "$task")"
wait_for 60 "the job's end on node three" job_fetchable three "$task"
swarm_digest=$(job_digest three "$task")
note "$(job_field three "$task" checked_share | awk '{print 100 * $1}') % of all lanes were computed a second time by another node"
note "the swarm's digest:  $swarm_digest"

# --- Replay ---------------------------------------------------------------------------------------
phase "Replay"
note "one process computes the whole job again, alone, and compares each round"
replay=$(node one job replay "$task" --threads "$(nproc)" --json 2> >(sed -u 's/^/    /' >&2)) || die "the replay does not agree: $replay"
replay_digest=$(json_text state_digest <<<"$replay")
note "the replay's digest: $replay_digest"
[[ -n $replay_digest && $replay_digest == "$swarm_digest" ]] || die -8 "the digests differ"
say "  ${green}equal: three nodes, one of them killed, and one process alone computed the same bits${plain}"

# --- Ledgers and model ----------------------------------------------------------------------------
phase "Ledgers and model"
for name in one two three; do
    verdict=$(node "$name" ledger verify --json) || die -8 "the ledger of node $name does not verify: $verdict"
    note "ledger of node $name: $(json_number entries <<<"$verdict") entries, all in order, head $(json_text head <<<"$verdict" | cut -c 1-16)…"
done
node three job fetch "$task" --out "$temporary/model" --quiet >/dev/null
note "model fetched from node three: $(du -k "$temporary/model/model.safetensors" | cut -f 1) KiB"
say "  it writes, from the prompt \"The \":"
"$tequio" job sample "$temporary/model" --prompt "The " --tokens 200 --seed 1 | sed 's/^/    | /'
note "honestly: a minute of training teaches a model this small the shape of words and lines, no sense"
phase_end

say ""
say "${green}Done${plain} in $(minutes $((SECONDS - started))): $(IFS=';'; printf '%s' "${phase_times[*]}" | sed 's/;/, /g')."
