#include "node/worker/compute_worker.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>

#include "base/ensure.hpp"
#include "base/text.hpp"
#include "node/io/files.hpp"
#include "node/worker/worker_main.hpp"

namespace tequio::node {
namespace {

/// Low numbers are the worker's own; ours must lie above them while they are handed over.
constexpr int handed_over_min = 10;

base::error worker_error(const char* what, int error_number) {
    return base::fail(base::errc::io_failure, std::string("worker process: cannot ") + what + ": " +
                                                  std::strerror(error_number));
}

/// What the worker sees of our environment: nothing that names users, keys or places.
std::vector<std::string> worker_environment() {
    std::vector<std::string> out;
    for (const char* name : {"TEQUIO_SIMD", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
                             "LSAN_OPTIONS", "LD_LIBRARY_PATH"}) {
        const char* value = std::getenv(name);
        if (value == nullptr) continue;
        auto& entry = out.emplace_back(name);
        entry += '=';
        entry += value;
    }
    return out;
}

std::vector<char*> as_pointers(std::vector<std::string>& texts) {
    std::vector<char*> out;
    for (auto& text : texts) out.push_back(text.data());
    out.push_back(nullptr);
    return out;
}

/// What posix_spawn is to do between fork and exec.
class spawn_plan {
public:
    spawn_plan() {
        ::posix_spawn_file_actions_init(&actions_);
        ::posix_spawnattr_init(&attributes_);
    }
    ~spawn_plan() {
        ::posix_spawn_file_actions_destroy(&actions_);
        ::posix_spawnattr_destroy(&attributes_);
    }
    spawn_plan(const spawn_plan&) = delete;
    spawn_plan& operator=(const spawn_plan&) = delete;

