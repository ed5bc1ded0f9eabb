#include "node/worker/protection_probe.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

#include "base/text.hpp"
#include "node/io/files.hpp"

namespace tequio::node {
namespace {

constexpr double measured_seconds = 0.2;
/// Until the scheduler knows how much each group wants.
constexpr double settling_seconds = 0.05;
/// Less than this of both together: somebody else had the processor, and the ratio says little.
constexpr double both_seconds_min = 0.04;
constexpr int ready_patience_ms = 3000;
/// Bounds of the line that the helper writes; what a pipe takes at once.
constexpr std::size_t line_max = 4096;

double seconds_of(clockid_t clock) {
    timespec t{};
    if (::clock_gettime(clock, &t) != 0) return 0;
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

std::string line_of(const protection_report& report) {
    std::string out(cpu_protection_name(report.kind));
    out += ' ' + base::shortest(report.background_share) + ' ' + report.how;
    if (out.size() > line_max) out.resize(line_max);
    return out;
}

std::optional<protection_report> parse_line(std::string_view line) {
    const auto first = line.find(' ');
    const auto second = first == std::string_view::npos ? first : line.find(' ', first + 1);
    if (second == std::string_view::npos) return {};
    const auto share = base::parse_real(line.substr(first + 1, second - first - 1));
    if (!share) return {};
    for (const auto kind :
         {cpu_protection::cgroup_idle, cpu_protection::cgroup_weight, cpu_protection::autogroup,
          cpu_protection::nice_only, cpu_protection::none}) {
        if (cpu_protection_name(kind) == line.substr(0, first)) {
            return protection_report{kind, *share, std::string(line.substr(second + 1))};
        }
    }
    return {};
}

void write_line(int fd, const std::string& line) {
    [[maybe_unused]] const auto written = ::write(fd, line.data(), line.size());
}

std::string read_line(int fd, int patience_ms) {
    std::string out;
    std::array<char, line_max> buffer;
    pollfd waiting{fd, POLLIN, 0};
    if (::poll(&waiting, 1, patience_ms) <= 0) return out;
    const auto size = ::read(fd, buffer.data(), buffer.size());
    if (size > 0) out.assign(buffer.data(), static_cast<std::size_t>(size));
    return out;
}

/// Stays on one processor; which one does not matter, so the last that is allowed.
void pin() {
    cpu_set_t allowed, one;
    CPU_ZERO(&one);
    if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    for (int cpu = CPU_SETSIZE - 1; cpu >= 0; --cpu) {
        if (!CPU_ISSET(cpu, &allowed)) continue;
        CPU_SET(cpu, &one);
        break;
    }
    ::sched_setaffinity(0, sizeof one, &one);
}

void burn_for(double seconds) {
    const double end = seconds_of(CLOCK_MONOTONIC) + seconds;
    while (seconds_of(CLOCK_MONOTONIC) < end) {
    }
}

/// The background: a worker's set-up around a thread that never stops.
[[noreturn]] void be_background(const std::string& group, int ready) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::setsid();
    lower_own_priority(group);
    pin();
    const auto claim = inspect_cpu_protection();
    write_line(ready, line_of({claim.kind, -1, claim.how}));
    while (true) burn_for(1);
}

/// True if this process competes as ordinary programs do. The daemon may have been started at low
/// priority itself; with rights that can be undone here.
bool take_usual_priority() {
    const sched_param no_priority{};
    if (::sched_getscheduler(0) != SCHED_OTHER) ::sched_setscheduler(0, SCHED_OTHER, &no_priority);
    if (::getpriority(PRIO_PROCESS, 0) > 0) ::setpriority(PRIO_PROCESS, 0, 0);
    return ::sched_getscheduler(0) == SCHED_OTHER && ::getpriority(PRIO_PROCESS, 0) <= 0;
}

/// The share of `background` in what it and this thread get; negative if they get too little.
double measure_against(pid_t background) {
    clockid_t its_clock{};
    if (::clock_getcpuclockid(background, &its_clock) != 0) return -1;
    pin();
    burn_for(settling_seconds);
    const double its_start = seconds_of(its_clock);
    const double my_start = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    burn_for(measured_seconds);
    const double its_part = seconds_of(its_clock) - its_start;
    const double both = its_part + seconds_of(CLOCK_PROCESS_CPUTIME_ID) - my_start;
    return both < both_seconds_min ? -1 : its_part / both;
}

bool autogroups_count() {
    return read_kernel_file("/proc/sys/kernel/sched_autogroup_enabled").value_or("0")[0] == '1';
}

protection_report measure(const std::string& group, int answer) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return {};
    const unique_fd reading(ends[0]);
    unique_fd writing(ends[1]);
    const pid_t background = ::fork();
    if (background == 0) {
        // Else a background that is slow to die would keep the daemon from seeing the end.
        ::close(answer);
        be_background(group, writing.get());
    }
    writing = unique_fd();
    const auto claim = parse_line(read_line(reading.get(), ready_patience_ms));
    double share = -1;
    const bool usual = take_usual_priority();
    if (claim && usual) share = measure_against(background);
    if (background > 0) ::kill(background, SIGKILL);
    if (!claim) return {cpu_protection::none, -1, "the background thread did not start in 3 s"};
    auto out =
        verify_protection({claim->kind, claim->how}, share, !group.empty() || autogroups_count());
    if (!usual) out.how += " (this program runs at low priority itself)";
    return out;
}

}  // namespace

