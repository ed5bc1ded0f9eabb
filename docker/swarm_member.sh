#!/bin/sh
# One node of a compose swarm. Beside the node, once: the first founds the swarm and leaves an
# invitation in /invitation, the others wait for it and join.
#
#   swarm_member found NAME    or    swarm_member join
set -eu

invitation=/invitation/line

enter_swarm() {
    left=30
    until tequio status --quiet >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || { echo "swarm_member: the node does not answer" >&2; return 1; }
        sleep 1
    done
    [ -z "$(tequio swarm list --quiet)" ] || return 0
    case $1 in
        found)
            tequio swarm new "$2"
            tequio swarm invite --address "$(hostname):47100" --expires 30d >"$invitation.new"
            mv "$invitation.new" "$invitation"
            ;;
        join)
            until [ -s "$invitation" ]; do sleep 1; done
            tequio swarm join "$(cat "$invitation")"
            ;;
    esac
}

enter_swarm "$@" &
# All of the swarm share this machine: none must stop for the others' load.
exec tequio node --always
