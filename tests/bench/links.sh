#!/usr/bin/env bash
# What slow links cost: links.sh PROGRAM NODES RATE [KEY=VALUE...]; as root. RATE as tc writes it: 20mbit.
#
# NODES nodes of one thread each, in network namespaces behind links of that rate both ways (tc's tbf, no added delay), train
# small-10m on made-up text: diloco, 2 lanes a node, H = 100, 3 rounds; KEY=VALUE replaces lines of the job file. Printed:
#
#   utilisation   merged tokens a second after round FROM (default 1: nodes join in it), beside what as many processes of
#                 `bench train`, a thread each, reach side by side just before and after. `merged only` counts a lane once
#                 however often it was computed; `with checks` counts every lane that workers computed. Of a newcomer every
#                 lane is computed twice, so the nodes get to know one another in a small job first; with STRANGERS=1 they
#                 do not.
#   computed      processor time of the workers, lanes and checks and sums, in shares of a core each: what waits for the
#                 network, or for another node, is missing from it; steadier than the above where the machine's speed is not
#   bytes         sent by each interface in those rounds, beside (lanes run + 1) contributions a node and round
#   daemons       processor time of the nodes' daemons, without their workers, in shares of a core
#
# and, with PYTORCH_DDP=FILE naming a script that takes --rank, --world, --master, --interface and prints tokens_per_second,
# what that reaches behind the same links. The digest must be the replay's with CHECK=1 (it takes as long as the job).
. "$(dirname "$0")/../support/scenario.sh"
. "$tests/support/namespaces.sh"

nodes=${1:-} rate=${2:-}
[[ $nodes =~ ^[2-9]$ && $rate =~ ^[0-9]+(k|m|g)bit$ ]] || die -2 "usage: links.sh PROGRAM NODES RATE [KEY=VALUE...]"
shift 2
((EUID == 0)) || die -5 "namespaces need root"
names=() rounds=3 from=${FROM:-1}
for ((i = 0; i < nodes; i++)); do names+=("node$i"); done

links_end() {
    local status=$?
    links_down
    scenario_end $status
}
trap links_end EXIT
links_up tqlinks "$rate" "${names[@]}"

# Tokens a second of that many processes side by side, summed; in the workers' scheduling class, which costs a part of it.
idle_speed() {
    local i
    for ((i = 0; i < nodes; i++)); do
        chrt --idle 0 "$tequio" bench train --preset small-10m --threads 1 --json --quiet >"$folder/speed$i.json" 2>"$folder/speed.log" &
    done
    wait $(jobs -p)
    for ((i = 0; i < nodes; i++)); do json_number tokens_per_second <"$folder/speed$i.json"; done | awk '{ s += $1 } END { print s }'
}
# Lanes that the nodes have computed so far, whatever for.
computed() { for name in "${names[@]}"; do node "$name" job show "$task" --json | json_number results; done | awk '{ s += $1 } END { print s + 0 }'; }
sent_by() { ip netns exec "$link_prefix.node$1" cat /sys/class/net/eth0/statistics/tx_bytes; }
worker_seconds() { node "$1" status --json | json_number worker_cpu_seconds; }
seconds_of() { awk '{ print ($14 + $15) / 100 }' "/proc/${swarm_pid[$1]}/stat"; }
# merged ROUND: waits for it, looking ten times a second; prints when it was seen. One process, which asks the daemon itself:
# workers yield to everything, so starting the program as often would take their time.
merged() {
    perl -MIO::Socket::UNIX -MTime::HiRes=time,sleep -e '
        my ($socket, $task, $wanted) = @ARGV;
        for (my $end = time + 3600; time < $end; sleep 0.1) {
            my $link = IO::Socket::UNIX->new($socket) or next;
            print $link "GET /api/v1/jobs/$task HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
            local $/;
            my ($round) = <$link> =~ /"round":(\d+)/;
            if (defined $round && $round >= $wanted) { printf "%.3f\n", time; exit 0 }
        }
        exit 1' "$folder/node0/api.sock" "$task" "$1" || die "round $1 does not come: $(node node0 job show "$task" --json)"
}

swarm_behind_links --threads 1

write_text "$folder/text" 2000000
make_job "$folder/job" layers=6 heads=6 width=384 context=256 batch=8 micro_batch=8 lanes=$((2 * nodes)) rounds=$rounds \
    inner_steps=100 validation=0.0005 "$@"
