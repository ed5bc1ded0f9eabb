#!/usr/bin/env bash
# What slow links cost a team: sliced_links.sh PROGRAM FORMAT RATE[,RATE...] [KEY=VALUE...]; as root. RATEs as tc writes them; the
# first is the yardstick. FORMAT: of activations and gradients at the cut (bf16, mxint8, f32).
#
# Two nodes of one thread each, in network namespaces behind links that tc's tbf limits both ways (no added delay), train gpt2-124m
# in two slices, which neither could hold whole: one lane a round, STEPS steps (4) of 8 micro-batches of 128 tokens; tokens are drawn
# as words are (the k-th most common one as 1/k). KEY=VALUE replaces lines of the job file. A first lane only warms up (it touches
# all memory for the first time); then each rate holds for one lane, in the order given, of which is printed
#
#   tokens a second     from its begin to its end at the first member, contribution and trace put together there, and the ratio to
#                       the mean of the lanes of the first rate
#   computed            processor time of the two workers meanwhile, and of all that is not workers, in shares of a core each:
#                       workers yield to everything, so a run beside other programs says little
#   bytes               sent by each interface, beside what the formula says that crosses the cut (micro-batches x tokens x width x
#                       bytes of the format, each way), rows of the tied embedding (float32; their number by the tokens'
#                       distribution), and the second member's blocks of the contribution
#
# With CHECK=1 the digest must be the replay's in one piece.
. "$(dirname "$0")/../support/scenario.sh"
. "$tests/support/namespaces.sh"

format=${1:-} steps=${STEPS:-4}
[[ $format =~ ^(f32|bf16|mxint8)$ && ${2:-} =~ ^[0-9]+[kmg]bit(,[0-9]+[kmg]bit)*$ && $steps =~ ^[1-9][0-9]*$ ]] ||
    die -2 "usage: sliced_links.sh PROGRAM FORMAT RATE[,RATE...] [KEY=VALUE...]"
IFS=, read -ra rates <<<"$2"
shift 2
((EUID == 0)) || die -5 "namespaces need root"

trap links_end EXIT

