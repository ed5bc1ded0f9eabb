#pragma once

/// The governor's shell: gathers what the probes, the session agent and the owner's commands say,
/// has the governor decide and the release ladder carry it out on workers, network and crews.
/// Decides nothing itself. Reads the machine 20 times a second while threads may compute, once a
/// second while none do, every ten seconds in a long pause; what is pushed (a command, a report of
/// the agent) counts at once.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "node/governor/give_back_watch.hpp"
#include "node/governor/governor.hpp"
#include "node/governor/probes/bus_probe.hpp"
#include "node/governor/probes/machine_probe.hpp"
#include "node/governor/release_ladder.hpp"
#include "node/governor/session_reports.hpp"
#include "node/io/job_workers.hpp"

namespace tequio::node {

/// The governor as its owner sees it.
struct governor_view {
    allowance allowed;  ///< `threads` is what the workers' gate lets through
    release_level level = release_level::working;
    unsigned threads_limit = 0;  ///< `limits.idle.threads` here
    std::string idle_source;
    job_workers::use workers;
};

class governor_loop {
public:
    struct options {
        node_config config;
        unsigned threads = 0;  ///< beats the configuration; 0: by it
        /// Nothing that happens on this machine stops the work: no input, no heat, no battery.
        /// Others' use of processors takes threads, but never the last one. Commands, the schedule
        /// and the limits of `limits.idle` count.
        bool always = false;
        /// `pretend_input` is allowed, and the only source of input.
        bool test_input = false;
    };
    struct hooks {
        std::function<owner_wish()> wish;
        std::function<void(release_level)> tell_crews;
        /// Calls back once what the crews said to it has been sent, now or soon.
        std::function<void(std::function<void()>)> when_sent;
        /// Bytes a second; 0: no limit of the governor's.
        std::function<void(std::uint64_t)> limit_upload;
        std::function<void(const std::string&)> say;          ///< a line for the log
        std::function<void(const governor_change&)> changed;  ///< for the history
        /// The machine was given back while an item was computed; it took so long until the workers
        /// stood still (`give_back_watch`).
        std::function<void(base::unix_time, base::duration)> gave_back;
    };

    /// `workers` must outlive this. Begins with the first `look`.
    governor_loop(boost::asio::io_context& io, job_workers& workers, options o, hooks h);
    ~governor_loop();

    /// Reads and decides now, and again when it is due. After anything that was pushed.
    void look();
    /// A session agent's report; `from` is the kernel's word and is not doubted.
    void agent_said(const report_origin& from, const agent_report& report);
    /// The last input was `idle` ago, from now on. Errors: `errc::refused` unless started for it.
    base::result<void> pretend_input(base::duration idle);
    void configure(const node_config& config);
    /// What the workers are verified to leave to others.
    void set_protection(bool holds);
    governor_view view() const;
    unsigned threads_limit() const;
    std::uint64_t memory_limit() const;

private:
    governor_signals gather(base::time_point now, base::unix_time wall);
    ladder_facts workers_now(const job_workers::use& used) const;
    node_config effective(node_config config) const;
    void watch_bus();
    void bus_said(const bus_facts& facts);
    outside_facts outside(base::time_point now) const;
    void act(const ladder_effect& e);
    void end_workers_for(end_cause why);
    void limit_upload();
    void tell_changes();
    base::duration pace(base::time_point now, base::unix_time wall) const;
    void arm(base::unix_time wall);

    boost::asio::io_context& io_;
    boost::asio::steady_timer timer_;
    job_workers& workers_;
    options options_;
    hooks hooks_;
    std::optional<machine_probe> probe_;
    std::optional<governor> governor_;  ///< from the first look on
    governor_signals signals_;          ///< the last ones
    release_ladder ladder_;
    give_back_watch watch_;
    allowance shown_;
    bool protection_ = false;  ///< until it is measured; `always` does not ask
    session_reports agents_;
    bus_facts bus_said_;
    std::optional<base::time_point> pretended_;
    bool trickle_ = false;
    std::optional<std::uint64_t> upload_set_;
    std::uint64_t changes_told_ = 0;
    std::unique_ptr<bus_probe> bus_;  ///< none when `always`; last, for its thread calls back
};

}  // namespace tequio::node
