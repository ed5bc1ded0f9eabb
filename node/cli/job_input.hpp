#pragma once

/// A job file and its data as read from disk: what `job submit`, `job plan` and `job replay
/// JOB.toml` begin with.

#include <filesystem>
#include <string>
#include <vector>

#include "node/cli/context.hpp"
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
    training::tokenised_data data;  ///< tokens, or the examples of an mlp
    base::byte_vector init;         ///< weights to start from; empty when they are drawn
    training::recipe recipe;
    /// tokenizer.json, for the trained model's folder; empty with the tokenizer "bytes".
    base::byte_vector companion;

    std::optional<base::blob_ref> companion_ref() const;
    /// In the order of `training::task_blobs`.
    std::vector<input_blob> blobs() const;
};

/// Reads the job file, the tokenizer, the data files beside it and the folder of weights to start
/// from, and tokenises; shows how far it is where a person watches. Errors name file and line;
/// those of the job file end with exit code 2, Ctrl-C (if caught) with 130.
base::result<job_input> read_job(const cli_context& context, const std::filesystem::path& file);

/// Reads a tokenizer.json; leaves its bytes in `json` unless that is null. Errors name the file.
base::result<training::tokenizer> read_tokenizer(const std::filesystem::path& path,
                                                 base::byte_vector* json = nullptr);

}  // namespace tequio::node
