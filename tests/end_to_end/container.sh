#!/usr/bin/env bash
# container.sh PROGRAM: a node in a container without logind, bus or terminal: own mounts, processes, network, host name, IPC and
# control groups; a quota of one processor and 1 GiB set from outside; /sys read-only, no capabilities. It says what it can trust
# there, keeps to its share, computes what a replay computes, and gives back when others in the container want the processors.
# 77 (skipped), with the reason, where such a container cannot be made. TEQUIO_TEST_TRIALS: how often it gives back (1).

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# --- outside: makes the groups and the namespaces ---------------------------------------------------------------------------
skip() { echo "skipped: $*"; exit 77; }

# The folders of a new group, one for each hierarchy, into $groups; the limits are set in them.
make_groups() {
    local name=tequio-test-$$ top=/sys/fs/cgroup folder
    groups=()
    if grep -qw cpu $top/cgroup.controllers 2>/dev/null; then
        { echo +cpu && echo +memory; } >$top/cgroup.subtree_control 2>/dev/null || return 1
        groups=("$top/$name")
        mkdir "$top/$name" || return 1
        echo '100000 100000' >"$top/$name/cpu.max" && echo 1073741824 >"$top/$name/memory.max"
        return
    fi
    for folder in cpu cpuacct memory; do
        [[ -w $top/$folder/cgroup.procs ]] || return 1
        mkdir -p "$top/$folder/$name" || return 1  # cpu and cpuacct may be the same hierarchy
        groups+=("$top/$folder/$name")
    done
    echo 100000 >"$top/cpu/$name/cpu.cfs_quota_us" && echo 1073741824 >"$top/memory/$name/memory.limit_in_bytes"
}

# A process that has just ended leaves its group a moment later.
drop_groups() {
    local folder attempt
    for folder in "${groups[@]}"; do
        for ((attempt = 0; attempt < 50; ++attempt)); do
            rmdir "$folder" 2>/dev/null || [[ -d $folder ]] && sleep 0.1 || break
        done
    done
}

outside() {
    local program root status=0
    program=$(realpath "$1")
    ((EUID == 0)) || skip "not root, who alone may set a limit from outside"
    for root in unshare setpriv pivot_root perl; do command -v "$root" >/dev/null || skip "no $root here"; done
    unshare --mount --pid --net --uts --ipc --cgroup --fork true 2>/dev/null || skip "namespaces are not allowed here"
    trap drop_groups EXIT
    make_groups || skip "control groups cannot be made here"
    root=$(mktemp -d "${TMPDIR:-/tmp}/tequio-container.XXXXXX")
    (
        for folder in "${groups[@]}"; do echo "$BASHPID" >"$folder/cgroup.procs"; done
        exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child --propagation private \
            bash "$here/container.sh" "$program" enter "$root"
    ) || status=$?
    rmdir "$root"
    exit "$status"
}

# --- first process of the container: its file system, then away with all rights ---------------------------------------------
# show WHAT WHERE: a folder of the machine, to be read only.
show() { mount --bind "$1" "$2" && mount -o remount,bind,ro "$2"; }

enter() {
    local program root=$2 folder
    program=$(realpath "$1")
    hostname container
    mount -t tmpfs -o mode=755 none "$root"
    cd "$root"
    mkdir -p usr dev proc sys run tmp etc src/tests src/scripts opt old
    chmod 1777 tmp
    for folder in bin lib lib64 sbin; do ln -s "usr/$folder" "$folder"; done
    show /usr usr
    show "$here/.." src/tests
    show "$here/../../scripts" src/scripts
    cp "$program" opt/tequio
    cp /etc/ld.so.cache etc/
    cp -a /etc/alternatives etc/
    for folder in null zero urandom; do touch "dev/$folder" && mount --bind "/dev/$folder" "dev/$folder"; done
    mount -t proc proc proc
    mount -t sysfs -o ro sysfs sys
    if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
        mount -t cgroup2 -o ro none sys/fs/cgroup
    else
        mount -t tmpfs -o mode=755 none sys/fs/cgroup
        for folder in cpu cpuacct memory; do
            mkdir -p "sys/fs/cgroup/$folder"
            mount -t cgroup -o "ro,$(hierarchy "$folder")" none "sys/fs/cgroup/$folder"
        done
        mount -o remount,ro sys/fs/cgroup
    fi
    # The loopback interface, up and running (SIOCSIFFLAGS); iproute2 need not be there.
    perl -e 'use Socket; socket(my $s, AF_INET, SOCK_DGRAM, 0) or die; my $r = pack("a16 s x14", "lo", 1 | 64);
             ioctl($s, 0x8914, $r) or die "lo: $!"'
    pivot_root . old
    cd /
    umount -l old
    rmdir old
    # Bash stays the first process and takes in orphans, as a container's init does.
    env -i PATH=/usr/bin:/usr/sbin HOME=/tmp TMPDIR=/tmp TERM=dumb TEQUIO_TEST_TRIALS="${TEQUIO_TEST_TRIALS:-1}" \
        setpriv --reuid 12345 --regid 12345 --clear-groups --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs \
        bash /src/tests/end_to_end/container.sh /opt/tequio inside
}

