#pragma once

/// Small whole jobs whose results are fixed: list.txt and later.txt in tests/vectors/jobs name
/// them, a line each, and the folder of each holds
///
///     job.toml, text files   what a submitter would type
///     recipe.txt, data.bin   what they become: the recipe's canonical text, the data's blob
///     golden.txt             what these come to, bit for bit
///
/// TEQUIO_WRITE_VECTORS=1 conformance_job_files makes recipe.txt and data.bin anew, then
/// TEQUIO_WRITE_VECTORS=1 conformance_jobs golden.txt, by the plain references. So a new family of
/// models needs a folder here and a line in later.txt.

#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "training/dataset.hpp"
#include "training/engine.hpp"
#include "training/recipe.hpp"

namespace tequio::tests {

struct golden_job {
    std::string name;
    training::recipe work;
    base::byte_vector data;
    std::string golden;  ///< golden.txt without its comments; empty if there is no such file

    training::dataset_view view() const;
};

/// The folder of a job, an absolute path.
std::string golden_job_folder(const std::string& name);
/// The names in list.txt, then those in later.txt.
std::vector<std::string> golden_job_names();
/// Reads a job; a file that is missing or damaged fails the test.
golden_job read_golden_job(const std::string& name);
std::vector<golden_job> read_golden_jobs();
/// The bytes of a file, which fails the test when it cannot be read.
std::string read_text(const std::string& path);

/// Computes all of a job and tells of it: each round's state, each lane's contribution, trace and
/// loss, the final state, the chronicle. This is the text of golden.txt.
std::string run_golden_job(const golden_job& job, training::executor& run,
                           training::engine_options options = {});
/// The line of golden.txt for one lane of round 0, computed alone.
std::string run_golden_lane(const golden_job& job, std::uint64_t lane, training::executor& run,
                            training::engine_options options = {});
/// The line of golden.txt for one lane of round 0, as the file has it.
std::string golden_lane(const golden_job& job, std::uint64_t lane);

}  // namespace tequio::tests
