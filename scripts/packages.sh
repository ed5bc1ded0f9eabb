#!/usr/bin/env bash
# The one list of Debian 12 packages, and the one way they get installed.
#
#   scripts/packages.sh KIND                  prints the names of one kind (docker/Dockerfile does this)
#   . scripts/packages.sh                     gives the functions below to demo.sh and test.sh
#
# Nothing here is installed without saying so first; nothing installed is ever removed.

# Prints the packages of one kind, a line each.
#   build    what building the program needs
#   tests    what the tests need on top of that
#   desktop  a Wayland compositor that lacks ext-idle-notify-v1, for one more test of the session agent
#   runtime  what the built program needs, on a machine that does not build
#   cross    a compiler for 64-bit Arm and an emulator, to run the conformance programs there
#   arm64    libraries of the arm64 port that those programs are linked with; unpacked, never installed
packages_of() {
    case $1 in
        build) printf '%s\n' g++ cmake ninja-build pkg-config protobuf-compiler \
            libboost1.81-dev libboost-json1.81-dev libcli11-dev libhwy-dev libpcre2-dev libprotobuf-dev \
            libseccomp-dev libsodium-dev libspdlog-dev libsqlite3-dev libssl-dev libsystemd-dev libtomlplusplus-dev \
            libwayland-dev libxau-dev libxcb-screensaver0-dev libxcb1-dev wayland-protocols ;;
        tests) printf '%s\n' ccache curl dbus-daemon libboost-test1.81-dev librapidcheck-dev openssl perl sqlite3 xdotool xvfb ;;
        desktop) printf '%s\n' weston ;;
        runtime) printf '%s\n' libboost-json1.81.0 libhwy1 libpcre2-8-0 libprotobuf-lite32 libseccomp2 libsodium23 \
            libspdlog1.10 libsqlite3-0 libssl3 libsystemd0 libwayland-client0 libxau6 libxcb-screensaver0 libxcb1 ;;
        cross) printf '%s\n' g++-aarch64-linux-gnu qemu-user ;;
        arm64) printf '%s\n' libboost-test1.81-dev libsodium-dev libssl-dev ;;
        *) printf 'packages.sh: "%s" is no kind of package (has: build, tests, desktop, runtime, cross, arm64)\n' "$1" >&2
            return 2 ;;
    esac
}

# Prints those of the named packages that are not installed.
packages_missing() {
    local name
    for name in "$@"; do
        [[ $(dpkg-query -W -f ' ${db:Status-Status} ' "$name" 2>/dev/null) == *' installed '* ]] ||
            printf '%s\n' "$name"
    done
}

# True when apt's lists are there and were fetched within the last seven days.
packages_lists_fresh() {
    compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null &&
        [[ -n $(find /var/lib/apt/lists /var/lib/apt/lists/partial -maxdepth 0 -mtime -7 2>/dev/null) ]]
}

