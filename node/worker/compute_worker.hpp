#pragma once

/// The daemon's side of its worker process: start, feed, freeze, kill, start again.
///
/// What survives the worker: the state memory. What does not: the item in hand, and which job was
/// open. So after `worker_exited` the owner calls `start` and `open_job` again, and goes on.

#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "node/worker/channel.hpp"
#include "node/worker/protocol.hpp"
#include "node/worker/shared_memory.hpp"
#include "node/worker/state_memory.hpp"
#include "node/worker/thread_gate.hpp"
#include "training/research.hpp"

namespace tequio::node {

struct compute_worker_options {
    std::string program = "/proc/self/exe";  ///< called as `PROGRAM worker ...`
    unsigned threads = 1;
    std::uint64_t memory_bytes = 0;  ///< the owner's limit; 0: none
    bool low_priority = true;
    training::research_options research = {};  ///< studies only; a daemon sets none
    std::uint64_t slices = 1;                  ///< in which lanes run; a daemon has them whole
    bool recompute = false;                    ///< see `training::engine_options`
    std::string group = {};  ///< folder of a control group to compute in (control_group.hpp)
};

/// Opens input `index` of an item for reading: its name and a descriptor whose first
/// `blob.size` bytes are the blob. Called from `take_events`, inputs in ascending order.
struct worker_input_file {
    base::blob_ref blob;
    unique_fd file;
};
using open_input = std::function<base::result<worker_input_file>(std::uint32_t index)>;

/// A finished item. `file` holds the sealed result bytes (contribution or mean), if there are any,
/// and `blob` maps them; both stay readable whatever the worker does.
struct worker_finished {
    std::uint64_t item = 0;
    compute_outcome outcome;
    unique_fd file;
    memory_map blob;
};
/// The process is gone and reaped; the item in hand, if any, is lost.
struct worker_exited {
    bool killed = false;  ///< by a signal
    int code = 0;         ///< exit code or signal number
    std::string reason;   ///< for people
};
/// A message for another member of the item's team, to be carried there.
struct worker_team_said {
    std::uint64_t item = 0;
    std::uint32_t to = 0;
    std::shared_ptr<const team_letter> letter;
};
using worker_event =
    std::variant<worker_ready, worker_job_opened, worker_job_refused, worker_progress,
                 worker_finished, worker_item_failed, worker_exited, worker_team_said,
                 worker_team_taken, worker_team_waits, worker_team_blames>;

/// One worker process at a time. Not thread-safe; `start` must be called by a thread that lives as
/// long as the worker should (the kernel ends the worker with it). Nothing here waits but `wait`,
/// `stop_process` and the destructor. While no process runs, messages to it go nowhere: one
/// `take_events` may end with `worker_exited`, and what is sent in answer to the events before it
/// is lost with that worker.
class compute_worker {
public:
    explicit compute_worker(compute_worker_options options);
    /// Kills and reaps the process.
    ~compute_worker();
    compute_worker(const compute_worker&) = delete;
    compute_worker& operator=(const compute_worker&) = delete;

    /// What the next `start` counts with instead of the options given.
    void limit(unsigned threads, std::uint64_t memory_bytes);
    /// Starts the process, which first reports `worker_ready`. It inherits no memory, and no
    /// descriptor but stderr and its two ends. Ensures that none runs. Errors:
    /// `base::errc::io_failure`.
    base::result<void> start();
    bool running() const { return process_ > 0; }
    /// Process id; for messages and tests.
    int process() const { return process_; }

    /// Processor time that all threads of the process have used; 0 when none runs.
    base::duration cpu_used() const;
    /// Memory that the process holds now, shared pages included; 0 when none runs.
    std::uint64_t resident_bytes() const;
    /// The part of it that belongs to the process alone: neither states nor files; 0 likewise.
    std::uint64_t private_bytes() const;

    /// Poll this for reading; then call `take_events`. One descriptor for the object's whole life.
    int native_handle() const { return poll_.get(); }
    /// Everything that has happened, in order; never waits. After `worker_exited` nothing follows.
    /// A worker that breaks the protocol is killed.
    std::vector<worker_event> take_events();
    /// Waits at most `timeout_ms` (negative: without end) until `take_events` may have something;
    /// false on time-out or when a signal handler ran.
    bool wait(int timeout_ms);

    /// Opens a job: the recipe's canonical text, its blobs in the order of
    /// `training::recipe_blobs` (1..worker_blobs_max; copied), its state. Answered by
    /// `worker_job_opened` or `worker_job_refused`. The states are of slice `slice` of `slices`.
    void open_job(std::string recipe_text, std::span<const unique_fd> blobs,
                  const state_memory& state, std::uint32_t slice = 0, std::uint32_t slices = 1);
    /// Begins an item and returns its id. Ensures that none is in hand. `inputs` may be empty when
    /// the item has none. Ended by `worker_finished`, `worker_item_failed` or `worker_exited`.
    std::uint64_t begin(compute_item item, open_input inputs = {});
    /// True from `begin` to the event that ends the item.
    bool busy() const { return item_ != 0; }
    /// Asks for the item in hand to end at the next micro-batch, or at once if the worker is
    /// parked. A frozen one hears of it when it is thawed.
    void stop_item();
    void close_job();

    // Of the item in hand, when it has a team; else they go nowhere.

    /// What member `from` says. At most training::team_messages_max of it may wait: the worker says
    /// `worker_team_taken` of each.
    void hand_in(std::uint32_t from, const team_letter& letter);
    /// Member `by` has taken a message.
    void credit(std::uint32_t by);

    /// How many threads may compute from now on; 0 parks all. Takes effect at the next tile of
    /// work, without a message being read; before `start` too.
    void allow_threads(unsigned threads);
    /// Asks the worker to let the system move the job's memory out; for parked workers.
    void hand_back_memory();
    /// SIGSTOP and SIGCONT: for when parking takes too long.
    void freeze();
    void thaw();
    /// SIGKILL; `worker_exited` follows.
    void kill();
    /// Closes the conversation, kills, and waits for the end.
    void stop_process();

private:
    struct outgoing {
        base::byte_vector bytes;
        std::vector<unique_fd> descriptors;
    };
    std::uint64_t pages_in_memory(bool shared_too) const;
    thread_gate* gate();
    base::result<void> spawn(int socket, int gate);
    void send(const worker_command& message, std::vector<unique_fd> descriptors = {});
    void flush();
    void watch(int descriptor, std::uint32_t events, bool add);
    void read_messages(std::vector<worker_event>& out);
    base::result<void> obey_report(channel_message message, std::vector<worker_event>& out);
    base::result<void> finish_item(worker_item_done& done, channel_message& message,
                                   std::vector<worker_event>& out);
    base::result<void> pass_on(const worker_report& report, channel_message& message,
                               std::vector<worker_event>& out);
    void answer_input(const worker_wants_input& wanted);
    void reap(std::vector<worker_event>& out);
    void forget_process();

    compute_worker_options options_;
    unique_fd poll_;  ///< epoll over the socket and the process
    unique_fd gate_file_;
    memory_map gate_map_;
    channel link_;
    unique_fd process_handle_;
    int process_ = 0;
    std::deque<outgoing> unsent_;
    std::uint32_t allowed_ = UINT32_MAX;  ///< of the gate; kept for the next `start`
    std::uint64_t item_ = 0;
    std::uint32_t slice_ = 0, slices_ = 1;  ///< of the job that was opened last
    std::uint64_t last_item_ = 0;
    open_input inputs_;
    std::string killed_because_;
};

}  // namespace tequio::node
