#include "node/governor/probes/process_scan.hpp"

#include <dirent.h>

#include <algorithm>
#include <memory>

#include "base/text.hpp"
#include "node/governor/probes/kept_file.hpp"
#include "node/io/files.hpp"

namespace tequio::node {
namespace {

constexpr std::size_t name_max = 15;       // TASK_COMM_LEN less the zero
constexpr unsigned look_again = 10;        // scans until an old process is read anew
constexpr std::size_t known_max = 100000;  // processes looked at; beyond, the rest is not seen

/// A worker, or a daemon: what else the program does, like a benchmark, is its owner's own work.
bool is_ours(const std::filesystem::path& folder, const std::string& name) {
    if (name == "tequio-worker") return true;
    if (name != "tequio") return false;
    const auto command = read_kernel_line(folder / "cmdline");
    const auto words = base::split(command, '\0');
    return std::find(words.begin(), words.end(), "node") != words.end();
}

}  // namespace

process_scan::process_scan(std::filesystem::path root, std::vector<std::string> programs)
    : folder_(std::move(root) / "proc"), programs_(std::move(programs)) {}

void process_scan::refresh() {
    ++scan_;
    // Not directory_iterator: a machine has thousands of these, and its paths cost more than they
    // do.
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(folder_.c_str()), ::closedir);
    while (const auto* entry = folder ? ::readdir(folder.get()) : nullptr) {
        const auto pid = base::parse_u64(entry->d_name);
        if (!pid || *pid == 0 || *pid > 1u << 30 || known_.size() >= known_max) continue;
        auto& p = known_[static_cast<int>(*pid)];
        // A new process still has its parent's name for a moment, so it is read twice.
        if (p.scans < 2 || (*pid + scan_) % look_again == 0) {
            const auto own = folder_ / entry->d_name;
            p.name = read_kernel_line(own / "comm");
            p.ours = is_ours(own, p.name);
        }
        p.scans = std::min(p.scans + 1, 2u);
        p.latest = scan_;
    }
    std::erase_if(known_, [&](const auto& item) { return item.second.latest != scan_; });

    ours_.clear();
    std::size_t first = programs_.size();
    for (const auto& [pid, p] : known_) {
        if (p.ours) ours_.push_back(pid);
        for (std::size_t i = 0; i < first; ++i) {
            if (std::string_view(programs_[i]).substr(0, name_max) == p.name) first = i;
        }
    }
    listed_.reset();
    if (first < programs_.size()) listed_ = programs_[first];
}

}  // namespace tequio::node
