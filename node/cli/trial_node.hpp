#pragma once

/// A node for a measurement: its own data, its own small job without an end, its own session. It
/// and its files are gone when the object is, or when this process ends in any other way (then the
/// files stay).

#include <boost/json/object.hpp>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "node/cli/child_process.hpp"
#include "training/engine.hpp"

namespace tequio::node {

/// Of one processor: a measurement begins when the worker uses as much. Less than half, for other
/// work of the idle class may share the machine with it.
constexpr double working_share = 0.25;

/// Waits that long, or until a signal comes.
void wait_a_little(int ms);
/// What a measurement ends with that was interrupted.
base::error was_interrupted();

/// What the node's owner allows.
enum class trial_policy {
    forced,  ///< all threads, whatever the machine is used for
    normal,  ///< the defaults, but the owner's input is what `input` and `no_input` say
};

/// One thread at a time.
class trial_node {
public:
    /// A folder for temporary files with a job in it; no process yet.
    static base::result<trial_node> create();
    trial_node(trial_node&& other) noexcept;
    trial_node& operator=(trial_node&&) = delete;
    ~trial_node();

    /// Starts the daemon, hands it the job at the first time, and returns when it answers. One that
    /// runs is ended first.
    base::result<void> start(trial_policy policy);
    /// Ends it, politely at first: it takes its control group with it.
    void stop();
    bool running() const { return daemon_.id() > 0; }
    pid_t daemon() const { return daemon_.id(); }
    /// The worker processes there are now; none while memory is given back.
    std::vector<pid_t> workers() const { return children_of_daemon(); }
    /// Processor seconds of the worker processes; does not fall while one lives.
    double worker_seconds() const;
    /// Until the workers used `share` of one processor over 100 ms. Errors: `timed_out` with what
    /// the node says of itself, `interrupted`.
    base::result<void> wait_for_work(double share, std::chrono::milliseconds patience) const;
    /// Until the policy has let all threads compute for `steady`. False when it has not within
    /// `patience`.
    bool wait_for_all_threads(std::chrono::milliseconds steady,
                              std::chrono::milliseconds patience) const;
    /// The owner presses a key now; the node counts him as present for an hour.
    base::result<void> input() const { return last_input(std::chrono::milliseconds(0)); }
    /// He pressed the last one more than a day ago.
    base::result<void> no_input() const { return last_input(std::chrono::hours(27)); }
    /// Pauses by command, as `tequio pause`.
    base::result<void> pause() const;
    base::result<boost::json::object> status() const;
    /// What the job trains, for a rival with the same work.
    static training::bench_preset work();

private:
    explicit trial_node(std::filesystem::path folder) : folder_(std::move(folder)) {}
    std::vector<pid_t> children_of_daemon() const;
    base::result<void> write_files() const;
    base::result<void> submit() const;
    base::result<void> last_input(std::chrono::milliseconds ago) const;
    std::filesystem::path data() const { return folder_ / "data"; }
    std::vector<std::pair<std::string, std::string>> environment() const;

    std::filesystem::path folder_;
    child_process daemon_;
    bool submitted_ = false;
};

}  // namespace tequio::node
