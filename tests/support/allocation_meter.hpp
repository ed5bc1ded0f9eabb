#pragma once

/// The largest single allocation by `new`, of a program that links allocation_meter.cpp: what tests
/// of hostile input ask for.

#include <cstddef>

namespace tequio::tests {

/// Starts anew.
void reset_largest_allocation();
/// Bytes of the largest allocation since then, in any thread.
std::size_t largest_allocation();

}  // namespace tequio::tests
