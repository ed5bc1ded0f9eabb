#!/usr/bin/env bash
# installed.sh PROGRAM BUILD: cmake --install gives the program, its licence, a sample configuration and the units of
# systemd, and the program understands the sample, which names every key there is.
. "$(dirname "$0")/../support/scenario.sh"

build=$1
cmake --install "$build" --prefix "$folder/usr" >/dev/null
installed=$(find "$folder/usr" -type f | sed "s|$folder/usr/||" | sort | tr '\n' ' ')
expected="bin/tequio lib/systemd/system/tequio.service lib/systemd/system/tequio.slice "
expected+="lib/systemd/user/tequio-agent.service lib/systemd/user/tequio.service lib/systemd/user/tequio.slice "
expected+="lib/sysusers.d/tequio.conf share/doc/tequio/LICENSE share/doc/tequio/README.service.md share/doc/tequio/config.toml "
same "installed files" "$expected" "$installed"
export XDG_CONFIG_HOME=$folder/config TEQUIO_DATA_DIR=$folder/data
mkdir -p "$folder/config/tequio"
cp "$folder/usr/share/doc/tequio/config.toml" "$folder/config/tequio/config.toml"
"$folder/usr/bin/tequio" --version
ends 0 "$folder/usr/bin/tequio" config check
rm "$folder/config/tequio/config.toml"
values=$("$tequio" config show)
cp "$folder/usr/share/doc/tequio/config.toml" "$folder/config/tequio/config.toml"
same "values with the sample and without" "$values" "$("$tequio" config show)" >/dev/null
