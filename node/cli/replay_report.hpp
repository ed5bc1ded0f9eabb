#pragma once

/// How a replay is compared, shown while it runs, and reported.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "node/cli/context.hpp"
#include "node/worker/job_replay.hpp"
#include "training/chronicle.hpp"

namespace tequio::node {

/// Where computed rounds differ from a chronicle.
class replay_comparison {
public:
    struct difference {
        std::uint64_t round = 0;
        std::string what;  ///< the first field that differs: "contribution of lane 2", "sum", ...
        std::string chronicle;
        std::string computed;
    };

    /// `expected` may lack rounds at its end; it must outlive the comparison.
    explicit replay_comparison(const std::vector<training::chronicle_entry>& expected)
        : expected_(expected) {}

    /// Compares one computed round, if the chronicle has it.
    void add(const training::chronicle_entry& entry);
    void mismatch(std::uint64_t round, std::string what, std::string chronicle,
                  std::string computed);
    bool differs() const { return !differences_.empty(); }
    std::uint64_t rounds_checked() const { return rounds_checked_; }
    const std::vector<difference>& differences() const { return differences_; }
    const std::vector<training::chronicle_entry>& computed() const { return computed_; }
    /// Of the last computed round with lanes; 0 if there is none.
    double loss() const;
    /// Of the last computed state that was validated.
    std::optional<double> validation_loss() const;

private:
    const std::vector<training::chronicle_entry>& expected_;
    std::vector<training::chronicle_entry> computed_;
    std::vector<difference> differences_;
    std::uint64_t rounds_checked_ = 0;
};

/// Progress on stderr: a line that is rewritten on a terminal, a line a round elsewhere.
class replay_display {
public:
    replay_display(const cli_context& context, const training::recipe& r);
    ~replay_display();
    replay_display(const replay_display&) = delete;
    replay_display& operator=(const replay_display&) = delete;
    void show(const replay_progress& at);
    void finished(const training::chronicle_entry& entry);

private:
    std::string pace() const;
    void clear();

    const cli_context& context_;
    const training::recipe& recipe_;
    bool drawing_;
    bool drawn_ = false;
    replay_progress at_;
    std::chrono::steady_clock::time_point start_;
};

/// Prints the result, and leaves exit code 8 in the context if something differs.
void report(cli_context& context, const job_replay& replay, const replay_comparison& comparison,
            bool has_chronicle);

/// Entries' texts one after the other. Errors: exit code 4 for a file that is not there;
/// `training::errc::bad_chronicle`.
base::result<std::vector<training::chronicle_entry>> read_chronicle(
    const std::filesystem::path& file);
base::result<void> write_chronicle(const std::filesystem::path& file,
                                   const std::vector<training::chronicle_entry>& entries);

}  // namespace tequio::node