# The controllers that are mounted together with this one: "cpu,cpuacct", or "cpu" alone.
hierarchy() { awk -F: -v want="$1" '{ n = split($2, name, ","); for (i = 1; i <= n; ++i) if (name[i] == want) print $2 }' /proc/self/cgroup; }

# --- inside ------------------------------------------------------------------------------------------------------------------
inside() {
    local helper=$tests/support/give_back.pl task process status doctor ms i
    field() { node one status --json | json_text "$1"; }
    number() { node one status --json | json_number "$1"; }
    is() { [[ $(field "$1") == "$2" ]]; }
    counts() { [[ $(number "$1") == "$2" ]]; }
    uses() { # of one processor, in percent over a second
        local before
        before=$(perl "$helper" cpu "$process")
        sleep 1
        echo $((($(perl "$helper" cpu "$process") - before) / 10000000))
    }
    computes() { process=$(worker_of one) && (($(uses) >= 10)); }

    # That it is the container it says it is.
    [[ ! -e /run/dbus && ! -e /run/systemd && ! -e /dev/tty ]] || die "there is a bus, a logind or a terminal here"
    [[ $(sed -n 's/^CapEff:\t//p' /proc/self/status) == 0000000000000000 ]] || die "this has capabilities"
    ! mkdir /sys/fs/cgroup/x /sys/fs/cgroup/cpu/x 2>/dev/null || die "control groups can be made in here"
    [[ $(tr '\0' ' ' </proc/1/cmdline) == *container.sh* ]] || die "the processes outside can be seen"

    # The machine is looked at, and nothing but the quota limits the threads.
    swarm_policy=() swarm_settings=$'[limits]\nkeep_free = "0 %"'
    node_start one
    status=$(node one status --json)
    [[ $(json_text idle_source <<<"$status") == cpu-only ]] || die "idle source: $status"
    [[ $(json_number threads_limit <<<"$status") == 1 ]] || die "threads of a quota of one processor: $status"
    (($(json_number memory_limit <<<"$status") <= 1 << 30)) || die "memory of a group of 1 GiB: $status"
    # Nobody here may make a lighter group, and the groups outside cannot be seen: nothing better can be promised.
    doctor=$(node one doctor --json)
    printf '%s\n' "$doctor"
    [[ $(json_text exact <<<"$doctor") == ok && $(json_text idle_source <<<"$doctor") == cpu-only ]] || die "doctor"
    [[ $(json_text cpu_protection <<<"$doctor") == nice-only ]] || die "protection that cannot be"
    [[ $(json_text node_cpu_protection <<<"$doctor") == nice-only ]] || die "the node claims a protection that cannot be"
    grep -q '"problems": *\[\]' <<<"$doctor" || die "doctor names problems"

    # A job, to the end, at the pace of the quota, with the replay's digest.
    make_job "$folder/job" rounds=3 lanes=2
    task=$(submit one "$folder/job")
    finished one "$task" 120
    same "digests of container and replay" "$(job_digest one "$task")" "$(replayed one "$task" 2>"$folder/replay.said")"
    grep -q 'worker: 1 thread' "$folder/replay.said" || die "a replay with other threads: $(<"$folder/replay.said")"

    # Others in the container want the processors: they get all of the quota.
    make_job "$folder/long" rounds=100 layers=4 heads=4 width=128 context=64 batch=8 micro_batch=8 inner_steps=100
    submit one "$folder/long" >/dev/null
    for ((i = 0; i < TEQUIO_TEST_TRIALS; ++i)); do
        wait_for 60 "the job to be computed" computes
        (($(uses) <= 110)) || die "the worker uses more than the quota of one processor"
        ms=$(perl "$helper" contend "$process" 3)
        printf 'given back to others in the container after %s ms\n' "$ms"
        ((${ms%.*} <= 1000)) || die "not given back within a second"
        counts threads 0 || die "threads go on: $(node one status --json)"
        [[ $(field governor_code) =~ ^(cpu_busy|unprotected)$ ]] || die "the reason is $(field governor_code)"
        (($(uses) <= 2)) || die "the worker goes on"
    done
    wait_for 60 "the job to go on" computes
    [[ $(sed -n 's/^Seccomp:\t//p' "/proc/$process/status") == 2 ]] || die "the worker is not confined"
    node_kill one
    ledgers_verify one
}

set -euo pipefail
case ${2:-outside} in
    outside) outside "$1" ;;
    enter) enter "$1" "$3" ;;
    inside)
        set -- "$1"
        . "$here/../support/scenario.sh"
        inside
        ;;
esac
