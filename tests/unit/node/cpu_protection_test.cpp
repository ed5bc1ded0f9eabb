#include "node/worker/cpu_protection.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>

#include "node/io/files.hpp"
#include "node/worker/compute_worker.hpp"
#include "node/worker/control_group.hpp"
#include "node/worker/protection_probe.hpp"

using namespace tequio::node;

namespace {

group_level level(std::string path, bool idle, std::uint64_t weight = 100) {
    return {std::move(path), idle, weight};
}

cpu_protection judged(protection_signs signs) {
    return judge_protection(signs).kind;
}

const std::string session = "/user.slice/user-1000.slice/session-2.scope";
const std::string manager = "/user.slice/user-1000.slice/user@1000.service";

protection_report measured(const std::string& group) {
    protection_probe probe;
    BOOST_REQUIRE(probe.start(TEQUIO_WORKER_CHILD, group));
    return probe.take();
}

}  // namespace

BOOST_AUTO_TEST_CASE(protection_has_names_and_an_order) {
    BOOST_TEST(cpu_protection_name(cpu_protection::autogroup) == "autogroup");
    BOOST_TEST(cpu_protection_name(cpu_protection::nice_only) == "nice-only");
    BOOST_TEST(may_work_in_use(cpu_protection::cgroup_idle));
    BOOST_TEST(may_work_in_use(cpu_protection::cgroup_weight));
    BOOST_TEST(may_work_in_use(cpu_protection::autogroup));
    BOOST_TEST(!may_work_in_use(cpu_protection::nice_only));
    BOOST_TEST(!may_work_in_use(cpu_protection::none));
}

BOOST_AUTO_TEST_CASE(light_group_at_the_top_protects_everybody) {
    protection_signs s;
    s.idle_threads = true;
    s.others = {"/user.slice/user-1000.slice/session-2.scope", "/system.slice/cron.service"};
    s.levels = {level("/tequio.slice", false, 1), level("/tequio.slice/tequio.service", false),
                level("/tequio.slice/tequio.service/worker", true)};
    BOOST_TEST((judged(s) == cpu_protection::cgroup_weight));
    s.levels[0].idle = true;
    BOOST_TEST((judged(s) == cpu_protection::cgroup_idle));
    BOOST_TEST(judge_protection(s).how == "cpu.idle of /tequio.slice");
}

