#pragma once

/// The self-test behind `cpu_protection`: what does a thread in the worker's set-up really get of a
/// processor that somebody else wants? A helper process asks, so that nobody waits for it.
///
/// Measured is what a rival in the daemon's own group loses. That can refute a claim, never raise
/// it: a rival in a group further away may lose more, and none can be placed there without rights.

#include <string>

#include "base/result.hpp"
#include "node/io/files.hpp"
#include "node/worker/cpu_protection.hpp"

namespace tequio::node {

/// A background share above this refutes a claim better than nice-only. Weight 5 gives 0.05, an
/// autogroup at nice 19 gives 0.014, cpu.idle 0.003; the rest is for ticks and noise (guess).
inline constexpr double refuting_share = 0.12;

/// The claim, lowered if the share of a processor refutes it; negative: not measured. `apart`: the
/// rival was in another group (autogroups count), where threads' own priorities say nothing.
protection_report verify_protection(protection_facts claim, double share, bool apart);

/// One test at a time. Not thread-safe; `start` must be called by a thread that lives until the
/// end.
class protection_probe {
public:
    protection_probe() = default;
    protection_probe(const protection_probe&) = delete;
    protection_probe& operator=(const protection_probe&) = delete;
    /// Ends the helper.
    ~protection_probe();
    /// Starts `program` as `PROGRAM worker --probe-protection`; `group` as for
    /// `lower_own_priority`. About 250 ms; 4 s at most if the machine is busy. Errors:
    /// `base::errc::io_failure`.
    base::result<void> start(const std::string& program, const std::string& group);
    /// Readable when `take` will not wait for long.
    int native_handle() const { return answer_.get(); }
    /// Waits for the helper's end and returns what it found; a helper that failed gives `none`.
    protection_report take();

private:
    unique_fd answer_;
    int process_ = 0;
};

/// The helper: measures, writes one line to `answer`, and returns the exit code. The calling
/// process must have one thread.
int protection_probe_main(const std::string& group, int answer);

/// The descriptor at which the helper finds `answer`.
inline constexpr int probe_answer_descriptor = 3;

}  // namespace tequio::node