    void fill(int socket, int gate) {
        ::posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0);
        ::posix_spawn_file_actions_addopen(&actions_, 1, "/dev/null", O_WRONLY, 0);
        ::posix_spawn_file_actions_adddup2(&actions_, socket, worker_socket_descriptor);
        ::posix_spawn_file_actions_adddup2(&actions_, gate, worker_gate_descriptor);
        ::posix_spawn_file_actions_addclosefrom_np(&actions_, worker_gate_descriptor + 1);
        // Its own session: Ctrl-C at our terminal is not for it, and a session is an autogroup.
        sigset_t none, all;
        ::sigemptyset(&none);
        ::sigfillset(&all);
        ::posix_spawnattr_setsigmask(&attributes_, &none);
        ::posix_spawnattr_setsigdefault(&attributes_, &all);
        ::posix_spawnattr_setflags(
            &attributes_, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    }
    const posix_spawn_file_actions_t* actions() const { return &actions_; }
    const posix_spawnattr_t* attributes() const { return &attributes_; }

private:
    posix_spawn_file_actions_t actions_{};
    posix_spawnattr_t attributes_{};
};

worker_exited describe(const siginfo_t& info, const std::string& killed_because) {
    worker_exited out;
    out.killed = info.si_code != CLD_EXITED;
    out.code = info.si_status;
    if (!killed_because.empty()) {
        out.reason = killed_because;
    } else if (!out.killed) {
        out.reason = "it ended with code " + std::to_string(out.code);
    } else {
        out.reason = std::string("it was ended by signal ") + std::to_string(out.code) + " (" +
                     ::strsignal(out.code) + ")";
    }
    return out;
}

}  // namespace

compute_worker::compute_worker(compute_worker_options options) : options_(std::move(options)) {
    base::ensure(options_.threads >= 1 && options_.threads <= worker_threads_max,
                 "a worker has 1 to 4096 threads");
    poll_ = unique_fd(::epoll_create1(EPOLL_CLOEXEC));
    base::ensure(static_cast<bool>(poll_), "an epoll descriptor can be made");
}

compute_worker::~compute_worker() {
    stop_process();
}

thread_gate* compute_worker::gate() {
    base::ensure(!gate_map_.bytes().empty(), "a worker has been started");
    return reinterpret_cast<thread_gate*>(gate_map_.writable().data());
}

void compute_worker::limit(unsigned threads, std::uint64_t memory_bytes) {
    base::ensure(threads >= 1 && threads <= worker_threads_max, "a worker has 1 to 4096 threads");
    options_.threads = threads;
    options_.memory_bytes = memory_bytes;
}

base::result<void> compute_worker::start() {
    base::ensure(!running(), "one worker at a time");
    if (gate_map_.bytes().empty()) {
        TEQUIO_TRY(gate_file_, make_memory_file("tequio-gate", sizeof(thread_gate)));
        TEQUIO_TRY(gate_map_, memory_map::of(gate_file_.get(), sizeof(thread_gate),
                                             memory_map::access::read_write));
        new (gate_map_.writable().data()) thread_gate;
        gate()->allow(allowed_);
    }
    TEQUIO_TRY(auto ends, make_channel_pair());
    const unique_fd socket(::fcntl(ends.second.get(), F_DUPFD_CLOEXEC, handed_over_min));
    const unique_fd gate_end(::fcntl(gate_file_.get(), F_DUPFD_CLOEXEC, handed_over_min));
    if (!socket || !gate_end) return worker_error("hand over descriptors", errno);
    TEQUIO_CHECK(spawn(socket.get(), gate_end.get()));
    process_handle_ = unique_fd(static_cast<int>(::syscall(SYS_pidfd_open, process_, 0)));
    if (!process_handle_) {
        const int why = errno;
        stop_process();
        return worker_error("watch it", why);
    }
    link_ = channel(std::move(ends.first));
    watch(link_.fd(), EPOLLIN, true);
    watch(process_handle_.get(), EPOLLIN, true);
    return {};
}

base::result<void> compute_worker::spawn(int socket, int gate) {
    spawn_plan plan;
    plan.fill(socket, gate);
    std::vector<std::string> arguments{"tequio",    "worker",
                                       "--threads", std::to_string(options_.threads),
                                       "--memory",  std::to_string(options_.memory_bytes)};
    if (!options_.low_priority) arguments.emplace_back("--usual-priority");
    if (!options_.group.empty()) arguments.insert(arguments.end(), {"--group", options_.group});
    if (options_.slices > 1) {
        arguments.insert(arguments.end(), {"--slices", std::to_string(options_.slices)});
    }
    if (options_.recompute) arguments.emplace_back("--recompute");
    for (const auto& word : training::research_words(options_.research)) {
        arguments.push_back("--research");
        arguments.push_back(word);
    }
    auto environment = worker_environment();
    const auto argument_pointers = as_pointers(arguments);
    const auto environment_pointers = as_pointers(environment);
    pid_t process = 0;
    const int failure =
        ::posix_spawn(&process, options_.program.c_str(), plan.actions(), plan.attributes(),
                      argument_pointers.data(), environment_pointers.data());
    if (failure != 0) return worker_error("start it", failure);
    process_ = process;
    killed_because_.clear();
    return {};
}

void compute_worker::watch(int descriptor, std::uint32_t events, bool add) {
    epoll_event event{};
    event.events = events;
    event.data.fd = descriptor;
    const int done =
        ::epoll_ctl(poll_.get(), add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &event);
    base::ensure(done == 0, "a descriptor of ours can be watched");
}

void compute_worker::send(const worker_command& message, std::vector<unique_fd> descriptors) {
    if (!running()) return;  // `worker_exited` was, or is, among the events taken
    unsent_.push_back({encode(message), std::move(descriptors)});
    flush();
}

void compute_worker::flush() {
    while (!unsent_.empty()) {
        const auto& next = unsent_.front();
        std::vector<int> descriptors;
        for (const auto& fd : next.descriptors) descriptors.push_back(fd.get());
        const auto sent = link_.send(next.bytes, descriptors, channel_wait::no);
        if (sent && *sent == channel_sent::full) break;
        // Closed or failed: the process is ending, and `worker_exited` will say so.
        unsent_.pop_front();
        // A worker that stands at the gate wakes to look for messages.
        gate()->knock();
    }
    if (link_.closed()) return;
    watch(link_.fd(), EPOLLIN | (unsent_.empty() ? 0u : static_cast<unsigned>(EPOLLOUT)), false);
}

void compute_worker::open_job(std::string recipe_text, std::span<const unique_fd> blobs,
                              const state_memory& state, std::uint32_t slice,
                              std::uint32_t slices) {
    base::ensure(!busy(), "a job is opened while an item is in hand");
    slice_ = slice;
    slices_ = slices;
    std::vector<unique_fd> descriptors;
    const auto add = [&](int fd) {
        descriptors.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
        base::ensure(static_cast<bool>(descriptors.back()), "descriptors can be copied");
    };
    add(state.fd());
    for (const auto& blob : blobs) add(blob.get());
    send(worker_open_job{std::move(recipe_text), static_cast<std::uint32_t>(blobs.size()), slice,
                         slices},
         std::move(descriptors));
}

std::uint64_t compute_worker::begin(compute_item item, open_input inputs) {
    base::ensure(!busy(), "one item at a time");
    base::ensure(item.inputs == 0 || inputs != nullptr, "an item with inputs can open them");
    item.id = ++last_item_;
    if (!running()) return item.id;
    item_ = item.id;
    inputs_ = std::move(inputs);
    send(worker_begin{item});
    return item.id;
}

void compute_worker::stop_item() {
    if (busy() && running()) send(worker_stop{item_});
}

void compute_worker::hand_in(std::uint32_t from, const team_letter& letter) {
    if (!busy() || !running()) return;
    std::vector<unique_fd> descriptors;
    if (letter.file() >= 0) {
        descriptors.emplace_back(::fcntl(letter.file(), F_DUPFD_CLOEXEC, 0));
        base::ensure(static_cast<bool>(descriptors.back()), "descriptors can be copied");
    }
    send(worker_team_in{item_, from, letter.tag(), letter.bytes().size(), letter.inlined()},
         std::move(descriptors));
}

void compute_worker::credit(std::uint32_t by) {
    if (busy() && running()) send(worker_team_credit{item_, by});
}

void compute_worker::close_job() {
    if (running()) send(worker_close_job{});
}

void compute_worker::allow_threads(unsigned threads) {
    allowed_ = threads;
    if (!gate_map_.bytes().empty()) gate()->allow(threads);
}

base::duration compute_worker::cpu_used() const {
    clockid_t clock{};
    timespec used{};
    if (!running() || ::clock_getcpuclockid(process_, &clock) != 0 ||
        ::clock_gettime(clock, &used) != 0) {
        return {};
    }
    return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

/// In bytes, by /proc/PROCESS/statm: size, resident, shared, ...
std::uint64_t compute_worker::pages_in_memory(bool shared_too) const {
    if (!running()) return 0;
    const auto text = read_kernel_file("/proc/" + std::to_string(process_) + "/statm").value_or("");
    const auto fields = base::split(text, ' ');
    if (fields.size() < 3) return 0;
    const auto resident = base::parse_u64(fields[1]).value_or(0);
    const auto shared = shared_too ? 0 : base::parse_u64(fields[2]).value_or(0);
    return (resident - std::min(resident, shared)) *
           static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t compute_worker::resident_bytes() const {
    return pages_in_memory(true);
}

std::uint64_t compute_worker::private_bytes() const {
    return pages_in_memory(false);
}

void compute_worker::hand_back_memory() {
    if (running()) send(worker_hand_back_memory{});
}

void compute_worker::freeze() {
    if (running()) ::kill(process_, SIGSTOP);
}

void compute_worker::thaw() {
    if (running()) ::kill(process_, SIGCONT);
}

void compute_worker::kill() {
    if (running()) ::kill(process_, SIGKILL);
}

void compute_worker::stop_process() {
    if (!running()) return;
    kill();
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(process_), &info, WEXITED) != 0 && errno == EINTR) {
    }
    forget_process();
}

bool compute_worker::wait(int timeout_ms) {
    pollfd waiting{poll_.get(), POLLIN, 0};
    return ::poll(&waiting, 1, timeout_ms) > 0;
}

std::vector<worker_event> compute_worker::take_events() {
    std::vector<worker_event> out;
    if (!running()) return out;
    flush();
    read_messages(out);
    reap(out);
    return out;
}

void compute_worker::read_messages(std::vector<worker_event>& out) {
    while (!link_.closed()) {
        auto received = link_.receive(channel_wait::no);
        if (received && !*received) {
            // No longer watched, or it would be ready for ever while the process ends.
            if (link_.closed()) ::epoll_ctl(poll_.get(), EPOLL_CTL_DEL, link_.fd(), nullptr);
            return;
        }
        const auto obeyed = received ? obey_report(std::move(**received), out) : received.error();
        if (obeyed) continue;
        killed_because_ = "it broke the protocol: " + obeyed.error().message();
        kill();
        return;
    }
}

base::result<void> compute_worker::obey_report(channel_message message,
                                               std::vector<worker_event>& out) {
    TEQUIO_TRY(auto report, decode_report(message.bytes));
    if (message.descriptors.size() != descriptors_of(report)) {
        return base::fail(base::errc::bad_encoding, "a report without its descriptors");
    }
    if (auto* ready = std::get_if<worker_ready>(&report)) {
        if (ready->version != worker_protocol_version) {
            return base::fail(base::errc::bad_encoding, "another program's worker");
        }
        out.emplace_back(std::move(*ready));
    } else if (const auto* opened = std::get_if<worker_job_opened>(&report)) {
        out.emplace_back(*opened);
    } else if (auto* refused = std::get_if<worker_job_refused>(&report)) {
        out.emplace_back(std::move(*refused));
    } else if (const auto* wanted = std::get_if<worker_wants_input>(&report)) {
        if (wanted->item == item_) answer_input(*wanted);
    } else if (const auto* progress = std::get_if<worker_progress>(&report)) {
        if (progress->item == item_) out.emplace_back(*progress);
    } else if (auto* done = std::get_if<worker_item_done>(&report)) {
        return finish_item(*done, message, out);
    } else if (auto* failed = std::get_if<worker_item_failed>(&report)) {
        if (failed->item != item_) return base::fail(base::errc::bad_encoding, "no such item");
        item_ = 0;
        inputs_ = nullptr;
        out.emplace_back(std::move(*failed));
    } else {
        return pass_on(report, message, out);
    }
    return {};
}

/// What the worker says as a member of a team.
base::result<void> compute_worker::pass_on(const worker_report& report, channel_message& message,
                                           std::vector<worker_event>& out) {
    const auto other = [this](std::uint32_t member) {
        return member < slices_ && member != slice_;
    };
    bool known = false;
    if (const auto* said = std::get_if<worker_team_out>(&report)) {
        auto file = message.descriptors.empty() ? unique_fd() : std::move(message.descriptors[0]);
        TEQUIO_TRY(auto letter,
                   team_letter::received(said->tag, said->size, said->inlined, std::move(file)));
        known = said->item == item_ && other(said->to);
        if (known) out.emplace_back(worker_team_said{said->item, said->to, std::move(letter)});
    } else if (const auto* taken = std::get_if<worker_team_taken>(&report)) {
        known = taken->item == item_ && other(taken->from);
        if (known) out.emplace_back(*taken);
    } else if (const auto* waits = std::get_if<worker_team_waits>(&report)) {
        known = waits->item == item_ && other(waits->member);
        if (known) out.emplace_back(*waits);
    } else if (const auto* blames = std::get_if<worker_team_blames>(&report)) {
        known = blames->item == item_ && other(blames->member);
        if (known) out.emplace_back(*blames);
    }
    if (known) return {};
    return base::fail(base::errc::bad_encoding, "no such member of a team");
}

base::result<void> compute_worker::finish_item(worker_item_done& done, channel_message& message,
                                               std::vector<worker_event>& out) {
    if (done.item != item_ || item_ == 0) {
        return base::fail(base::errc::bad_encoding, "no such item");
    }
    worker_finished event{done.item, std::move(done.outcome), {}, {}};
    if (const auto size = event.outcome.blob.size; size > 0) {
        event.file = std::move(message.descriptors[0]);
        TEQUIO_CHECK(check_sealed_file(event.file.get(), size));
        TEQUIO_TRY(event.blob, memory_map::of(event.file.get(), size, memory_map::access::read));
    }
    item_ = 0;
    inputs_ = nullptr;
    out.emplace_back(std::move(event));
    return {};
}

void compute_worker::answer_input(const worker_wants_input& wanted) {
    worker_input answer{wanted.item, wanted.index, {}, true};
    std::vector<unique_fd> descriptors;
    if (inputs_) {
        if (auto opened = inputs_(wanted.index)) {
            answer.blob = opened->blob;
            answer.missing = false;
            descriptors.push_back(std::move(opened->file));
        }
    }
    send(answer, std::move(descriptors));
}

void compute_worker::reap(std::vector<worker_event>& out) {
    siginfo_t info{};
    const auto id = static_cast<id_t>(process_);
    const int done = ::waitid(P_PID, id, &info, WEXITED | WNOHANG | WNOWAIT);
    if (done != 0 || info.si_pid == 0) {
        // Its end of the socket is closed but it lives on: it is of no more use.
        if (link_.closed()) kill();
        return;
    }
    // What it said before it ended counts: a finished item is not lost. Only then is it reaped, so
    // that its number cannot belong to somebody else while we may still signal it.
    read_messages(out);
    ::waitid(P_PID, id, &info, WEXITED | WNOHANG);
    out.emplace_back(describe(info, killed_because_));
    forget_process();
}

void compute_worker::forget_process() {
    process_ = 0;
    process_handle_ = unique_fd();
    link_ = channel();
    unsent_.clear();
    item_ = 0;
    inputs_ = nullptr;
}

}  // namespace tequio::node
