# What demo.sh, test.sh and tests/support/swarm.sh share: how they speak, and reading the program's JSON.
# shellcheck shell=bash

if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' dim='' green='' red='' plain=''
fi

say() { printf '%s\n' "$*"; }
note() { printf '  %s%s%s\n' "$dim" "$*" "$plain"; }

# Says why, on stderr, and ends the script. die [-STATUS] MESSAGE
die() {
    local status=1
    if [[ $1 == -[0-9]* ]]; then
        status=${1#-}
        shift
    fi
    printf '%s%s%s\n' "$red" "$*" "$plain" >&2
    exit "$status"
}

# phase NAME: a headline; the time of the phase before it is printed and kept in phase_times.
phase_name='' phase_start=0 phase_times=()
phase() {
    phase_end
    phase_name=$1 phase_start=$SECONDS
    printf '\n%s== %s%s\n' "$bold" "$1" "$plain"
}
phase_end() {
    [[ -n $phase_name ]] || return 0
    local took
    took=$(minutes $((SECONDS - phase_start)))
    phase_times+=("$phase_name $took")
    printf '%s   %s took %s%s\n' "$dim" "$phase_name" "$took" "$plain"
    phase_name=''
}
minutes() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# json_text KEY, json_number KEY: the first such field of the JSON on stdin; empty when there is none.
# Enough for the flat fields read here; a JSON tool would be one more package to install.
json_text() { { tr -d '\n' | grep -o "\"$1\" *: *\"[^\"]*\"" || true; } | head -n 1 | sed 's/.*: *"\(.*\)"$/\1/'; }
json_number() { { tr -d '\n' | grep -oE "\"$1\" *: *(-?[0-9.eE+-]+|true|false)" || true; } | head -n 1 | sed 's/.*: *//'; }

# wait_for SECONDS WHAT COMMAND...: until the command succeeds; a message naming WHAT when the time is up.
wait_for() {
    local limit=$1 what=$2 deadline=$((SECONDS + $1))
    shift 2
    until "$@"; do
        if ((SECONDS >= deadline)); then
            printf 'waited %s s in vain for: %s\n' "$limit" "$what" >&2
            return 1
        fi
        sleep 0.1
    done
}
