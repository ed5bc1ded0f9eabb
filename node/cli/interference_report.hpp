#pragma once

/// What came of `bench interference`: conditions compared block by block, as JSON and for people.

#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "node/cli/interference_probes.hpp"
#include "node/cli/process_meter.hpp"
#include "node/cli/statistics.hpp"

namespace tequio::node {

/// The conditions by their letters; A is what the others are compared with.
std::string condition_name(char condition);

/// All turns of one probe.
struct probe_turns {
    interference_probe probe;
    /// By condition: the samples of each block, in order of the blocks.
    std::map<char, std::vector<std::vector<double>>> blocks;
};

/// A condition against A, paired by block.
struct paired_comparison {
    char condition = 'B';
    std::string figure;
    bool ratio = true;  ///< condition / A, or condition - A
    std::size_t pairs = 0;
    median_interval value;
    std::optional<double> limit;  ///< of the reference's targets (section 4.2), at most
    /// "kept" or "missed" when the whole interval lies on one side of the limit, else "open"; empty
    /// without a limit.
    std::string verdict() const;
};

/// Of the conditions that have as many blocks as A. A ratio to 0 is left out.
std::vector<paired_comparison> compare(const probe_turns& turns, std::uint64_t seed);

/// Times from an event until the worker's use of processors ended.
struct give_back_times {
    std::string trigger;          ///< "input" or "contention"
    std::vector<double> seconds;  ///< of the trials that stopped
    std::size_t not_stopped = 0;  ///< of those that did not within the time watched
    std::vector<double>
        parked_seconds;           ///< until the policy was seen to have taken all threads away
    std::vector<double> working;  ///< processors in use before each trial
    std::string ended_early;      ///< why there are fewer trials than were asked for; else empty
    std::size_t trials() const { return seconds.size() + not_stopped; }
    /// Part of all trials that stopped within that time.
    double within(double limit) const;
};

/// How much of what lay idle was used.
struct harvest_result {
    double seconds = 0;
    double worker_seconds = 0;     ///< of processors
    double available_seconds = 0;  ///< all processors less what others used and the host took
    double others_seconds = 0;     ///< used by others, this command included
    /// From its first work until all threads were allowed for good, before the measurement;
    /// nothing: they never were.
    std::optional<double> full_after_seconds;
    double share() const { return available_seconds > 0 ? worker_seconds / available_seconds : 0; }
};

/// What a paused node costs.
struct paused_result {
    double seconds = 0;
    memory_use daemon;
    double daemon_share = 0;  ///< of one processor
    double worker_share = 0;  ///< of one processor, after the first second
    std::uint64_t worker_resident_before = 0;
    std::uint64_t worker_resident_after = 0;  ///< 0: no worker is left
    /// From the pause until nine tenths of the worker's memory was free; nothing: not in this time.
    std::optional<double> memory_released_seconds;
};

struct interference_report {
    machine_facts machine;
    double others_busy = 0;  ///< processors that others used before anything was started
    double steal_share = 0;  ///< of the machine's time, during the whole run
    std::string protection = "unknown";
    std::string conditions;
    std::uint64_t blocks = 0;
    double turn_seconds = 0;
    std::uint64_t seed = 0;
    std::string build;  ///< the command, or what stands in its place
    std::vector<probe_turns> probes;
    std::vector<give_back_times> give_back;
    std::optional<harvest_result> harvest;
    std::optional<paused_result> paused;
    std::vector<std::string> warnings;
    double seconds = 0;  ///< the run
};

boost::json::object as_json(const interference_report& report);
void print(const interference_report& report);
/// The part that the data dir keeps for `status`: date, p50, p99, longest, trials, shares. Empty
/// when no giving back was measured. `date` is RFC 3339.
boost::json::object summary_json(const interference_report& report, const std::string& date);

}  // namespace tequio::node
