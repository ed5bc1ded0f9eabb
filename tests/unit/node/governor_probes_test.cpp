// Each probe over made-up trees: what it reads, and that absent or garbled files are absent
// signals.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>

#include "node/governor/idle_source.hpp"
#include "node/governor/probes/cpu_probe.hpp"
#include "node/governor/probes/group_limits.hpp"
#include "node/governor/probes/group_use_probe.hpp"
#include "node/governor/probes/memory_probe.hpp"
#include "node/governor/probes/sensors.hpp"
#include "node/governor/probes/tty_probe.hpp"
#include "node/io/files.hpp"
#include "tests/unit/node/made_up_machine.hpp"

namespace tequio::node {
namespace {

using namespace std::chrono_literals;

const std::string garbage[] = {"",
                               "\n",
                               "garbage\n",
                               "-1\n",
                               "cpu  x y z\n",
                               "some avg10=\n",
                               std::string(5000, 'x'),
                               std::string("\0\0", 2),
                               "99999999999999999999999\n"};

/// Lines of mountinfo.
const std::string mounts_version_2 = "25 24 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
const std::string mounts_version_1 =
    "30 24 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    "31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

BOOST_AUTO_TEST_SUITE(governor_probes_suite)

BOOST_AUTO_TEST_CASE(kept_files_are_read_anew_and_opened_anew) {
    made_up_machine m;
    std::string buffer(16, '\0');
    kept_file file(m.root / "a");
    BOOST_TEST(file.read(buffer).empty());
    m.put("a", "one");
    BOOST_TEST(file.read(buffer) == "one");
    m.put("a", "two, and longer than the buffer");
    BOOST_TEST(file.read(buffer) == "two, and longer ");
    kept_file other = std::move(file);
    BOOST_TEST(other.read(buffer) == "two, and longer ");
    BOOST_TEST(file.read(buffer).empty());
    BOOST_TEST(kept_file().read(buffer).empty());
    BOOST_TEST(kept_file(m.root).read(buffer).empty());  // a folder
    BOOST_TEST_REQUIRE(::mkfifo((m.root / "pipe").c_str(), 0600) == 0);
    BOOST_TEST(kept_file(m.root / "pipe").read(buffer).empty());  // holds nobody up
    BOOST_TEST(read_kernel_line(m.root / "pipe").empty());
}

BOOST_AUTO_TEST_CASE(others_use_is_user_and_system_less_our_own) {
    made_up_machine m;
    base::time_point now{1h};
    process_scan scan(m.root, {});
    cpu_probe probe(m.root, {4, {}});
    const auto hz = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    m.stat(1000, 1000, 1000);
    m.process(10, "tequio", 50, 50, 0);
    m.process(11, "tequio-worker", 900, 10, 19);
    m.process(12, "cc1plus", 500, 5, 0);
    scan.refresh();
    BOOST_TEST((scan.ours() == std::vector{10, 11}));
    BOOST_TEST(probe.read(now, scan, {10, 11}, 0).foreground == 0);
    // One second: the compiler 1 processor, the daemon 0.1, the worker 2 of nice and 0.2 of kernel.
    m.stat(1000 + hz + hz / 20, 1000 + 2 * hz, 1000 + hz / 20 + hz / 5);
    m.process(10, "tequio", 50 + hz / 20, 50 + hz / 20, 0);
    m.process(11, "tequio-worker", 900 + 2 * hz, 10 + hz / 5, 19);
    now += 1s;
    BOOST_TEST(std::abs(probe.read(now, scan, {10, 11}, 0).foreground - 1.0) < 1e-9);
    BOOST_TEST(probe.sees_others());
    // Too soon for ticks: the last one again, and nothing of the next one is lost.
    BOOST_TEST(std::abs(probe.read(now + 10ms, scan, {10, 11}, 0).foreground - 1.0) < 1e-9);
    now += 1s;
    BOOST_TEST(probe.read(now, scan, {10, 11}, 0).foreground == 0);
}

BOOST_AUTO_TEST_CASE(another_node_that_starts_is_nobodys_foreground) {
    made_up_machine m;
    base::time_point now{1h};
    process_scan scan(m.root, {});
    cpu_probe probe(m.root, {4, {}});
    m.stat(1000, 0, 1000);
    m.process(10, "tequio", 0, 0, 0);
    scan.refresh();
    probe.read(now, scan, {10}, 0);
    // A second node's worker fills its memory: a whole processor of kernel time, not scanned yet.
    std::uint64_t ticks = 0;
    for (int i = 0; i < 100; ++i) {
        ticks += 5;
        now += 50ms;
        m.stat(1000, 500, 1000 + ticks);
        m.process(20, "tequio-worker", 500, ticks, 19);
        m.process(21, "tequio", 0, 0, 0);
        const auto f = probe.read(now, scan, {10}, 0).foreground;
        BOOST_TEST(f < 0.05, "step " << i << ": " << f);
    }
    // And somebody else beside it is seen at once.
    m.stat(1000 + 10, 500, 1000 + ticks + 5);
    m.process(20, "tequio-worker", 500, ticks + 5, 19);
    now += 50ms;
    BOOST_TEST(std::abs(probe.read(now, scan, {10}, 0).foreground - 2.0) < 0.1);
}

BOOST_AUTO_TEST_CASE(only_the_processors_we_may_use_are_watched) {
    made_up_machine m;
    base::time_point now{1h};
    process_scan scan(m.root, {});
    cpu_probe probe(m.root, {2, {0, 2}});
    m.put("proc/stat", "cpu  9 0 0\ncpu0 10 0 0 1\ncpu1 10 0 0 1\ncpu2 10 0 0 1\nintr 1\n");
    probe.read(now, scan, {}, 0);
    m.put("proc/stat", "cpu  9 0 0\ncpu0 60 0 0 1\ncpu1 110 0 0 1\ncpu2 10 0 50 1\nintr 1\n");
    const auto f = probe.read(now + 1s, scan, {}, 0).foreground;
    BOOST_TEST(std::abs(f - 100.0 / static_cast<double>(::sysconf(_SC_CLK_TCK))) < 1e-9);
}

BOOST_AUTO_TEST_CASE(our_threads_waiting_is_a_share_of_what_they_wanted) {
    made_up_machine m;
    base::time_point now{1h};
    process_scan scan(m.root, {});
    cpu_probe probe(m.root, {4, {}});
    m.put("proc/11/task/11/schedstat", "1000000000 500 7\n");
    m.put("proc/11/task/12/schedstat", "1000000000 500 7\n");
    BOOST_TEST(probe.read(now, scan, {11}, 11).run_delay == 0);
    m.put("proc/11/task/11/schedstat", "1050000000 50000500 7\n");
    m.put("proc/11/task/12/schedstat", "1100000000 500 7\n");
    now += 100ms;
    BOOST_TEST(std::abs(probe.read(now, scan, {11}, 11).run_delay - 0.25) < 1e-9);
    // Threads that sleep want nothing.
    now += 100ms;
    BOOST_TEST(probe.read(now, scan, {11}, 11).run_delay == 0);
    m.drop("proc/11");
    now += 100ms;
    BOOST_TEST(probe.read(now, scan, {11}, 0).run_delay == 0);
}

BOOST_AUTO_TEST_CASE(where_stat_is_hidden_waiting_stands_in_for_others_use) {
    made_up_machine m;
    base::time_point now{1h};
    process_scan scan(m.root, {});
    cpu_probe probe(m.root, {4, {}});
    m.put("proc/11/task/11/schedstat", "0 0 0\n");
    probe.read(now, scan, {11}, 11);
    m.put("proc/11/task/11/schedstat", "50000000 50000000 0\n");
    now += 100ms;
    BOOST_TEST(std::abs(probe.read(now, scan, {11}, 11).foreground - 2.0) < 1e-9);
    BOOST_TEST(!probe.sees_others());
    // Another node makes our threads wait too: then it says nothing.
    m.process(20, "tequio-worker", 0, 0, 19);
    scan.refresh();
    m.put("proc/11/task/11/schedstat", "100000000 100000000 0\n");
    now += 100ms;
    BOOST_TEST(probe.read(now, scan, {11}, 11).foreground == 0);
}

BOOST_AUTO_TEST_CASE(garbled_processors_are_absent) {
    for (const auto& text : garbage) {
        made_up_machine m;
        base::time_point now{1h};
        process_scan scan(m.root, {});
        cpu_probe probe(m.root, {4, {}});
        m.put("proc/stat", text);
        m.put("proc/11/stat", text);
        m.put("proc/11/comm", "tequio");
        m.put("proc/11/task/11/schedstat", text);
        scan.refresh();
        for (int i = 0; i < 3; ++i) {
            now += 100ms;
            const auto r = probe.read(now, scan, {11}, 11);
            BOOST_TEST(r.foreground == 0);
            BOOST_TEST(r.run_delay == 0);
        }
    }
}

BOOST_AUTO_TEST_CASE(processes_are_found_by_name) {
    made_up_machine m;
    process_scan scan(m.root, {"a-very-long-program-name", "mpv"});
    scan.refresh();
    BOOST_TEST(!scan.listed().has_value());
    m.process(5, "bash", 0, 0, 0);
    m.process(6, "tequio", 0, 0, 0);
    m.process(7, "tequiotic", 0, 0, 0);
    m.process(9, "tequio", 0, 0, 0);
    m.put("proc/9/cmdline", std::string("tequio\0bench\0train", 18));  // its owner's work
    scan.refresh();
    BOOST_TEST((scan.ours() == std::vector{6}));
    // It becomes another program: seen at the second look of a new process.
    m.process(5, "mpv", 0, 0, 0);
    scan.refresh();
    BOOST_TEST(scan.listed().value() == "mpv");
    m.process(8, "a-very-long-pro", 0, 0, 0);  // as the kernel cuts it
    scan.refresh();
    BOOST_TEST(scan.listed().value() == "a-very-long-program-name");
    m.drop("proc/8");
    // An old process too, within ten looks.
    m.process(5, "bash", 0, 0, 0);
    for (int i = 0; i < 10; ++i) scan.refresh();
    BOOST_TEST(!scan.listed().has_value());
}

BOOST_AUTO_TEST_CASE(memory_and_waiting_for_it) {
    made_up_machine m;
    m.put("proc/meminfo", "MemTotal:     8000 kB\nMemFree: 1 kB\nMemAvailable:   6000 kB\n");
    const auto pressure = [&](std::uint64_t memory, std::uint64_t io) {
        const auto text = [](std::uint64_t t) {
            return "some avg10=0.00 avg60=0.00 avg300=0.00 total=" + std::to_string(t) +
                   "\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=77\n";
        };
        m.put("proc/pressure/memory", text(memory));
        m.put("proc/pressure/io", text(io));
    };
    memory_probe probe(m.root);
    base::time_point now{1h};
    pressure(5'000'000, 0);
    auto r = probe.read(now);
    BOOST_TEST(r.bytes == 8000u * 1024);
    BOOST_TEST(r.available_bytes.value() == 6000u * 1024);
    BOOST_TEST(r.memory_stall == 0);
    pressure(5'050'000, 200'000);
    r = probe.read(now + 200ms);
    BOOST_TEST(std::abs(r.memory_stall - 0.25) < 1e-9);
    BOOST_TEST(r.io_stall == 1);
    pressure(10, 10);  // it went back: nothing is known
    BOOST_TEST(probe.read(now + 400ms).memory_stall == 0);
    m.drop("proc");
    memory_probe none(m.root);
    r = none.read(now);
    BOOST_TEST(r.bytes == 0u);
    BOOST_TEST(!r.available_bytes.has_value());
    for (const auto& text : garbage) {
        m.put("proc/meminfo", text);
        m.put("proc/pressure/memory", text);
        now += 1s;
        r = none.read(now);
        BOOST_TEST(r.bytes == 0u);
        BOOST_TEST(!r.available_bytes.has_value());
        BOOST_TEST(r.memory_stall == 0);
    }
}

BOOST_AUTO_TEST_CASE(battery_states) {
    const auto supply = [](const made_up_machine& m, const std::string& name, const char* type,
                           const char* file, const char* value) {
        m.put("sys/class/power_supply/" + name + "/type", std::string(type) + "\n");
        m.put("sys/class/power_supply/" + name + "/" + file, std::string(value) + "\n");
    };
    made_up_machine m;
    BOOST_TEST(!read_on_battery(m.root).has_value());
    // A mouse's battery is not the machine's.
    supply(m, "hid-mouse", "Battery", "status", "Discharging");
    m.put("sys/class/power_supply/hid-mouse/scope", "Device\n");
    BOOST_TEST(!read_on_battery(m.root).has_value());
    supply(m, "AC", "Mains", "online", "1");
    BOOST_TEST(read_on_battery(m.root).value() == false);  // a desktop
    supply(m, "BAT0", "Battery", "status", "Full");
    supply(m, "BAT1", "Battery", "status", "Charging");
    BOOST_TEST(read_on_battery(m.root).value() == false);
    supply(m, "AC", "Mains", "online", "0");
    BOOST_TEST(read_on_battery(m.root).value() == true);
    supply(m, "BAT1", "Battery", "status", "Discharging");
    BOOST_TEST(read_on_battery(m.root).value() == true);
    supply(m, "ucsi", "USB", "online", "1");
    BOOST_TEST(read_on_battery(m.root).value() == false);
    supply(m, "ucsi", "USB", "online", "0");
    m.put("sys/class/power_supply/BAT0/present", "0\n");
    m.put("sys/class/power_supply/BAT1/present", "0\n");
    BOOST_TEST(read_on_battery(m.root).value() == false);  // both taken out
    m.drop("sys");
    supply(m, "BAT0", "Battery", "status", "Discharging");
    BOOST_TEST(read_on_battery(m.root).value() == true);  // no mains is known
    for (const auto& text : garbage) {
        made_up_machine g;
        g.put("sys/class/power_supply/BAT0/type", text);
        g.put("sys/class/power_supply/BAT0/status", text);
        g.put("sys/class/power_supply/AC/type", "Mains");
        g.put("sys/class/power_supply/AC/online", text);
        BOOST_TEST(!read_on_battery(g.root).value_or(false));
    }
}

BOOST_AUTO_TEST_CASE(temperature_of_processors_before_the_boards) {
    made_up_machine m;
    BOOST_TEST(!read_celsius(m.root).has_value());
    m.put("sys/class/thermal/thermal_zone0/type", "acpitz\n");
    m.put("sys/class/thermal/thermal_zone0/temp", "30000\n");
    BOOST_TEST(read_celsius(m.root).value() == 30.0);
    m.put("sys/class/hwmon/hwmon1/name", "k10temp\n");
    m.put("sys/class/hwmon/hwmon1/temp1_input", "61250\n");
    m.put("sys/class/hwmon/hwmon1/temp1_max", "99000\n");
    m.put("sys/class/hwmon/hwmon2/name", "nvme\n");
    m.put("sys/class/hwmon/hwmon2/temp1_input", "80000\n");
    BOOST_TEST(read_celsius(m.root).value() == 61.25);
    m.put("sys/class/thermal/thermal_zone1/type", "x86_pkg_temp\n");
    m.put("sys/class/thermal/thermal_zone1/temp", "70000\n");
    m.put("sys/class/thermal/thermal_zone2/type", "cpu-1-thermal\n");
    m.put("sys/class/thermal/thermal_zone2/temp", "72000\n");
    m.put("sys/class/thermal/thermal_zone3/type", "x86_pkg_temp\n");
    m.put("sys/class/thermal/thermal_zone3/temp", "4294967295\n");  // says nothing
    m.put("sys/class/thermal/cooling_device0/type", "cpu\n");
    m.put("sys/class/thermal/cooling_device0/temp", "99000\n");
    BOOST_TEST(read_celsius(m.root).value() == 72.0);
    for (const auto& text : garbage) {
        made_up_machine g;
        g.put("sys/class/thermal/thermal_zone0/type", "cpu");
        g.put("sys/class/thermal/thermal_zone0/temp", text == "-1\n" ? "x" : text);
        BOOST_TEST(!read_celsius(g.root).has_value());
    }
}

BOOST_AUTO_TEST_CASE(limits_of_control_groups_version_2) {
    made_up_machine m;
    BOOST_TEST(!read_group_limits(m.root).processors.has_value());
    m.put("proc/self/cgroup", "0::/a.slice/b.service\n");
    m.put("sys/fs/cgroup/cpu.max", "10000 100000\n");  // not mounted, so another thing
    BOOST_TEST(!read_group_limits(m.root).processors.has_value());
    std::filesystem::remove(m.root / "sys/fs/cgroup/cpu.max");
    m.put("proc/self/mountinfo", mounts_version_2);
    m.put("sys/fs/cgroup/a.slice/b.service/cpu.max", "max 100000\n");
    m.put("sys/fs/cgroup/a.slice/cpu.max", "150000 100000\n");
    m.put("sys/fs/cgroup/a.slice/b.service/memory.max", "1000000\n");
    m.put("sys/fs/cgroup/a.slice/b.service/memory.current", "600000\n");
    m.put("sys/fs/cgroup/a.slice/b.service/memory.stat", "anon 1\ninactive_file 200000\n");
    m.put("sys/fs/cgroup/a.slice/memory.max", "max\n");
    auto l = read_group_limits(m.root);
    BOOST_TEST(l.processors.value() == 1.5);
    BOOST_TEST(l.memory_bytes.value() == 1'000'000u);
    BOOST_TEST(l.memory_available_bytes.value() == 600'000u);
    BOOST_TEST_REQUIRE(l.tightest.has_value());
    BOOST_TEST(l.tightest->path == "/a.slice");
    BOOST_TEST(l.tightest->processors == 1.5);
    BOOST_TEST(l.tightest->holds("0::/a.slice/c.service\n"));
    BOOST_TEST(l.tightest->holds("1:cpu:/b\n0::/a.slice\n"));
    BOOST_TEST(!l.tightest->holds("0::/a.slice2\n"));
    BOOST_TEST(!l.tightest->holds("0::/\n"));
    for (const auto& text : garbage) BOOST_TEST(!l.tightest->holds(text));
    // A container: the path in /proc is the host's, the limits are at the mount.
    m.put("proc/self/cgroup", "0::/../../docker/1\n");
    m.put("sys/fs/cgroup/cpu.max", "50000 100000\n");
    l = read_group_limits(m.root);
    BOOST_TEST(l.processors.value() == 0.5);
    BOOST_TEST(l.tightest->holds("0::/../../docker/1/below\n"));
    BOOST_TEST(!l.memory_bytes.has_value());
    // A container that sees its own part of the host's groups.
    m.put("proc/self/cgroup", "0::/docker/1/a.slice\n");
    m.put("proc/self/mountinfo", "40 39 0:22 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    m.put("sys/fs/cgroup/a.slice/cpu.max", "30000 100000\n");
    m.put("sys/fs/cgroup/a.slice/memory.max", "5000\n");
    l = read_group_limits(m.root);
    BOOST_TEST(l.processors.value() == 0.3);
    BOOST_TEST(l.tightest->path == "/docker/1/a.slice");
    BOOST_TEST(l.tightest->holds("0::/docker/1/a.slice/b\n"));
    BOOST_TEST(!l.tightest->holds("0::/a.slice\n"));
    BOOST_TEST(l.memory_bytes.value() == 5000u);
}

BOOST_AUTO_TEST_CASE(limits_of_control_groups_version_1) {
    made_up_machine m;
    m.put("proc/self/cgroup", "4:memory:/docker/1\n2:cpu,cpuacct:/docker/1\n0::/\n");
    m.put("proc/self/mountinfo", mounts_version_1);
    m.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000\n");
    m.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    m.put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    m.put("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "4096\n");
    m.put("sys/fs/cgroup/memory/docker/1/memory.usage_in_bytes", "8192\n");
    auto l = read_group_limits(m.root);
    BOOST_TEST(l.processors.value() == 2.0);
    BOOST_TEST(l.memory_bytes.value() == 4096u);
    BOOST_TEST(l.memory_available_bytes.value() == 0u);
    m.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    BOOST_TEST(!read_group_limits(m.root).processors.has_value());
    for (const auto& text : garbage) {
        made_up_machine g;
        g.put("proc/self/cgroup", text + "0::/x\n1:memory:/\n2:cpu:/" + text);
        g.put("proc/self/mountinfo", text + mounts_version_1 + text);
        for (const auto* file :
             {"unified/x/cpu.max", "unified/x/memory.max", "memory/memory.limit_in_bytes",
              "cpu,cpuacct/cpu.cfs_quota_us", "cpu,cpuacct/cpu.cfs_period_us"}) {
            g.put(std::string("sys/fs/cgroup/") + file, text);
        }
        l = read_group_limits(g.root);
        BOOST_TEST(!l.processors.has_value());
        BOOST_TEST(!l.memory_bytes.has_value());
        g.put("proc/self/cgroup", text + "\n0::/x\n");  // version 2 alone
        l = read_group_limits(g.root);
        BOOST_TEST(!l.processors.has_value());
        BOOST_TEST(!l.memory_bytes.has_value());
    }
}

/// Reads a group twice, a second apart: the first time with nothing used, then with what `use` put
/// into the files.
group_use_probe::reading after_a_second(const made_up_machine& m, const std::vector<int>& ours,
                                        const std::function<void()>& use) {
    const auto group = read_group_limits(m.root).tightest;
    BOOST_TEST_REQUIRE(group.has_value());
    group_use_probe probe(m.root);
    const base::time_point now{1h};
    BOOST_TEST(probe.read(now, *group, ours).others == 0);
    use();
    const auto out = probe.read(now + 1s, *group, ours);
    // Too soon for another one.
    BOOST_TEST(probe.read(now + 1s + 30ms, *group, ours).others == out.others);
    return out;
}

BOOST_AUTO_TEST_CASE(use_of_a_group_with_a_quota_less_our_own_version_2) {
    made_up_machine m;
    const auto hz = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    m.put("proc/self/cgroup", "0::/pod\n");
    m.put("proc/self/mountinfo", mounts_version_2);
    m.put("sys/fs/cgroup/pod/cpu.max", "200000 100000\n");
    m.put("sys/fs/cgroup/pod/cpu.stat", "usage_usec 5000000\nnr_periods 9\nnr_throttled 3\n");
    for (const int pid : {10, 11, 12}) {
        m.process(pid, "tequio-worker", 7, 0, 19);
        m.put("proc/" + std::to_string(pid) + "/cgroup", pid == 12 ? "0::/else\n" : "0::/pod\n");
    }
    // 1.6 s by the group, of them 0.5 s by a worker although it is niced; one elsewhere says
    // nothing, nor does one that is gone.
    const auto r = after_a_second(m, {10, 11, 12, 13}, [&] {
        m.put("sys/fs/cgroup/pod/cpu.stat", "usage_usec 6600000\nnr_periods 19\nnr_throttled 4\n");
        m.process(11, "tequio-worker", 7 + hz / 2, 0, 19);
        m.process(12, "tequio-worker", 7 + hz, 0, 19);
    });
    BOOST_TEST(std::abs(r.others - 1.1) < 1e-6);
    BOOST_TEST(r.throttled);
    BOOST_TEST(after_a_second(m, {}, [] {}).others == 0);
    for (const auto& text : garbage) {
        const auto g = after_a_second(m, {10}, [&] {
            m.put("sys/fs/cgroup/pod/cpu.stat", text);
            m.put("proc/10/stat", text);
        });
        BOOST_TEST(g.others == 0);
        BOOST_TEST(!g.throttled);
        m.put("sys/fs/cgroup/pod/cpu.stat", "usage_usec 5000000\n");
    }
}

BOOST_AUTO_TEST_CASE(use_of_a_group_with_a_quota_version_1) {
    made_up_machine m;
    m.put("proc/self/cgroup", "3:cpuacct:/pod\n2:cpu:/pod\n");
    m.put("proc/self/mountinfo",
          "31 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
          "32 24 0:28 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n");
    m.put("sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us", "50000\n");
    m.put("sys/fs/cgroup/cpu/pod/cpu.cfs_period_us", "100000\n");
    m.put("sys/fs/cgroup/cpu/pod/cpu.stat", "nr_periods 9\nnr_throttled 3\n");
    // Each controller has its own hierarchy, or both have one.
    for (const char* file :
         {"sys/fs/cgroup/cpuacct/pod/cpuacct.usage", "sys/fs/cgroup/cpu/pod/cpuacct.usage"}) {
        m.put(file, "1000000000\n");
        const auto r = after_a_second(m, {}, [&] { m.put(file, "1500000000\n"); });
        BOOST_TEST(std::abs(r.others - 0.5) < 1e-6);
        BOOST_TEST(!r.throttled);
    }
}

BOOST_AUTO_TEST_CASE(terminals_tell_when_they_were_last_read) {
    made_up_machine m;
    const base::unix_time wall{1'700'000'000};
    BOOST_TEST(!read_tty_idle(m.root, wall).has_value());
    const auto read_at = [&](const std::string& path, std::int64_t seconds) {
        m.put(path, "");
        const timespec times[2] = {{seconds, 0}, {seconds, 0}};
        BOOST_TEST(::utimensat(AT_FDCWD, (m.root / path).c_str(), times, 0) == 0);
    };
    read_at("dev/pts/ptmx", wall.seconds);  // no terminal
    BOOST_TEST(!read_tty_idle(m.root, wall).has_value());
    read_at("dev/tty1", wall.seconds - 5000);
    BOOST_TEST((read_tty_idle(m.root, wall).value() == 5000s));
    read_at("dev/pts/3", wall.seconds - 60);
    read_at("dev/pts/4", wall.seconds - 600);
    BOOST_TEST((read_tty_idle(m.root, wall).value() == 60s));
    read_at("dev/pts/4", wall.seconds + 600);  // the clock was put back
    BOOST_TEST((read_tty_idle(m.root, wall).value() == 0s));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace tequio::node