cp "$folder/text" "$folder/job/text"
lanes=$(sed -n 's/^lanes = //p' "$folder/job/job.toml") steps=$(sed -n 's/^inner_steps = //p' "$folder/job/job.toml")
rounds=$(sed -n 's/^rounds = //p' "$folder/job/job.toml")
if [[ -z ${STRANGERS:-} ]]; then
    # 20 results of each were matched, and nothing of it waits for its check when the clock runs.
    make_job "$folder/small" lanes=$((4 * nodes)) rounds=8
    finished node0 "$(submit node0 "$folder/small")" 300
fi
before=$(idle_speed)
printf 'side by side, network idle: %s tokens/s\n' "$before"
task=$(submit node0 "$folder/job")
((from < rounds)) || die -2 "FROM=$from: the job has $rounds rounds"
began=$(merged "$from") lanes_before=$(computed)
for ((i = 0; i < nodes; i++)); do sent[i]=$(sent_by "$i") used[i]=$(seconds_of "node$i") worked[i]=$(worker_seconds "node$i"); done
ended=$(merged "$rounds") lanes_computed=$(($(computed) - lanes_before))
for ((i = 0; i < nodes; i++)); do
    sent[i]=$(($(sent_by "$i") - sent[i]))
    used[i]=$(awk -v a="$(seconds_of "node$i")" -v b="${used[$i]}" 'BEGIN { print a - b }')
    worked[i]=$(awk -v a="$(worker_seconds "node$i")" -v b="${worked[$i]}" 'BEGIN { print a - b }')
done
finished node0 "$task" 3600
after=$(idle_speed)
contribution=$(node node0 job plan "$folder/job/job.toml" --json | json_number contribution_bytes)
awk -v a="$before" -v b="$after" -v began="$began" -v ended="$ended" -v lanes="$lanes" -v steps="$steps" -v rounds=$((rounds - from)) \
    -v computed="$lanes_computed" -v nodes="$nodes" -v rate="$rate" 'BEGIN {
    idle = (a + b) / 2
    tokens = lanes * steps * 8 * 256 * rounds
    speed = tokens / (ended - began)
    printf "%d nodes behind %s: idle network %.0f tokens/s (%.0f before, %.0f after); %d rounds in %.1f s\n", nodes, rate, idle, a, b, rounds, ended - began
    printf "utilisation, merged only: %.3f (%.0f tokens/s)\n", speed / idle, speed
    if (computed > 0) printf "utilisation, with checks: %.3f (%d lanes computed for %d merged)\n", speed / idle * computed / (lanes * rounds), computed, lanes * rounds
}'
printf '%s\n' "${worked[@]}" | awk -v took="$(awk -v a="$ended" -v b="$began" 'BEGIN { print a - b }')" '{ s += $1 } END {
    printf "workers computed %.3f of the time\n", s / NR / took }'
printf '%s\n' "${sent[@]}" | awk -v contribution="${contribution:-0}" -v lanes="$lanes" -v rounds=$((rounds - from)) -v nodes="$nodes" '{
    sum += $1
    printf "node %d sent %.1f MB\n", NR - 1, $1 / 1e6
} END {
    if (contribution > 0) printf "a node and round: %.1f MB, formula %.1f MB, ratio %.3f\n", sum / nodes / rounds / 1e6, (lanes / nodes + 1) * contribution / 1e6, sum / rounds / ((lanes + nodes) * contribution)
}'
printf '%s\n' "${used[@]}" | awk -v took="$(awk -v a="$ended" -v b="$began" 'BEGIN { print a - b }')" '{ printf "daemon %d: %.4f of a core\n", NR - 1, $1 / took }'
if [[ -n ${PYTORCH_DDP:-} ]]; then
    swarm_stop
    for ((i = 0; i < nodes; i++)); do
        ip netns exec "$link_prefix.node$i" python3 "$PYTORCH_DDP" --rank "$i" --world "$nodes" --master 10.79.0.10:29500 --interface eth0 --threads 1 &
    done
    wait $(jobs -p)
fi
[[ -z ${CHECK:-} ]] || same "digests of swarm and replay" "$(job_digest node0 "$task")" "$(replayed node0 "$task")"
