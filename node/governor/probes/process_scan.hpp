#pragma once

/// Looks through /proc for the processes that matter to the governor: those of Tequio, whose
/// processor time is nobody's foreground, and the owner's listed programs.
///
/// Cost: one listing of /proc, and one small file for each process that is new, young, or due to be
/// looked at again (a process changes its name when it starts another program); a tenth of the old
/// ones in each scan.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tequio::node {

class process_scan {
public:
    /// `root`: "/" or a made-up tree. `programs`: names as in `idle.programs`.
    process_scan(std::filesystem::path root, std::vector<std::string> programs);

    /// Looks again.
    void refresh();
    /// Daemons (`tequio node`) and workers ("tequio-worker") on this machine, ascending.
    const std::vector<int>& ours() const { return ours_; }
    /// Processes of the last scan.
    std::size_t count() const { return known_.size(); }
    /// Made so far.
    unsigned scans() const { return scan_; }
    bool lists_programs() const { return !programs_.empty(); }
    /// The first of `programs` that runs.
    const std::optional<std::string>& listed() const { return listed_; }

private:
    struct process {
        std::string name;
        bool ours = false;
        unsigned scans = 0;   ///< in which it was seen
        unsigned latest = 0;  ///< number of the scan that saw it last
    };
    std::filesystem::path folder_;
    std::vector<std::string> programs_;
    std::map<int, process> known_;
    unsigned scan_ = 0;
    std::vector<int> ours_;
    std::optional<std::string> listed_;
};

}  // namespace tequio::node
