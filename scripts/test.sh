#!/usr/bin/env bash
# Installs what the build and the tests need, builds everything, runs every test.
# Its last lines are ctest's own summary. scripts/test.sh --help says more.

[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
. "$here/common.sh"
. "$here/packages.sh"

usage() {
    cat <<EOF
usage: scripts/test.sh [--long] [--desktop] [--no-packages] [--no-aarch64] [--jobs N] [--build DIR] [-- CTEST ARGUMENTS...]

  --long          also the tests labelled "long" (some two hours more, one of them chaos)
  --desktop       also the compositor that one test of the session agent wants (20 MB more; used when it is there anyway)
  --no-packages   install nothing; build with what is here
  --no-aarch64    without the conformance programs for 64-bit Arm (a cross compiler and an emulator less)
  --jobs N        compile N files and run N tests at a time (default: as many as there are processors)
  --build DIR     build there (default: build/test)

What follows -- goes to ctest: scripts/test.sh -- -R ledger
EOF
}

long=no use_desktop=no use_packages=yes use_aarch64=yes jobs=$(nproc) build=$root/build/test ctest_arguments=()
while (($#)); do
    case $1 in
        --long) long=yes ;;
        --desktop) use_desktop=yes ;;
        --no-packages) use_packages=no ;;
        --no-aarch64) use_aarch64=no ;;
        --jobs) [[ $# -ge 2 ]] || die -2 "--jobs needs a number"; jobs=$2; shift ;;
        --jobs=*) jobs=${1#*=} ;;
        --build) [[ $# -ge 2 ]] || die -2 "--build needs a folder"; build=$2; shift ;;
        --build=*) build=${1#*=} ;;
        --) shift; ctest_arguments=("$@"); break ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; die -2 "unknown argument: $1" ;;
    esac
    shift
done
[[ $jobs =~ ^[1-9][0-9]*$ ]] || die -2 "--jobs: found \"$jobs\", allowed a number from 1"
build=$(realpath -m "$build")
kinds=(build tests)
[[ $use_desktop == no ]] || kinds+=(desktop)
if [[ $use_aarch64 == yes && $(uname -m) == x86_64 ]]; then
    kinds+=(cross)
else
    use_aarch64=no
fi

trap 'exit 130' INT
trap 'exit 143' TERM HUP

say "${bold}Tequio's tests${plain}"
say "What this changes:"
if [[ $use_packages == yes ]]; then
    packages_announce "${kinds[@]}" || exit
else
    say "  packages    none (--no-packages)"
fi
if [[ $use_aarch64 == yes && $use_packages == yes ]]; then
    say "  aarch64     12 MB of package lists and libraries of Debian's arm64 port, unpacked in $build/aarch64, not installed"
fi
say "  build       $build (about 1 GB)"
say "  temporary   folders of the tests under ${TMPDIR:-/tmp}, removed by them; nodes on 127.0.0.1 only"

phase "Packages"
if [[ $use_packages == yes ]]; then
    packages_install || exit
fi

phase "Build"
options=(-DCMAKE_BUILD_TYPE=Release -DTEQUIO_TESTS=ON -DTEQUIO_UNITY=ON)
[[ ${CI:-} != true ]] || options+=(-DTEQUIO_WERROR=ON)
log=$build.log
mkdir -p "$build"
cmake -S "$root" -B "$build" -G Ninja "${options[@]}" >"$log" 2>&1 ||
    { cat "$log" >&2; die "configuring failed"; }
if [[ -t 1 ]]; then
    cmake --build "$build" -j "$jobs"
else
    cmake --build "$build" -j "$jobs" >"$log" 2>&1 || { tail -n 60 "$log" >&2; die "building failed; all of it: $log"; }
fi

if [[ $use_aarch64 == yes ]]; then
    phase "AArch64"
    options=(--jobs "$jobs")
    [[ $use_packages == yes ]] || options+=(--no-fetch)
    status=0
    bash "$root/tests/conformance/aarch64.sh" build "$build/aarch64" "${options[@]}" || status=$?
    [[ $status == 0 || $status == 77 ]] || exit 1  # 77: it cannot be done here, and has said why
else
    mkdir -p "$build/aarch64"
    say "skipped: not asked for, or not an x86-64 machine" >"$build/aarch64/skipped"
fi

phase "Tests"
[[ $long == yes ]] || ctest_arguments=(-LE '^long$' "${ctest_arguments[@]}")
# As many at a time as there are processors, but for those of whole nodes (RUN_SERIAL): they measure time-outs and use every core.
cd "$build"
exec ctest -j "$jobs" --output-on-failure --no-tests=error "${ctest_arguments[@]}"