micro_batches=8 context=128 width=768
make_job "$folder/job" layers=12 heads=12 width=$width context=$context batch=$micro_batches micro_batch=1 lanes=1 \
    inner_steps="$steps" validation=0.0001 "$@" rounds=$((1 + ${#rates[@]}))
# The k-th most common token comes as often as 1/k; the program that reads it draws with a fixed seed.
perl -e 'srand 1; print pack "v*", map { int(50257 ** rand) - 1 } 1 .. 1300000' >"$folder/job/tokens.bin"
sed -i "s/^files = .*/files = [\"tokens.bin\"]/; s/^tokenizer = .*/vocabulary = 50257/; s/^cuts = .*/cuts = [9]/
    s/^activations = .*/activations = \"$format\"/" "$folder/job/job.toml"
plan=$("$tequio" job plan "$folder/job/job.toml" --threads 1 --json --quiet)
swarm_settings="$swarm_settings_default
memory = \"$(json_number memory_bytes <<<"$plan" | awk '{ printf "%dMiB", $1 * 0.9 / 1048576 }')\""
links_up tqslices "${rates[0]}" one two
swarm_behind_links
task=$(submit one "$folder/job")

# lane WHEN ROUND: waits until the first member begins on the lane of that round, or has ended it, asking its daemon ten times a
# second; prints when that was, processor seconds of both workers and of the whole machine, and the bytes that both interfaces have
# sent.
lane() {
    local name
    perl -MIO::Socket::UNIX -MTime::HiRes=time,sleep -e '
        my ($socket, $task, $when, $round) = @ARGV;
        for (my $end = time + 600; time < $end; sleep 0.1) {
            my $link = IO::Socket::UNIX->new($socket) or next;
            print $link "GET /api/v1/jobs/$task HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
            local $/;
            my $text = <$link>;
            my ($doing, $seat) = $text =~ /"doing":"([^"]*)"[^}]*"lead":(true)/ or next;
            my $works = $doing eq "round $round lane 0";
            if ($when eq "begun" ? $works : !$works) { printf "%.3f", time; exit 0 }
        }
        exit 1' "$swarm/$lead/api.sock" "$task" "$1" "$2" || die "no lane of round $2 is $1: $(node "$lead" job show "$task" --json)"
    for name in "$lead" "$second"; do awk '{ printf " %s", ($14 + $15) / 100 }' "/proc/$(worker_of "$name")/stat"; done
    awk '/^cpu / { printf " %s", ($2 + $3 + $4 + $7 + $8 + $9) / 100 }' /proc/stat
    for name in "$lead" "$second"; do
        printf ' %s' "$(ip netns exec "$link_prefix.$name" cat /sys/class/net/eth0/statistics/tx_bytes)"
    done
    printf '\n'
}
team_is() { node one job show "$task" --json | grep -q '"lead":true'; }
wait_for 180 "a team" team_is
lead=one second=two
[[ $(node one job show "$task" --json | tr '{' '\n' | grep '"lead":true' | json_text node) == "$(node_id one)" ]] || lead=two second=one

lane begun 0 >/dev/null
lane ended 0 >/dev/null
for i in "${!rates[@]}"; do
    for name in one two; do link_rate "$name" "${rates[i]}"; done
    printf '%s %s %s\n' "${rates[i]}" "$(lane begun $((i + 1)))" "$(lane ended $((i + 1)))" >>"$folder/lanes"
done
json_array() { tr -d '\n' | grep -oE "\"$1\":[0-9]+" | cut -d: -f2 | tr '\n' ' '; }
awk -v format="$format" -v tokens=$((steps * micro_batches * context)) -v message="$(json_array message_bytes <<<"$plan")" \
    -v parameters="$(json_array parameters <<<"$plan")" -v crossings=$((steps * micro_batches)) -v width=$width -v steps="$steps" '
    NR == 1 { yardstick = $1 }
    { rate[NR] = $1; took[NR] = $8 - $2; for (i = 1; i <= 5; ++i) more[NR, i] = $(8 + i) - $(2 + i) }
    $1 == yardstick { sum += $8 - $2; ++lanes }
    END {
        split(message, messages); split(parameters, slices)
        cut = crossings * messages[1]
        each = tokens / steps
        for (k = 1; k < 50257; ++k) rows += 1 - exp(each * log(1 - log((k + 1) / k) / log(50257)))
        rows *= steps * width * 4
        blocks = slices[3] / 32 * 33
        for (n = 1; n <= NR; ++n) {
            printf "%s at %s: %d tokens in %.1f s, %.1f tokens/s, %.3f of %s; workers computed %.3f and %.3f of the time, others %.3f\n",
                format, rate[n], tokens, took[n], tokens / took[n], sum / lanes / took[n], yardstick, more[n, 1] / took[n],
                more[n, 2] / took[n], (more[n, 3] - more[n, 1] - more[n, 2]) / took[n]
            printf "    the first sent %.2f MB: activations %.2f + rows %.2f, ratio %.3f; ",
                more[n, 4] / 1e6, cut / 1e6, rows / 1e6, more[n, 4] / (cut + rows)
            printf "the second %.2f MB: gradients %.2f + rows %.2f + blocks %.2f, ratio %.3f\n",
                more[n, 5] / 1e6, cut / 1e6, rows / 1e6, blocks / 1e6, more[n, 5] / (cut + rows + blocks)
        }
    }' "$folder/lanes"
[[ -n ${CHECK:-} ]] || exit 0
finished "$lead" "$task" 300
digest=$(job_digest "$lead" "$task")
swarm_stop
same "digests of the team and of the replay" "$digest" \
    "$("$tequio" job replay "$folder/job/job.toml" --quiet --json | json_text state_digest)"