protection_report verify_protection(protection_facts claim, double share, bool apart) {
    protection_report out{claim.kind, share, std::move(claim.how)};
    if (share < 0) {
        out.how += "; not measured";
        return out;
    }
    const int permille = static_cast<int>(share * 1000 + 0.5);
    out.how += "; measured " + std::to_string(permille / 10) + "." + std::to_string(permille % 10) +
               " % of a processor";
    if (share <= refuting_share) return out;
    if (may_work_in_use(out.kind)) {
        out.how += ", which refutes " + std::string(cpu_protection_name(out.kind));
        out.kind = cpu_protection::nice_only;
    }
    // In one group with its rival a yielding thread gets next to nothing.
    if (!apart) out.kind = cpu_protection::none;
    return out;
}

protection_probe::~protection_probe() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
}

base::result<void> protection_probe::start(const std::string& program, const std::string& group) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return io_error(program, "make a pipe to", errno);
    answer_ = unique_fd(ends[0]);
    unique_fd writing(ends[1]);
    // Above the number it is to get, or dup2 would leave it marked to be closed.
    const unique_fd handed(::fcntl(writing.get(), F_DUPFD_CLOEXEC, probe_answer_descriptor + 1));
    std::vector<std::string> words{"tequio", "worker", "--probe-protection", "--group", group};
    if (group.empty()) words.resize(3);
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, handed.get(), probe_answer_descriptor);
    ::posix_spawn_file_actions_addclosefrom_np(&actions, probe_answer_descriptor + 1);
    pid_t process = 0;
    const int failure =
        ::posix_spawn(&process, program.c_str(), &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (failure != 0) return io_error(program, "start", failure);
    process_ = process;
    return {};
}

protection_report protection_probe::take() {
    std::string line;
    std::array<char, line_max> buffer;
    while (line.size() < line_max) {
        const auto size = ::read(answer_.get(), buffer.data(), buffer.size());
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) break;
        line.append(buffer.data(), static_cast<std::size_t>(size));
    }
    while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
    process_ = 0;
    const auto report = parse_line(line);
    return report.value_or(protection_report{cpu_protection::none, -1, "the self-test failed"});
}

int protection_probe_main(const std::string& group, int answer) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::prctl(PR_SET_NAME, "tequio-probe");
    write_line(answer, line_of(measure(group, answer)));
    return 0;
}

}  // namespace tequio::node
