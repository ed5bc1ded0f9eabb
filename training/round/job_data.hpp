#pragma once

/// The section [data] of a job file.

#include "training/job_file.hpp"
#include "training/round/job_reader.hpp"

namespace tequio::training {

/// Longest path that a job file may name.
inline constexpr std::size_t path_max_bytes = 4096;

/// Reads [data] after [model]: the family says which kinds of files it trains on. Faults are left
/// with `in`.
void read_job_data(job_reader& in, job_file& job);

}  // namespace tequio::training
