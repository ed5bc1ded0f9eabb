#!/usr/bin/env bash
# The conformance programs for 64-bit Arm: cross-built here, run under QEMU's user emulation. They must
# give the golden bits of tests/vectors, as the kernels of this machine's own processor must.
#
#   aarch64.sh build DIR [--no-fetch] [--jobs N]   builds them in DIR; DIR/root gets the libraries they need
#   aarch64.sh run DIR                             runs them (ctest does this)
#
# Status 77 when this machine cannot do it; the reason is said, and kept in DIR/skipped for `run`.

[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$root/scripts/common.sh"
. "$root/scripts/packages.sh"

skip() {
    mkdir -p "$dir"
    printf '%s\n' "$*" | tee "$dir/skipped"
    exit 77
}

# Fills DIR/root with libraries of Debian's arm64 port and this machine's own headers of what has headers only.
fetch() {
    local fetched=$dir/root/complete wanted
    mapfile -t wanted < <(packages_of arm64)
    [[ -f $fetched && $(<"$fetched") == "${wanted[*]}" ]] && return
    [[ $use_network == yes ]] || skip "skipped: no libraries for 64-bit Arm in $dir/root, and --no-packages forbids to fetch them"
    rm -rf "$dir/root"
    packages_unpack arm64 "$dir/root" "${wanted[@]}" >"$dir/fetch.log" 2>&1 || {
        tail -n 5 "$dir/fetch.log" >&2
        skip "skipped: apt-get cannot fetch ${wanted[*]} of the arm64 port; see $dir/fetch.log"
    }
    ln -s /usr/include/boost /usr/include/hwy "$dir/root/usr/include/"
    printf '%s\n' "${wanted[*]}" >"$fetched"
}

build() {
    local use_network=yes jobs
    jobs=$(nproc)
    while (($#)); do
        case $1 in
            --no-fetch) use_network=no ;;
            --jobs) jobs=$2; shift ;;
            *) die -2 "aarch64.sh build: unknown argument: $1" ;;
        esac
        shift
    done
    local options=(-DCMAKE_BUILD_TYPE=Release -DTEQUIO_CONFORMANCE_ONLY=ON -DTEQUIO_AARCH64_ROOT="$dir/root"
        -DCMAKE_TOOLCHAIN_FILE="$root/cmake/aarch64.cmake")
    [[ ${CI:-} != true ]] || options+=(-DTEQUIO_WERROR=ON)
    mkdir -p "$dir"
    rm -f "$dir/skipped"
    [[ $(uname -m) == x86_64 ]] || skip "skipped: made for x86-64 machines; on $(uname -m) the other tests are this one"
    command -v aarch64-linux-gnu-g++ >/dev/null || skip "skipped: there is no aarch64-linux-gnu-g++ (package g++-aarch64-linux-gnu)"
    command -v qemu-aarch64 >/dev/null || skip "skipped: there is no qemu-aarch64 (package qemu-user)"
    fetch
    cmake -S "$root" -B "$dir/build" -G Ninja "${options[@]}" >"$dir/build.log" 2>&1 &&
        cmake --build "$dir/build" -j "$jobs" >>"$dir/build.log" 2>&1 || {
        tail -n 60 "$dir/build.log" >&2
        die "building for 64-bit Arm failed; all of it: $dir/build.log"
    }
}

# The golden digests of every kernel and job on NEON; those of kernels by the plain references too, which are
# too slow here for whole jobs.
run() {
    if [[ ! -d $dir ]]; then
        say "skipped: not built; scripts/test.sh builds these programs, or: $0 build $dir"
        exit 77
    elif [[ -f $dir/skipped ]]; then
        cat "$dir/skipped"
        exit 77
    fi
    local programs=$dir/build/tests/conformance emulate=(qemu-aarch64 -L /usr/aarch64-linux-gnu)
    "${emulate[@]}" "$programs/conformance_numerics" --report_level=short
    "${emulate[@]}" "$programs/conformance_jobs" --report_level=short --run_test='golden_jobs/every_target*,the_short_form*'
}

[[ $# -ge 2 && $1 =~ ^(build|run)$ ]] || die -2 "usage: aarch64.sh build DIR [--no-fetch] [--jobs N] | aarch64.sh run DIR"
command=$1
dir=$(realpath -m "$2")
shift 2
"$command" "$@"
