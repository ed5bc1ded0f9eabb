#pragma once

/// The compute side of the daemon: a worker process for each job that is at work, and the shared
/// memory in which its state outlives it. Decides nothing: it runs the items it is given and
/// reports.

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>

#include "node/core/node_logic.hpp"
#include "node/io/blob_store.hpp"
#include "node/io/storage_thread.hpp"
#include "node/worker/compute_worker.hpp"

namespace tequio::node {

class job_workers {
public:
    struct options {
        std::string program = "/proc/self/exe";
        unsigned threads = 1;
        std::uint64_t memory_bytes = 0;
        std::string group = {};  ///< see `compute_worker_options`
    };
    /// Called on the network thread, never from inside a call to this class.
    using event_sink = std::function<void(node_event)>;

    /// All three references must outlive this. Blobs are read and stored on the storage thread.
    job_workers(boost::asio::io_context& io, storage_thread& storage, blob_store& blobs, options o,
                event_sink sink);
    ~job_workers();

    /// Memory that a worker with these options takes while a job is open with this slice of its
    /// model: with recomputation where that is what it takes to fit.
    static std::uint64_t need_bytes(const training::task& task, training::model_slice slice,
                                    const options& o);

    void open(const open_compute& what);
    void close(const base::task_id& task);
    /// Answered by `compute_answer`.
    void begin(const begin_compute& what);
    void stop(const base::task_id& task);
    /// What another member of the team says to the worker; what is of another attempt than the one
    /// in hand goes nowhere. The worker's own words are reported as `team_said` and `team_note`.
    void deliver(const team_deliver& what);
    void credit(const team_credit& what);
    /// Answered by `model_exported`.
    void export_final(const export_model& what);
    /// Kills every worker.
    void shut_down();

    // The release ladder's hands; every worker at once.

    /// How many threads may compute from now on. While it is 0 no worker is started; what waits for
    /// one begins later.
    void allow_threads(unsigned threads);
    void freeze();
    void thaw();
    /// Lets the system move out what parked workers hold in memory; those with nothing in hand end.
    void hand_back_memory();
    /// Kills the workers; jobs stay open, and begin again with a new worker when they are asked to.
    void end_all();
    /// Lets go of the states of all jobs; reports `compute_states_lost` for each that had some.
    /// False when none had.
    bool release_states();
    /// Memory that the workers have for themselves, and the states of all jobs. Cost:
    /// `memory_map::resident_bytes` of each.
    std::uint64_t held_bytes() const;
    /// What workers that start from now on are limited to.
    void limit(unsigned threads, std::uint64_t memory_bytes);
    struct use {
        bool running = false;              ///< a worker process exists
        bool busy = false;                 ///< an item is in hand
        base::duration cpu{};              ///< used by all workers that there have been
        std::uint64_t resident_bytes = 0;  ///< of those there are; 0 unless it was asked for
        std::uint64_t memory_bytes = 0;    ///< that the largest open job needs
    };
    use usage(bool with_resident = false) const;
    /// Of the worker processes there are.
    std::vector<int> processes() const;
    /// What the last worker reported when it started: threads, kernels, protection, sandbox.
    const std::optional<worker_ready>& last_ready() const { return ready_; }

private:
    struct one_job;
    one_job* job_of(const base::task_id& task);
    void prepare(one_job& j);
    base::result<void> make_state(one_job& j) const;
    void open_in_worker(one_job& j);
    void on_team_event(const one_job& j, worker_event& e);
    static void end(one_job& j);
    void start_item(one_job& j);
    void write_state(one_job& j);
    void watch(one_job& j);
    void on_event(one_job& j, worker_event& e);
    void finish(one_job& j, worker_finished& done);
    void answer(one_job& j, base::result<training::work_outcome> outcome,
                base::duration computed = {});
    base::result<void> write_model(const training::task& task, const export_model& what,
                                   std::span<const float> parameters,
                                   std::map<std::string, base::blob_ref>& files);
    void report(node_event e);

    boost::asio::io_context& io_;
    storage_thread& storage_;
    blob_store& blobs_;
    options options_;
    event_sink sink_;
    std::map<base::task_id, std::shared_ptr<one_job>> jobs_;
    std::optional<worker_ready> ready_;
    unsigned allowed_ = UINT32_MAX;
    base::duration cpu_of_the_dead_{};
};

}  // namespace tequio::node
