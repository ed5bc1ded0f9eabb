#!/usr/bin/env bash
# Configurations with one fault each, and what is typed at the governor: exit 2, with file, line,
# key, what was found and what is allowed. (tests/unit/node has the long list.)
. "$(dirname "$0")/../support/scenario.sh"

export TEQUIO_DATA_DIR=$folder/data XDG_CONFIG_HOME=$folder/config
mkdir -p "$folder/config/tequio"
file=$folder/config/tequio/config.toml

# refused TEXT WORDS...: by the check and by the daemon, in the default file and in one that is named.
refused() {
    local text=$1
    shift
    printf '\n%s\n' "$text" >"$file"
    ends 2 "$tequio" config check
    says "$file:2" allowed "$@"
    printf '%s\n' "$output"
    ends 2 "$tequio" node
    says "$file:2" allowed "$@"
    printf '\n%s\n' "$text" >"$folder/named.toml"
    ends 2 "$tequio" node --config "$folder/named.toml"
    says "$folder/named.toml:2" "$@"
}
refused 'limits.idle.threads = -1' limits.idle.threads -1 "1 to 1024"
refused 'limits.in_use.threads = -1' limits.in_use.threads -1 "0 to 1024"
refused 'limits.idle.threads = "101 %"' limits.idle.threads "101 %" "100 %"
refused 'limits.in_use.memory = "101 %"' limits.in_use.memory "101 %" "50 %"
refused 'limits.idle.memory = "1MiB"' limits.idle.memory 1MiB 64MiB
refused 'limits.disk = "1KiB"' limits.disk 1KiB "64.0 MiB"
refused 'schedule = "25:00"' schedule 25:00 "00:00 to 24:00"
refused 'schedule = ["22:00-07:00", "25:00-07:00"]' schedule 25:00-07:00 "00:00 to 24:00"
refused 'idle.after = "soon"' idle.after soon 2min
refused 'idle.after = "10ms"' idle.after 10ms "1 s"
refused 'power.max_temperature = "500C"' power.max_temperature 500C 110C
refused 'network.metered = "1kbit/s"' network.metered 1kbit/s 64kbit/s
refused 'network.download_limit = "fast"' network.download_limit fast 20Mbit/s
refused 'network.monthly_traffic = "200"' network.monthly_traffic 200 1MiB
refused 'limits.idle.threads = 0' limits.idle.threads "found 0" "1 to 1024"
refused 'limits.idle.threads = 1.5' limits.idle.threads 1.5 "1 to 1024"
refused 'limits.keep_free = "101 %"' limits.keep_free "101 %" "95 %"
refused 'accept.jobs_per_submitter = -1' accept.jobs_per_submitter -1 "whole number"
refused 'network.listen = "nowhere"' network.listen nowhere HOST:PORT
refused 'network.peers = ["localhost:47100", "nowhere"]' network.peers nowhere HOST:PORT
refused 'network.peers = ["localhost:0"]' network.peers localhost:0 HOST:PORT
[[ ! -e $folder/data/api.sock ]] || die "a daemon began with a bad configuration"

rm "$file"
for span in banana -1s 0s 5; do
    ends 2 "$tequio" pause --for="$span"
    says "--for" "$span" "allowed" "2min"
done
printf 'limits.in_use.threads = "25 %%"\nschedule = "22:00-07:00"\n' >"$file"
ends 0 "$tequio" config show --origin
says "limits.in_use.threads = 25 %" "$file:1" "schedule = 22:00-07:00" "$file:2"