BOOST_AUTO_TEST_CASE(light_group_deeper_down_does_not_reach_people_elsewhere) {
    // The worker's leaf idles, but its service weighs as much as everything of a person's session.
    protection_signs s;
    s.idle_threads = true;
    s.others = {session};
    s.levels = {level("/system.slice", false), level("/system.slice/tequio.service", false),
                level("/system.slice/tequio.service/worker", true)};
    BOOST_TEST((judged(s) == cpu_protection::nice_only));
    BOOST_TEST(judge_protection(s).how.find(session) != std::string::npos);
    // Inside one user's manager it counts for that manager's programs, not for a plain session.
    s.levels = {level("/user.slice", false), level("/user.slice/user-1000.slice", false),
                level(manager, false), level(manager + "/tequio.slice", false, 1)};
    BOOST_TEST((judged(s) == cpu_protection::nice_only));
    s.others = {manager + "/app.slice/editor.scope"};
    BOOST_TEST((judged(s) == cpu_protection::cgroup_weight));
    s.others.push_back("/system.slice/cron.service");
    BOOST_TEST((judged(s) == cpu_protection::cgroup_weight));
    BOOST_TEST(judge_protection(s).how.find("services of the system") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(weight_that_takes_a_tenth_is_not_light) {
    protection_signs s;
    s.idle_threads = true;
    s.levels = {level("/background.slice", false, 30)};
    BOOST_TEST((judged(s) == cpu_protection::nice_only));
    s.levels[0].weight = light_weight_max;
    BOOST_TEST((judged(s) == cpu_protection::cgroup_weight));
}

BOOST_AUTO_TEST_CASE(autogroup_counts_in_the_root_group_only) {
    protection_signs s;
    s.idle_threads = s.light_autogroup = true;
    BOOST_TEST((judged(s) == cpu_protection::autogroup));
    s.hidden_groups = true;
    BOOST_TEST((judged(s) == cpu_protection::nice_only));
    s.hidden_groups = false;
    s.levels = {level("/system.slice", false)};
    BOOST_TEST((judged(s) == cpu_protection::nice_only));
    s.idle_threads = false;
    BOOST_TEST((judged(s) == cpu_protection::none));
}

BOOST_AUTO_TEST_CASE(measurement_lowers_a_claim_and_never_raises_one) {
    const protection_facts idle{cpu_protection::cgroup_idle, "cpu.idle of /a"};
    BOOST_TEST((verify_protection(idle, 0.003, true).kind == cpu_protection::cgroup_idle));
    BOOST_TEST((verify_protection(idle, -1, true).kind == cpu_protection::cgroup_idle));
    BOOST_TEST((verify_protection(idle, 0.5, true).kind == cpu_protection::nice_only));
    BOOST_TEST((verify_protection(idle, 0.5, false).kind == cpu_protection::none));
    const protection_facts nice{cpu_protection::nice_only, "threads"};
    BOOST_TEST((verify_protection(nice, 0.003, false).kind == cpu_protection::nice_only));
    BOOST_TEST((verify_protection(nice, 0.5, true).kind == cpu_protection::nice_only));
    BOOST_TEST((verify_protection(nice, 0.5, false).kind == cpu_protection::none));
    const auto refuted = verify_protection(idle, 0.4961, true);
    BOOST_TEST(refuted.how ==
               "cpu.idle of /a; measured 49.6 % of a processor, which refutes cgroup-idle");
    BOOST_TEST(refuted.background_share == 0.4961);
}

BOOST_AUTO_TEST_CASE(cpu_group_is_found_in_every_layout) {
    const std::string unified =
        "25 24 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    auto found = find_group("cpu", "0::/user.slice/a.scope\n", unified);
    BOOST_REQUIRE(found.has_value());
    BOOST_TEST(found->version == 2);
    BOOST_TEST(found->folder() == "/sys/fs/cgroup/user.slice/a.scope");
    const std::string hybrid =
        "30 24 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
        "31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
    found = find_group("cpu", "4:cpu,cpuacct:/user\n1:name=systemd:/x\n0::/x\n", hybrid);
    BOOST_REQUIRE(found.has_value());
    BOOST_TEST(found->version == 1);
    BOOST_TEST(found->folder() == "/sys/fs/cgroup/cpu,cpuacct/user");
    // cpuset is not cpu; version 2 answers then.
    found = find_group("cpu", "4:cpuset:/user\n0::/\n", hybrid);
    BOOST_REQUIRE(found.has_value());
    BOOST_TEST(found->folder() == "/sys/fs/cgroup/unified");
    // A container that sees a part of the host's groups.
    const std::string part = "40 39 0:22 /docker/77 /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    found = find_group("cpu", "0::/docker/77\n", part);
    BOOST_REQUIRE(found.has_value());
    BOOST_TEST(found->path == "/");
    BOOST_TEST(found->seen);
    // Another's part; a process above the root of its namespace: only the top is known.
    for (const char* outside :
         {"0::/docker/777\n", "0::/\n", "0::/../other\n", "0::/docker/77/..\n"}) {
        found = find_group("cpu", outside, part);
        BOOST_REQUIRE(found.has_value());
        BOOST_TEST(!found->seen);
        BOOST_TEST(found->folder() == "/sys/fs/cgroup");
    }
    // The same of version 1, mounted twice: the mount that shows the group counts.
    const std::string twice =
        "50 39 0:30 /docker/78 /other ro - cgroup cgroup rw,memory\n"
        "51 39 0:30 /docker/77 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
    found = find_group("memory", "9:memory:/docker/77/x\n4:cpu:/docker/77\n0::/\n", twice + part);
    BOOST_REQUIRE(found.has_value());
    BOOST_TEST(found->version == 1);
    BOOST_TEST(found->folder() == "/sys/fs/cgroup/memory/x");
    for (const char* odd : {"", "x", "::", "0:", "0::", "a:b", "1:cpu\n", "\n\n0:\n"}) {
        BOOST_TEST(!find_group("cpu", odd, hybrid + "odd - \n- cgroup2\n1 2 3 4 5\n").has_value());
    }
}

BOOST_AUTO_TEST_CASE(self_test_measures_what_this_machine_gives) {
    const auto report = measured("");
    BOOST_TEST_MESSAGE(cpu_protection_name(report.kind) << ": " << report.how);
    BOOST_TEST(report.how.find("self-test failed") == std::string::npos);
    BOOST_TEST(report.background_share <= 1);
    if (may_work_in_use(report.kind)) BOOST_TEST(report.background_share <= refuting_share);
    // Our own threads' class is always lowered; only a measurement can take that claim away.
    if (report.kind == cpu_protection::none) BOOST_TEST(report.background_share > refuting_share);
}

BOOST_AUTO_TEST_CASE(workers_compute_in_their_own_group_where_one_can_be_made) {
    std::string folder;
    {
        const auto group = worker_group::make(std::uint64_t{1} << 30);
        BOOST_TEST_MESSAGE(group.how());
        BOOST_TEST(!group.how().empty());
        if (group.folder().empty()) return;
        folder = group.folder();
        const auto report = measured(folder);
        BOOST_TEST_MESSAGE(cpu_protection_name(report.kind) << ": " << report.how);
        BOOST_TEST(report.background_share <= refuting_share);
        compute_worker_options o{TEQUIO_WORKER_CHILD, 2, 0, true};
        o.group = folder;
        compute_worker worker(o);
        BOOST_REQUIRE(worker.start());
        BOOST_REQUIRE(worker.wait(5000));
        const auto processes = read_kernel_file(folder + "/cgroup.procs").value_or("");
        BOOST_TEST(processes == std::to_string(worker.process()) + "\n");
    }
    BOOST_TEST(!std::filesystem::exists(folder));
}

BOOST_AUTO_TEST_CASE(a_helper_that_does_not_answer_counts_as_no_protection) {
    protection_probe probe;
    BOOST_REQUIRE(probe.start("/bin/true", ""));
    const auto report = probe.take();
    BOOST_TEST((report.kind == cpu_protection::none));
    BOOST_TEST(report.background_share < 0);
    protection_probe missing;
    BOOST_TEST(!missing.start("/no/such/program", "").has_value());
}
