#!/usr/bin/env bash
# agent_door.sh PROGRAM: the daemon of a machine, as one user, hears the agents of others at a socket of its own, and
# nothing else than reports gets through; what a hostile user sends there costs next to nothing and takes back nothing.
# Needs to become several users: 77 (skipped) without root.
((EUID == 0)) && command -v setpriv >/dev/null || { echo 'this takes root and setpriv: several users report'; exit 77; }
. "$(dirname "$0")/../support/scenario.sh"

helper=$folder/give_back.pl # this checkout may be closed to others
cp "$tests/support/give_back.pl" "$helper"
daemon_user=64001 alice=64002 mallory=64003
as() {
    become "$1"
    shift
    "${to[@]}" "$@"
}
# become USER: what to put before a command in $to; in the background, so that $! is the command itself.
become() { to=(setpriv --reuid="$1" --regid="$1" --clear-groups --no-new-privs); }
field() { as "$daemon_user" env TEQUIO_DATA_DIR="$folder/data" HOME="$folder" "$tequio" status --json | json_text "$1"; }
report() { as "$1" perl "$helper" put "$door" /api/v1/agent "{\"source\":\"$2\",\"idle_ms\":$3,\"locked\":$4,\"full_screen\":null}"; }

chmod 755 "$folder"
door=$folder/run/agent.sock
mkdir "$folder/data" "$folder/run"
chown "$daemon_user:$daemon_user" "$folder/data" "$folder/run"
chmod 700 "$folder/data"
cp "$tequio" "$folder/tequio" # the build folder may be closed to others
tequio=$folder/tequio
start() {
    become "$daemon_user"
    "${to[@]}" env TEQUIO_DATA_DIR="$folder/data" XDG_CONFIG_HOME="$folder/none" HOME="$folder" \
        "$tequio" node --agent-socket "$door" >>"$folder/daemon.log" 2>&1 </dev/null &
    daemon=$!
    swarm_pid[door]=$daemon swarm_names=(door) # ended with the test, however that ends
    wait_for 20 "the door" test -S "$door"
    wait_for 20 "the daemon to answer" answers
}
answers() { [[ -n $(field state 2>/dev/null) ]]; }
stop() {
    kill -TERM "$daemon"
    wait "$daemon" || die "the daemon ended with status $?"
}
start
[[ $(stat -c %a "$door") == 666 ]] || die "mode of the door: $(stat -c %a "$door")"
[[ $(stat -c %a "$folder/data/api.sock") == 600 ]] || die "the owner's own socket is open to others"

# Nothing but a report, whoever asks; the daemon's own user has another socket for the rest.
closed() {
    local user
    for user in "$alice" "$daemon_user" 0; do
        ends 22 as "$user" curl -sS --fail-with-body --unix-socket "$door" -X "$1" "http://node$2" -d "${3-}"
        says "reports of session agents"
    done
}
closed POST /api/v1/pause '{}'
closed POST /api/v1/resume
closed POST /api/v1/drain exit
closed POST /api/v1/reload
closed POST /api/v1/jobs x
closed POST /api/v1/swarm/leave
closed POST /api/v1/swarm/invite '{}'
closed POST /api/v1/agent '{}'
closed PUT /api/v1/test/idle '{"idle_ms":0}'
closed PUT /api/v1/agent/x
closed GET /api/v1/status
closed GET /api/v1/peers
closed GET /api/v1/agent
ends 7 as "$alice" curl -sS --unix-socket "$folder/data/api.sock" http://node/api/v1/status
ends 22 as "$alice" curl -sS --fail-with-body --unix-socket "$door" -X PUT http://node/api/v1/agent -d '{"source":"cat"}'
says source wayland
ends 56 as "$alice" curl -sS --unix-socket "$door" -X PUT http://node/api/v1/agent -d "$(head -c 4000 /dev/zero | tr '\0' x)"
[[ $(field state) != stopping && -z $(field reason_code | grep paused_by_owner) ]] || die "a stranger commanded the node"

# Alice is there; Mallory says that nobody is, and that all is locked, as often as the door takes it.
report "$alice" wayland 0 false >/dev/null
seen() { [[ $(field idle_source) == "$1" && $(field governor_code) == "$2" ]]; }
wait_for 5 "Alice to be seen" seen wayland user_active
for ((i = 0; i < 30; ++i)); do report "$mallory" x11 86400000 true >/dev/null; done
seen wayland user_active || die "Mallory overruled Alice: $(field idle_source), $(field governor_code)"

# Many connections of one user leave room for another's; what comes too fast is answered later, at 25 a second.
become "$mallory"
"${to[@]}" perl -MIO::Socket::UNIX -e '
    my @kept = map { IO::Socket::UNIX->new(Peer => $ARGV[0]) } 1 .. 100;
    $| = 1; print "held\n"; sleep 30' "$door" >"$folder/held" &
holder=$!
wait_for 10 "a hundred connections" test -s "$folder/held"
report "$alice" wayland 0 false >/dev/null || die "no room for Alice"
kill "$holder"
wait "$holder" || true
ticks() { awk '{ print $14 + $15 }' "/proc/$daemon/stat"; }
before=$(ticks) answered=$(as "$mallory" perl -MIO::Socket::UNIX -MTime::HiRes=time -e '
    my ($body, $count, $end) = (q({"source":"x11","idle_ms":0,"locked":false,"full_screen":null}), 0, time + 4);
    while (time < $end) {
        my $link = IO::Socket::UNIX->new(Peer => $ARGV[0]) or next;
        $link->syswrite("PUT /api/v1/agent HTTP/1.1\r\nContent-Length: " . length($body) . "\r\n\r\n$body");
        ++$count if $link->sysread(my $answer, 4096);
    }
    print $count' "$door")
used=$(($(ticks) - before))
printf 'in 4 s of reports without a pause: %s answered, %s ms of processor time\n' "$answered" "$((used * 10))"
((answered <= 25 * 6)) || die "$answered reports in 4 s"
((answered >= 25)) || die "only $answered reports in 4 s"
((used <= 20)) || die "the flood cost $((used * 10)) ms in 4 s"

# The door is taken over from a daemon that was killed, never from one that lives, nor from a file.
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
[[ -S $door ]] || die "a killed daemon cleaned up"
start
mkdir "$folder/other"
ends 1 env TEQUIO_DATA_DIR="$folder/other" XDG_CONFIG_HOME="$folder/none" "$tequio" node --agent-socket "$door"
says "$door" "another daemon"
stop
[[ ! -e $door ]] || die "the door stays behind"
echo text >"$folder/text"
ends 1 env TEQUIO_DATA_DIR="$folder/other" XDG_CONFIG_HOME="$folder/none" "$tequio" node --agent-socket "$folder/text"
says "$folder/text" "not a socket"
[[ $(<"$folder/text") == text ]] || die "a file was taken for a socket"
