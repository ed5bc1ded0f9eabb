#pragma once

/// Carries what members of a team say to one another when all their workers belong to this
/// process: for measurements, and tests. A daemon's members are other daemons'.

#include <span>

#include "node/worker/compute_worker.hpp"

namespace tequio::node {

/// Carries out what worker `member` of `team` (by index) reported; false if it was nothing that
/// members say to one another. Nothing is copied.
bool relay(std::span<compute_worker* const> team, std::uint32_t member, const worker_event& event);

}  // namespace tequio::node
