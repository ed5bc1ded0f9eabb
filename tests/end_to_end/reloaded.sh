#!/usr/bin/env bash
# reloaded.sh PROGRAM: a configuration that is read again counts at once: peers, room on the disk, limits; what cannot change
# while the node runs is named, in the log and in `status`; a bad one changes nothing and is named too.
. "$(dirname "$0")/../support/scenario.sh"

field() { node "$1" status --json | json_text "$2"; }
# reload TEXT LOG: one's configuration becomes TEXT; waits until its log has a new line with LOG.
reload() {
    local before
    before=$(grep -c "$2" "$folder/one.log" || true)
    printf '%s\n' "$1" >"$folder/one.toml"
    kill -HUP "${swarm_pid[one]}"
    wait_for 10 "the log: $2" said_again "$2" "$before"
}
said_again() { (($(grep -c "$1" "$folder/one.log") > $2)); }
good='the configuration was read again'

node_start one
node_start two
[[ $(node one status --json | json_number peers) == 0 ]] || die "the nodes know one another already"
disk='limits.keep_free = "0 %"'
reload "network.peers = [\"$(node_address two)\"]"$'\n'"$disk" "$good$"
wait_for 20 "the peer of the new configuration" swarm_has_peers 1 one
[[ -z $(field one needs_restart) ]] || die "all can change: $(field one needs_restart)"

# Less room, and more again.
mkdir "$folder/job"
head -c 70000000 /dev/zero | tr '\0' 'a' >"$folder/job/text"
make_job "$folder/job"
reload 'limits.disk = "64MiB"'$'\n'"$disk" "$good$"
ends 1 node one job submit "$folder/job/job.toml"
says limits.disk "64.0 MiB"
node one status | grep -q 'needs a restart' && die "nothing needs a restart"
reload 'limits.disk = "1GiB"'$'\n'"$disk" "$good$"
submit one "$folder/job" >/dev/null || die "the new limits.disk does not count"

# What one submitter's jobs may come to need, all rounds included.
make_job "$folder/longer" rounds=64
reload 'accept.disk_per_submitter = "1MiB"'$'\n'"$disk" "$good$"
ends 5 node one job submit "$folder/longer/job.toml"
says "accept.disk_per_submitter is 1.0 MiB" "the job may need"
reload "$disk" "$good$"
submit one "$folder/longer" >/dev/null || die "the new accept.disk_per_submitter does not count"

# The log's form.
reload 'log.format = "json"'$'\n'"$disk" "$good\"}\$"
tail -n 1 "$folder/one.log" | perl -MJSON::PP -e '
    my $line = decode_json(<STDIN>);
    die "not an object of a log\n" unless $line->{time} =~ /^20.*Z$/ && $line->{level} eq "info" && length $line->{message};
' || die "no JSON: $(tail -n 1 "$folder/one.log")"
reload "$disk" "$good$"

# A bad one: nothing of it counts, not even the good lines.
threads() { node one status --json | json_number threads_limit; }
before=$(threads)
reload 'limits.idle.threads = 1'$'\n''network.peers = ["nowhere"]' 'the configuration stays as it was'
output=$(node one status)
says 'the configuration stays as it was' 'one.toml:2 network.peers: found a list, allowed: HOST:PORT' '"nowhere" is not'
[[ $(threads) == "$before" ]] || die "a part of a bad configuration counts"
printf 'log.level = 7\n' >"$folder/one.toml"
output=$(curl -sS --unix-socket "$folder/one/api.sock" -X POST http://node/api/v1/reload)
says error one.toml:1 log.level

# Where it listens stays; the flag that node_start gives would make the key unimportant, so this node is started by hand.
printf '%s\nnetwork.listen = "127.0.0.1:0"\n' "$disk" >"$folder/three.toml"
TEQUIO_DATA_DIR=$folder/three XDG_CONFIG_HOME=$folder/three.config setsid "$tequio" node --always \
    --config "$folder/three.toml" >>"$folder/three.log" 2>&1 </dev/null &
swarm_pid[three]=$! swarm_names+=(three)
disown $!
wait_for 20 "node three to answer" node_answers three
where=$(node_address three)
printf '%s\nnetwork.listen = "127.0.0.1:1"\n' "$disk" >"$folder/three.toml"
kill -HUP "${swarm_pid[three]}"
wait_for 10 "the log to name it" grep -q "needs a restart: network.listen ($where until then)" "$folder/three.log"
[[ $(node_address three) == "$where" && $(field three needs_restart) == network.listen* ]] || die "$(node three status)"
output=$(node three status)
says "needs a restart: network.listen"
printf '%s\nnetwork.listen = "127.0.0.1:0"\n' "$disk" >"$folder/three.toml"
kill -HUP "${swarm_pid[three]}"
settled() { [[ -z $(field three needs_restart) ]]; }
wait_for 10 "what is in force to be wanted again" settled
