#pragma once

/// Who sits at the machine.

#include <cstdint>

namespace tequio::node {

/// The user has the session in the foreground of one of the machine's seats (screen and keyboard),
/// as logind says; false where there is no logind. Source: sd_uid_get_seats(3). Cost: one small
/// file is read; nothing is waited for. Thread-safe.
bool sits_at_a_seat(std::uint32_t user);

}  // namespace tequio::node
