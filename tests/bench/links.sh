#!/usr/bin/env bash
# What slow links cost: links.sh PROGRAM NODES RATE[,RATE...] [KEY=VALUE...]; as root. RATEs as tc writes them: 1gbit,20mbit.
#
# NODES nodes of one thread each, in network namespaces behind links that tc's tbf limits both ways (no added delay), train the
# preset small-10m (tokens of 65 kinds, as `bench train` has them): diloco, mxint8, 2 lanes a node, H = 100; KEY=VALUE replaces
# lines of the job file. The nodes get to know one another in a small job first, else every lane is computed twice; with
# STRANGERS=1 they do not. Of the large job FROM rounds (1: nodes join in it) are not measured; then each RATE holds for ROUNDS
# rounds (1), of which is printed
#
#   utilisation   merged tokens a second beside what as many processes of `bench train`, a thread each, reach side by side just
#                 before and after. `merged only` counts a lane once however often it was computed; `with checks` counts every
#                 lane that workers computed
#   computed      processor time of the workers, lanes and checks and sums, in shares of a core each: what waits for the
#                 network, or for another node, is missing from it; steadier than the above where the machine's speed is not
#   bytes         sent by each interface, beside (lanes run + 1) contributions a node and round
#   daemons       processor time of the nodes' daemons, without their workers, in shares of a core
#
# and, with PYTORCH_DDP=FILE naming a script that takes --rank, --world, --master, --interface, --threads, --steps and prints
# tokens_per_second, what that reaches behind the same links (PYTORCH_STEPS steps, 6). The digest must
# be the replay's with CHECK=1 (it takes as long as the job).
. "$(dirname "$0")/../support/scenario.sh"
. "$tests/support/namespaces.sh"

nodes=${1:-} from=${FROM:-1} each=${ROUNDS:-1}
[[ $nodes =~ ^[2-9]$ && ${2:-} =~ ^[0-9]+[kmg]bit(,[0-9]+[kmg]bit)*$ && $from =~ ^[0-9]+$ && $each =~ ^[1-9][0-9]*$ ]] ||
    die -2 "usage: links.sh PROGRAM NODES RATE[,RATE...] [KEY=VALUE...]"
