#pragma once

/// How many processors others use, and how long our own threads wait for one.
///
/// Others' use is `user + system` of /proc/stat less what Tequio processes put there. Their threads
/// have nice 19 and so stand in `nice`, where all niced work stands; what is left of them is the
/// daemons' own time and the workers' time inside the kernel. That is how nodes on one machine do
/// not take each other for an owner. Source: proc(5); reference "volunteer", section 3.1.
///
/// Where /proc/stat is hidden (ProcSubset=pid) our threads' waiting stands in for it, unless other
/// Tequio processes are there, which make them wait too.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "node/governor/probes/kept_file.hpp"
#include "node/governor/probes/process_scan.hpp"

namespace tequio::node {

/// Which of the machine's processors to watch.
struct watched_processors {
    unsigned count = 1;
    /// Their numbers; empty: all, by the first line of /proc/stat.
    std::vector<unsigned> only;
};

class cpu_probe {
public:
    struct reading {
        double foreground = 0;  ///< processors' worth
        double run_delay = 0;   ///< 0..1; looked at only where /proc/stat is hidden
    };
    cpu_probe(std::filesystem::path root, watched_processors watched);

    /// `close`: processes of ours that are looked at in every reading, this one and its worker; the
    /// other Tequio processes in `scan` once a second and whenever the processors look busy. When
    /// they begin to, `scan` is refreshed first: a node may just have started. `worker`: 0 for
    /// none. Readings closer than 40 ms (4 ticks) give the last one again.
    reading read(base::time_point now, process_scan& scan, const std::vector<int>& close,
                 int worker);
    /// /proc/stat can be read.
    bool sees_others() const { return sees_others_; }

private:
    struct process {
        kept_file stat;
        std::optional<std::uint64_t> ticks;  ///< credited so far
    };
    struct thread {
        kept_file schedstat;
        std::uint64_t run_ns = 0, delay_ns = 0;
        bool known = false;
    };
    std::optional<double> busy_ticks();
    double own_ticks(const std::vector<int>& pids);
    double foreground_ticks(double used, base::time_point now, base::duration span,
                            process_scan& scan, const std::vector<int>& close);
    void find_threads(int worker);
    double run_delay(base::time_point now, base::duration span, int worker);

    std::filesystem::path root_;
    watched_processors watched_;
    double ticks_per_second_;
    std::string buffer_;
    kept_file stat_;
    std::map<int, process> processes_;
    std::vector<thread> threads_;
    int worker_ = 0;
    std::optional<base::time_point> before_, threads_found_, others_read_;
    std::optional<double> busy_before_;
    reading last_;
    double others_rate_ = 0;      ///< ticks a second of the processes not in `close`
    double others_credited_ = 0;  ///< by that rate since they were read
    bool sees_others_ = false;
    bool suspicious_ = false;  ///< in the last reading somebody seemed to use a processor
};

}  // namespace tequio::node
