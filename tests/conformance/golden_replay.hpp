#pragma once

#include <string>

#include "tests/conformance/golden_job.hpp"

namespace tequio::tests {

/// Lets a worker process, started as `PROGRAM worker ...`, compute a golden job, and gives the last
/// line of golden.txt, the one of the chronicle, as this process came to it.
std::string replay_golden_job(const golden_job& job, const std::string& program, unsigned threads);

}  // namespace tequio::tests
