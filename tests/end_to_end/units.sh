#!/usr/bin/env bash
# units.sh PROGRAM SOURCE: the units are well-formed, and the system unit's exposure is 3.0 or better. 77 (skipped) where
# there is no systemd-analyze of 252 or newer, which is when it learned to judge files.
set -euo pipefail
program=$(realpath "$1") units=$2/node/service
command -v systemd-analyze >/dev/null || { echo 'no systemd-analyze here'; exit 77; }
version=$(systemd-analyze --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
((${version:-0} >= 252)) || { echo "systemd-analyze $version is too old"; exit 77; }
folder=$(mktemp -d "${TMPDIR:-/tmp}/tequio-units.XXXXXX")
trap 'rm -rf "$folder"' EXIT

# verify wants programs that exist; the units name ours without a path.
for kind in system user; do mkdir "$folder/$kind"; done
for file in tequio.service tequio.slice; do cp "$units/$file" "$folder/system/$file"; done
cp "$units/user_tequio.service" "$folder/user/tequio.service"
for file in tequio.slice tequio-agent.service; do cp "$units/$file" "$folder/user/$file"; done
sed -i "s|^ExecStart=tequio |ExecStart=$program |" "$folder"/*/*.service
grep -q "^ExecStart=$program node --agent-socket %t/tequio/agent.sock$" "$folder/system/tequio.service"

# Unknown keys and values are warnings, which do not change the exit status; here they do.
verified() {
    local output
    output=$(systemd-analyze verify --man=no --recursive-errors=no "$@" 2>&1) || { echo "$output"; return 1; }
    output=$(grep -F "$folder" <<<"$output" || true)
    [[ -z $output ]] || { printf 'verify says: %s\n' "$output"; return 1; }
}
verified "$folder/system/tequio.service" "$folder/system/tequio.slice"
export XDG_RUNTIME_DIR=$folder/run
mkdir -m 700 "$XDG_RUNTIME_DIR"
verified --user "$folder/user/tequio.service" "$folder/user/tequio.slice" "$folder/user/tequio-agent.service"
echo '[Service]' >"$folder/system/wrong.service"
printf 'ExecStart=%s\nNoSuchSetting=1\n' "$program" >>"$folder/system/wrong.service"
! verified "$folder/system/wrong.service" >/dev/null || { echo 'a wrong unit was not noticed'; exit 1; }

judged() { systemd-analyze security --offline=true --threshold="$1" "$folder/system/tequio.service"; }
judged 30 | tail -n 1
! judged 5 >/dev/null 2>&1 || { echo 'no unit with a network scores 0.5: nothing was judged'; exit 1; }