IFS=, read -ra rates <<<"$2"
shift 2
((EUID == 0)) || die -5 "namespaces need root"
names=() rounds=$((from + each * ${#rates[@]}))
for ((i = 0; i < nodes; i++)); do names+=("node$i"); done

trap links_end EXIT
links_up tqlinks "${rates[0]}" "${names[@]}"

# idle_speed: tokens a second of that many processes side by side, summed; in the workers' scheduling class, which costs a part of it.
idle_speed() {
    local i
    for ((i = 0; i < nodes; i++)); do
        chrt --idle 0 "$tequio" bench train --preset small-10m --threads 1 --json --quiet >"$folder/speed$i.json" 2>"$folder/speed.log" &
    done
    wait $(jobs -p)
    for ((i = 0; i < nodes; i++)); do json_number tokens_per_second <"$folder/speed$i.json"; done | awk '{ s += $1 } END { print s }'
}
# merged ROUND: waits for it, looking four times a second; prints when it was seen. One process, which asks the daemon itself:
# workers yield to everything, so starting the program as often would take their time.
merged() {
    perl -MIO::Socket::UNIX -MTime::HiRes=time,sleep -e '
        my ($socket, $task, $wanted) = @ARGV;
        for (my $end = time + 3600; time < $end; sleep 0.25) {
            my $link = IO::Socket::UNIX->new($socket) or next;
            print $link "GET /api/v1/jobs/$task HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
            local $/;
            my ($round) = <$link> =~ /"round":(\d+)/;
            if (defined $round && $round >= $wanted) { printf "%.3f\n", time; exit 0 }
        }
        exit 1' "$folder/node0/api.sock" "$task" "$1" || die "round $1 does not come: $(node node0 job show "$task" --json)"
}
# look WHEN: a line for each node: when, lanes computed so far, the worker's and the daemon's seconds, bytes sent.
look() {
    local i name
    for ((i = 0; i < nodes; i++)); do
        name=node$i
        printf '%s %s %s %s %s\n' "$1" "$(node $name job show "$task" --json | json_number results)" \
            "$(node $name status --json | json_number worker_cpu_seconds)" \
            "$(awk '{ print ($14 + $15) / 100 }' "/proc/${swarm_pid[$name]}/stat")" \
            "$(ip netns exec "$link_prefix.$name" cat /sys/class/net/eth0/statistics/tx_bytes)"
    done
}

swarm_behind_links --threads 1

make_job "$folder/job" layers=6 heads=6 width=384 context=256 batch=8 micro_batch=8 lanes=$((2 * nodes)) inner_steps=100 \
    validation=0.0005 "$@" rounds=$rounds
perl -e 'srand 1; print pack "v*", map { int rand 65 } 1 .. 1000000' >"$folder/job/tokens.bin"
sed -i 's/^files = .*/files = ["tokens.bin"]/; s/^tokenizer = .*/vocabulary = 65/' "$folder/job/job.toml"
lanes=$(sed -n 's/^lanes = //p' "$folder/job/job.toml") steps=$(sed -n 's/^inner_steps = //p' "$folder/job/job.toml")
if [[ -z ${STRANGERS:-} ]]; then
    # More than 20 results of each were matched, and nothing of it waits for its check when the clock runs.
    make_job "$folder/small" lanes=$((4 * nodes)) rounds=8
    finished node0 "$(submit node0 "$folder/small")" 300
fi
before=$(idle_speed)
printf 'side by side, network idle: %s tokens/s\n' "$before"
task=$(submit node0 "$folder/job")
look "$(merged "$from")" >"$folder/look.0"
for i in "${!rates[@]}"; do
    for name in "${names[@]}"; do link_rate "$name" "${rates[i]}"; done
    look "$(merged $((from + each * (i + 1))))" >"$folder/look.$((i + 1))"
done
# Checks of the last rounds go on, and would for a lane's time; the nodes are not asked for more.
digest=$(job_digest node0 "$task")
swarm_stop
after=$(idle_speed)
printf '%d nodes, %d lanes of %d steps; network idle %.0f tokens/s before, %.0f after\n' "$nodes" "$lanes" "$steps" "$before" "$after"
contribution=$("$tequio" job plan "$folder/job/job.toml" --json | json_number contribution_bytes)
for i in "${!rates[@]}"; do
    paste -d ' ' "$folder/look.$i" "$folder/look.$((i + 1))" | awk -v rate="${rates[i]}" -v idle="$before $after" -v lanes="$lanes" \
        -v steps="$steps" -v rounds="$each" -v contribution="$contribution" '{
            took = $6 - $1; computed += $7 - $2; worked += $8 - $3; sent += $10 - $5
            daemons = daemons sprintf(" %.4f", ($9 - $4) / took)
        } END {
            split(idle, speeds)
            merged = lanes * rounds
            speed = merged * steps * 8 * 256 / took
            used = speed / ((speeds[1] + speeds[2]) / 2)
            printf "%s: %d rounds in %.1f s, %.0f tokens/s; utilisation %.3f merged only, %.3f with checks (%d lanes computed for %d)\n",
                rate, rounds, took, speed, used, used * computed / merged, computed, merged
            printf "    workers computed %.3f of the time; a node and round sent %.1f MB, formula %.1f MB, ratio %.3f; daemons%s of a core\n",
                worked / NR / took, sent / NR / rounds / 1e6, (lanes / NR + 1) * contribution / 1e6,
                sent / rounds / ((lanes + NR) * contribution), daemons
        }'
done
[[ -z ${CHECK:-} ]] || same "digests of swarm and replay" "$digest" "$(replayed node0 "$task")"
if [[ -n ${PYTORCH_DDP:-} ]]; then
    for rate in "${rates[@]}"; do
        for ((i = 0; i < nodes; i++)); do
            link_rate "node$i" "$rate"
            ip netns exec "$link_prefix.node$i" python3 "$PYTORCH_DDP" --rank "$i" --world "$nodes" --master 10.79.0.10:29500 \
                --interface eth0 --threads 1 --steps "${PYTORCH_STEPS:-6}" &
        done
        printf '%s, PyTorch DDP:\n' "$rate"
        wait $(jobs -p)
    done
fi
