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

    void open(const open_compute& what);
    void close(const base::task_id& task);
    /// Answered by `compute_answer`.
    void begin(const begin_compute& what);
    void stop(const base::task_id& task);
    /// Answered by `model_exported`.
    void export_final(const export_model& what);
    /// Kills every worker.
    void shut_down();
    /// What the last worker reported when it started: threads, kernels, protection, sandbox.
    const std::optional<worker_ready>& last_ready() const { return ready_; }

private:
    struct one_job;
    one_job* job_of(const base::task_id& task);
    void prepare(one_job& j);
    void start_item(one_job& j);
    void watch(one_job& j);
    void on_event(one_job& j, worker_event& e);
    void finish(one_job& j, worker_finished& done);
    void answer(one_job& j, base::result<training::work_outcome> outcome);
    void report(node_event e);

    boost::asio::io_context& io_;
    storage_thread& storage_;
    blob_store& blobs_;
    options options_;
    event_sink sink_;
    std::map<base::task_id, std::shared_ptr<one_job>> jobs_;
    std::optional<worker_ready> ready_;
};

}  // namespace tequio::node