# Fills packages_wanted with what is missing of the given kinds and packages_update with whether the
# lists must be fetched first (also when $packages_lists_needed is yes and nothing is missing).
packages_look() {
    local kind names=()
    packages_wanted=() packages_update=no
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        printf '%s\n' "There is no apt-get here: these scripts know Debian 12 only." \
            "Install what README.md names under \"Building\", then say --no-packages." >&2
        return 5
    fi
    for kind in "$@"; do
        mapfile -t -O "${#names[@]}" names < <(packages_of "$kind")
    done
    mapfile -t packages_wanted < <(packages_missing "${names[@]}")
    if ((${#packages_wanted[@]})) || [[ ${packages_lists_needed:-no} == yes ]]; then
        packages_lists_fresh || packages_update=yes
    fi
}

# packages_announce KIND...: looks, and says in one line what packages_install will do.
packages_announce() {
    packages_look "$@" || return
    if ((${#packages_wanted[@]})); then
        printf '  packages    %s of Debian, named with their size before they are installed\n' "${#packages_wanted[@]}"
    else
        printf '  packages    none: all that is needed is installed\n'
    fi
}

# Fills packages_as with the words that make a command run as root; 5 when there is no way.
packages_become_root() {
    packages_as=()
    ((EUID == 0)) && return 0
    command -v sudo >/dev/null || return 5
    if sudo -n true 2>/dev/null; then
        packages_as=(sudo -n)
    elif [[ -t 0 && -t 2 ]]; then
        packages_as=(sudo)
    else
        return 5
    fi
}

# Stops with the one command that a person with root rights has to run.
packages_ask_for_root() {
    local command="apt-get install --no-install-recommends --no-remove -y ${packages_wanted[*]}"
    ((${#packages_wanted[@]})) || command=
    if [[ $packages_update == yes ]]; then
        command="apt-get update${command:+ && $command}"
    fi
    printf '%s\n' "This needs root, and there is no sudo that works without a password and no terminal to ask for one." \
        "Nothing was changed. Run this one command, then start again:" "" >&2
    printf "    su -c '%s'\n" "$command" >&2
    return 5
}

packages_apt() {
    "${packages_as[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q \
        -o DPkg::Lock::Timeout=120 "$@" </dev/null
}

# Names what stands in the way when apt could install the packages only by removing others.
packages_check_conflicts() {
    local removed boost
    mapfile -t removed < <(LC_ALL=C apt-get install -s --no-install-recommends \
        "${packages_wanted[@]}" 2>/dev/null | sed -n 's/^Remv \([^ ]*\).*/\1/p')
    ((${#removed[@]})) || return 0
    boost=$(printf '%s\n' "${removed[@]}" | grep -E '^libboost.*-dev' | tr '\n' ' ' || true)
    printf '%s\n' "These installed packages stand in the way, and nothing is removed by this script:" \
        "    ${removed[*]}" >&2
    if [[ -n $boost ]]; then
        printf '%s\n' "Debian keeps the headers of one Boost version at a time: installed is ${boost% }," \
            "and Tequio needs libboost1.81-dev (Boost.JSON came with 1.75)." >&2
    fi
    printf '%s\n' "Nothing was changed. Either let them go yourself, and get them back later by their names:" \
        "    apt-get install --no-install-recommends ${packages_wanted[*]}" \
        "or build where they are not: docker/README.md shows a container." >&2
    return 5
}

# Says what will be installed and how big it is. Changes nothing; needs the lists.
packages_say_plan() {
    local plan
    if ! plan=$(LC_ALL=C apt-get install -o Debug::NoLocking=1 --no-install-recommends --no-remove \
        --assume-no "${packages_wanted[@]}" 2>&1) && ! grep -q '^After this operation' <<<"$plan"; then
        printf '%s\n' "apt cannot install what is needed (these scripts are made for Debian 12):" "$plan" >&2
        return 5
    fi
    printf '  missing: %s\n' "${packages_wanted[*]}"
    printf '  with what they depend on: %s; %s; %s\n' \
        "$(sed -n 's/^\([0-9]*\) upgraded, \([0-9]*\) newly.*/\2 new packages, \1 upgraded/p' <<<"$plan")" \
        "$(sed -n 's/^Need to get \(.*\) of archives\.$/\1 to download/p' <<<"$plan")" \
        "$(sed -n 's/^After this operation, \(.*\) of additional.*/\1 of disk/p' <<<"$plan")"
    printf '  command: apt-get install --no-install-recommends --no-remove -y ...\n'
}

# Carries out what packages_look found. Status 5 when it may not or must not.
packages_install() {
    local log
    if ((${#packages_wanted[@]} == 0)) && [[ $packages_update == no ]]; then
        printf '  nothing to install\n'
        return 0
    fi
    packages_become_root || { packages_ask_for_root; return 5; }
    if [[ $packages_update == yes ]]; then
        printf '  the package lists are missing or older than a week: apt-get update\n'
        packages_apt update >/dev/null || {
            printf 'apt-get update failed; see its messages above.\n' >&2
            return 1
        }
    fi
    ((${#packages_wanted[@]})) || return 0
    packages_check_conflicts || return 5
    packages_say_plan || return 5
    log=$(mktemp)
    if ! packages_apt install --no-install-recommends --no-remove -y "${packages_wanted[@]}" >"$log" 2>&1; then
        # A mirror drops superseded versions: lists that looked fresh may name files that are gone.
        printf '  that failed; fetching the package lists and trying once more\n'
        if ! packages_apt update >>"$log" 2>&1 || ! packages_apt install --no-install-recommends \
            --no-remove -y "${packages_wanted[@]}" >>"$log" 2>&1; then
            tail -n 20 "$log" >&2
            rm -f "$log"
            return 1
        fi
    fi
    rm -f "$log"
}

# packages_unpack ARCHITECTURE FOLDER NAME...: the files of packages of another architecture in a folder. Nothing is
# installed, no root is needed, and this machine's package lists and architectures stay as they are: apt works on
# lists of its own, in a temporary folder.
packages_unpack() {
    local architecture=$1 folder=$2 apt status=0 deb
    shift 2
    apt=$(mktemp -d)
    mkdir -p "$folder" "$apt/lists/partial" "$apt/archives/partial" "$apt/debs"
    : >"$apt/status"
    local options=(-q -o "APT::Architecture=$architecture" -o "APT::Architectures::=$architecture"
        -o "Dir::State=$apt" -o "Dir::State::Lists=$apt/lists" -o "Dir::State::status=$apt/status"
        -o "Dir::Cache=$apt" -o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none)
    {
        LC_ALL=C apt-get "${options[@]}" update &&
            (cd "$apt/debs" && LC_ALL=C apt-get "${options[@]}" download "$@") &&
            for deb in "$apt"/debs/*.deb; do dpkg-deb -x "$deb" "$folder" || break; done
    } </dev/null || status=1
    rm -rf "$apt"
    return $status
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    set -euo pipefail
    [[ $# -eq 1 ]] || { printf 'usage: scripts/packages.sh build|tests|desktop|runtime|cross|arm64\n' >&2; exit 2; }
    packages_of "$1"
fi
