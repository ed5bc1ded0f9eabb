#!/usr/bin/env bash
# side_by_side.sh PROGRAM: runs every case of a Boost.Test program at the same time, each in a process of its own: for cases
# that mostly wait. Prints what each said; fails when one fails; 77 when all were skipped with that status.
set -euo pipefail
program=$(realpath "$1")
folder=$(mktemp -d "${TMPDIR:-/tmp}/tequio-cases.XXXXXX")
declare -A started
trap 'rm -rf "$folder"' EXIT
trap '((${#started[@]} == 0)) || kill "${started[@]}" 2>/dev/null || true; wait; exit 130' INT TERM HUP

mapfile -t cases < <("$program" --list_content 2>&1 | awk '/^[^ ]/ { suite = $1 } /^ / { print suite "/" $1 }' | tr -d '*')
((${#cases[@]} > 0)) || { printf '%s lists no cases\n' "$program" >&2; exit 1; }
for case in "${cases[@]}"; do
    "$program" --run_test="$case" --log_level=message >"$folder/${case//\//.}" 2>&1 &
    started[$case]=$!
done
failed=0 skipped=0
for case in "${cases[@]}"; do
    status=0
    wait "${started[$case]}" || status=$?
    printf -- '--- %s: status %s\n' "$case" "$status"
    cat "$folder/${case//\//.}"
    case $status in
        0) ;;
        77) skipped=$((skipped + 1)) ;;
        *) failed=$((failed + 1)) ;;
    esac
done
((failed == 0)) || { printf '%s of %s cases failed\n' "$failed" "${#cases[@]}" >&2; exit 1; }
((skipped < ${#cases[@]})) || exit 77
