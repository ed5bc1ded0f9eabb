#!/usr/bin/env bash
# security_claims.sh PROGRAM SOURCE: every claim of SECURITY.md names tests, and those tests exist.
set -euo pipefail
cd "$2"
# Rows of the tables whose last column names tests in backticks.
rows=$(awk -F'|' '/^\| / && $(NF-1) ~ /`[a-z0-9_.]+`/ { print $(NF-1) }' SECURITY.md)
bare=$(awk -F'|' '/^## / { checked = 0 } /checked by/ { checked = 1; next } /^\|---/ { next }
    checked && /^\| / && $(NF-1) !~ /`[a-z0-9_.]+`/' SECURITY.md)
[[ -z $bare ]] || { printf 'claims without a test:\n%s\n' "$bare"; exit 1; }
count=0
for name in $(grep -o '`[a-z0-9_.]*`' <<<"$rows" | tr -d '`'); do
    case $name in
        *.sh) [[ -f tests/end_to_end/$name ]] || { echo "no scenario $name"; exit 1; } ;;
        *) grep -rqE "CASE\($name[,)]" tests --include='*.cpp' || { echo "no test case $name"; exit 1; } ;;
    esac
    count=$((count + 1))
done
((count >= 40)) || { echo "only $count tests found: the table's form has changed"; exit 1; }
echo "$count tests stand behind the claims"
