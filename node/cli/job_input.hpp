#pragma once

/// A job file and its data as read from disk: what `job submit`, `job plan` and `job replay
/// JOB.toml` begin with.

#include <filesystem>

#include "training/dataset.hpp"
#include "training/job_file.hpp"

namespace tequio::node {

/// A blob of the task to be. `bytes` is a view into the `job_input`.
struct input_blob {
    base::blob_ref ref;
    base::byte_view bytes;
};

struct job_input {
    training::job_file file;
    training::tokenised_data data;
    training::recipe recipe;

    /// In the order of `training::task_blobs`.
    std::vector<input_blob> blobs() const { return {{data.config.tokens, data.tokens}}; }
};

/// Reads the job file and the data files beside it, and tokenises. Errors name file and line; those
/// of the job file end with exit code 2.
base::result<job_input> read_job(const std::filesystem::path& file);

}  // namespace tequio::node
