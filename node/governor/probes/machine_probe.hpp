#pragma once

/// All probes of this machine in one reading for the governor, each at the pace it is worth:
///
///   every reading    processors, our threads' waiting, the use of a control group with a quota
///   5 Hz             memory left, waiting for memory and disks
///   1 Hz             Tequio processes and listed programs (also when the processors look busy);
///                    less often above 500 processes, 0.2 Hz at least
///   0.5 Hz           terminals, control groups' limits; power and temperature on a thread of its
///   own
///
/// Nothing here waits: the two that drivers could hold up are on that thread, and when it is stuck
/// their last values stay. What the session agent and the system bus know is handed in.

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/time.hpp"
#include "node/governor/governor.hpp"
#include "node/governor/idle_source.hpp"
#include "node/governor/probes/cpu_probe.hpp"
#include "node/governor/probes/group_limits.hpp"
#include "node/governor/probes/group_use_probe.hpp"
#include "node/governor/probes/memory_probe.hpp"
#include "node/governor/probes/process_scan.hpp"

namespace tequio::node {

/// What others told: the session agents by the API, logind and NetworkManager by the bus probe.
struct outside_facts {
    std::vector<session_input> agents;
    std::optional<bool> locked;              ///< `bus_facts::locked`
    std::optional<bool> idle_hint;           ///< `bus_facts::idle_hint`
    std::optional<base::duration> idle_for;  ///< now less `bus_facts::idle_since`
    std::optional<bool> metered;
    bool preparing_for_sleep = false;
    /// No thread computes now: what costs most is looked at less often.
    bool released = false;
};

class machine_probe {
public:
    struct options {
        std::filesystem::path root = "/";           ///< a made-up tree in tests
        std::vector<std::string> programs;          ///< `idle.programs`
        int own_process = 0;                        ///< 0: the calling process
        std::optional<watched_processors> watched;  ///< instead of the affinity mask
        /// Power and temperature in each reading instead of on a thread. For tests.
        bool sensors_at_once = false;
    };
    explicit machine_probe(options o);
    machine_probe(const machine_probe&) = delete;
    machine_probe& operator=(const machine_probe&) = delete;
    /// Ends the thread; waits for a sensor that is being read.
    ~machine_probe();

    /// One reading. `worker`: the compute process, 0 for none. One thread only.
    /// Cost: about 20 us, some 100 us more once a second (README.md says what was measured).
    governor_signals read(base::time_point now, base::unix_time wall, const outside_facts& facts,
                          int worker);
    /// How often all processes were looked through since the programs were set.
    unsigned scans() const { return processes_.scans(); }
    /// A reloaded `idle.programs`.
    void set_programs(std::vector<std::string> programs);

private:
    struct sensor_values {
        std::optional<bool> on_battery;
        std::optional<double> celsius;
    };
    void watch_sensors();
    void scan_processes(base::time_point now);
    void read_processors(base::time_point now, int worker, governor_signals& out);

    std::filesystem::path root_;
    int own_ = 0;
    watched_processors watched_;
    unsigned affine_ = 1;  ///< processors the affinity mask leaves
    cpu_probe cpu_;
    group_use_probe group_use_;
    memory_probe memory_;
    process_scan processes_;
    group_limits limits_;
    memory_probe::reading memory_reading_;
    std::optional<base::duration> tty_idle_;
    std::optional<base::time_point> memory_read_, scanned_, slow_read_;
    bool hint_works_ = false;

    bool sensors_at_once_ = false;
    std::mutex mutex_;
    std::condition_variable wake_;
    bool stop_ = false;      // by mutex_
    sensor_values sensors_;  // by mutex_
    std::thread thread_;
};

}  // namespace tequio::node
