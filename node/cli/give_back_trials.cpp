#include "node/cli/give_back_trials.hpp"

#include <boost/json.hpp>
#include <chrono>
#include <cmath>

#include "base/text.hpp"
#include "node/cli/measure.hpp"
#include "node/io/files.hpp"

namespace tequio::node {
namespace {

using clock = std::chrono::steady_clock;

constexpr int sample_ms = 5;
/// A trial that has not ended by then counts as not stopped: the hard limit is 1 s.
constexpr double watched_seconds = 3;

/// `working_share` for a trial, or half a fair share where so much of that work runs that a fair
/// share is little: what a trial asks is how fast use ends.
double trial_share() {
    const auto load = read_kernel_file("/proc/loadavg").value_or("");
    // proc(5): the fourth field is "runnable/all".
    const auto fields = base::split(load, ' ');
    if (fields.size() < 4) return working_share;
    const auto runnable = base::parse_u64(base::split(fields[3], '/')[0]).value_or(1);
    return std::min(
        working_share,
        usable_threads() / (2.0 * static_cast<double>(std::max<std::uint64_t>(1, runnable))));
}
constexpr auto trial_work_patience = std::chrono::seconds(60);

double now_seconds() {
    return std::chrono::duration<double>(clock::now().time_since_epoch()).count();
}

double length_of(clock::duration span) {
    return std::chrono::duration<double>(span).count();
}

double used_by(const std::vector<pid_t>& workers) {
    double sum = 0;
    for (const auto worker : workers) sum += used_seconds(worker);
    return sum;
}

/// Processors that they use, over `ms`.
double used_in(const std::vector<pid_t>& workers, int ms) {
    const double before = used_by(workers), start = now_seconds();
    wait_a_little(ms);
    return (used_by(workers) - before) / (now_seconds() - start);
}

/// Shell loops, one for each processor, which wait for a word to begin.
class spinners {
public:
    static base::result<spinners> ready() {
        spinners out;
        for (unsigned i = 0; i < usable_threads(); ++i) {
            child_options how;
            how.arguments = {"/bin/sh", "-c", "read word; while :; do :; done"};
            how.own_session = true;
            how.waits = true;
            TEQUIO_TRY(auto child, child_process::start(how));
            out.loops_.push_back(std::move(child));
        }
        return out;
    }
    void begin() {
        for (auto& loop : loops_) loop.let_go();
    }

private:
    std::vector<child_process> loops_;
};

/// The governor has taken all threads away.
bool parked(const trial_node& node) {
    const auto says = node.status();
    if (!says) return false;
    const auto* allowed = says->if_contains("threads");
    return allowed != nullptr && allowed->is_number() && allowed->to_number<std::int64_t>() == 0;
}

/// One trial as it was seen.
struct trial_result {
    std::optional<double> stopped;  ///< seconds after the trigger
    std::optional<double> parked;
    double working = 0;  ///< processors that the worker used before it
};

/// Samples until the stop is known or the time is up.
base::result<std::optional<double>> watch(const std::vector<pid_t>& workers, double start) {
    std::vector<usage_sample> samples;
    double last = used_by(workers);
    while (now_seconds() < start + watched_seconds) {
        if (interrupted()) return was_interrupted();
        // An ended worker's count is gone; what it used is not given back.
        last = std::max(last, used_by(workers));
        samples.push_back({now_seconds(), last});
        if (const auto stop = stop_moment(samples, start)) return std::optional(*stop - start);
        wait_a_little(sample_ms);
    }
    return std::optional<double>();
}

base::result<trial_result> one_trial(const trial_node& node, const std::string& trigger) {
    spinners loops;
    if (trigger == "contention") {
        TEQUIO_TRY(loops, spinners::ready());
    }
    TEQUIO_CHECK(node.no_input());
    TEQUIO_CHECK(node.wait_for_work(trial_share(), trial_work_patience));
    const auto workers = node.workers();
    trial_result out;
    out.working = used_in(workers, 50);
    const double start = now_seconds();
    if (trigger == "contention") {
        loops.begin();
    } else {
        TEQUIO_CHECK(node.input());
    }
    TEQUIO_TRY(out.stopped, watch(workers, start));
    // After input the gate closes first and the worker stops by it. Contention stops the worker by
    // itself, through the scheduler; the gate follows.
    while (trigger == "contention" && now_seconds() < start + watched_seconds) {
        if (interrupted()) return was_interrupted();
        if (parked(node)) {
            out.parked = now_seconds() - start;
            break;
        }
        wait_a_little(sample_ms);
    }
    return out;
}

/// For the line that shows how a long run goes.
std::string so_far(const give_back_times& times) {
    if (times.trials() == 0) return "";
    double longest = times.not_stopped > 0 ? watched_seconds : 0;
    for (const double s : times.seconds) longest = std::max(longest, s);
    return "; longest so far " + std::to_string(std::lround(1e3 * longest)) + " ms";
}

}  // namespace

base::result<give_back_times> measure_give_back(const cli_context& context, const trial_node& node,
                                                const std::string& trigger, std::uint64_t count) {
    give_back_times out;
    out.trigger = trigger;
    for (std::uint64_t i = 0; i < count; ++i) {
        if (i % 10 == 0) {
            context.say("giving back after " + trigger + ", trial " + std::to_string(i + 1) +
                        " of " + std::to_string(count) + so_far(out));
        }
        const auto trial = one_trial(node, trigger);
        if (!trial) {
            // A machine that got busy costs the trials to come, not those there were.
            if (interrupted() || out.trials() == 0) return trial.error();
            out.ended_early = trial.error().message();
            break;
        }
        if (trial->stopped) {
            out.seconds.push_back(*trial->stopped);
        } else {
            ++out.not_stopped;
        }
        out.working.push_back(trial->working);
        if (trial->parked) out.parked_seconds.push_back(*trial->parked);
    }
    return out;
}

base::result<harvest_result> measure_harvest(const trial_node& node, double seconds) {
    TEQUIO_CHECK(node.wait_for_work(working_share, trial_work_patience));
    // This command and the submission of its job are somebody's use of the machine: the policy
    // gives way to them, sees them a moment late, and takes some seconds to come back. That is no
    // part of what lies idle for hours, so it is told on its own. A machine that is busy anyway is
    // measured as it is: the policy leaves it to others.
    // As long as the measurement is worth: 3 s and 30 s for the usual 7.5 s.
    const auto share = [&](double part) {
        return std::chrono::milliseconds(std::llround(1e3 * part * std::min(seconds, 7.5)));
    };
    const auto steady = share(0.4), growth_patience = share(4);
    harvest_result out;
    const double waited_from = now_seconds();
    if (node.wait_for_all_threads(steady, growth_patience)) {
        out.full_after_seconds = now_seconds() - waited_from - length_of(steady);
    }
    const auto machine = read_machine_times();
    const auto workers = node.workers();
    const double worker = used_by(workers), daemon = used_seconds(node.daemon());
    const double start = now_seconds();
    while (now_seconds() < start + seconds) {
        if (interrupted()) return was_interrupted();
        wait_a_little(50);
    }
    const auto spent = read_machine_times() - machine;
    out.worker_seconds = used_by(workers) - worker;
    out.seconds = now_seconds() - start;
    // The daemon's own use and what lay idle are what the harvest misses; others' use is not.
    const double ours = out.worker_seconds + used_seconds(node.daemon()) - daemon;
    out.others_seconds = std::max(0.0, spent.busy - ours);
    const double left = usable_threads() * out.seconds - out.others_seconds - spent.steal;
    out.available_seconds = std::max(out.worker_seconds, left);
    return out;
}

base::result<paused_result> measure_paused(const trial_node& node, double seconds) {
    TEQUIO_CHECK(node.wait_for_work(working_share, trial_work_patience));
    const auto workers = node.workers();
    const auto resident = [&] {
        std::uint64_t sum = 0;
        for (const auto worker : workers) sum += memory_of(worker).resident;
        return sum;
    };
    paused_result out;
    out.worker_resident_before = resident();
    TEQUIO_CHECK(node.pause());
    const double start = now_seconds();
    std::optional<double> settled;
    double daemon = 0, worker = 0;
    while (now_seconds() < start + seconds) {
        if (interrupted()) return was_interrupted();
        if (!settled && now_seconds() > start + std::min(1.0, seconds / 2)) {
            // What pausing itself cost is over.
            settled = now_seconds();
            daemon = used_seconds(node.daemon());
            worker = used_by(workers);
        }
        if (!out.memory_released_seconds && 10 * resident() <= out.worker_resident_before) {
            out.memory_released_seconds = now_seconds() - start;
        }
        wait_a_little(100);
    }
    const double end = now_seconds();
    out.seconds = end - start;
    out.daemon = memory_of(node.daemon());
    out.worker_resident_after = resident();
    if (settled) {
        out.daemon_share = (used_seconds(node.daemon()) - daemon) / (end - *settled);
        out.worker_share = std::max(0.0, used_by(workers) - worker) / (end - *settled);
    }
    return out;
}

}  // namespace tequio::node
