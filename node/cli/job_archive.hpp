#pragma once

/// What a data folder knows of a job, read beside a running daemon or without one.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "node/worker/compute_worker.hpp"
#include "training/chronicle.hpp"
#include "training/task.hpp"

namespace tequio::node {

/// One job as a node remembers it.
struct archived_job {
    base::task_id id;
    training::task task;
    /// Rounds as this node closed them, from round 0 without a gap.
    std::vector<training::chronicle_entry> chronicle;
};

/// The job whose task id begins with `id` (hexadecimal digits); nullopt when the folder holds none.
/// Errors: `base::errc::io_failure` for a folder that cannot be read; exit code 2 when several
/// jobs begin so.
base::result<std::optional<archived_job>> find_archived_job(const std::filesystem::path& data_dir,
                                                            const std::string& id);

/// A blob of the folder's store, not compared with its name. Errors: `base::errc::io_failure` when
/// it is not there.
base::result<worker_input_file> open_archived_blob(const std::filesystem::path& data_dir,
                                                   const base::blob_ref& ref);

}  // namespace tequio::node
