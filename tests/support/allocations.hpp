#pragma once

/// What a program allocates: for tests of readers that must not believe a stranger's lengths. Link
/// allocations.cpp into the test.

#include <atomic>
#include <cstddef>

namespace tequio::tests {

/// Bytes of the largest single allocation through operator new since it was last set.
extern std::atomic<std::size_t> largest_allocation;

}  // namespace tequio::tests
