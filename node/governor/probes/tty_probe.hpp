#pragma once

/// When somebody last typed into a terminal: consoles and SSH.

#include <filesystem>
#include <optional>

#include "base/time.hpp"

namespace tequio::node {

/// The time since the last read of any terminal (`root`/dev/pts/N, `root`/dev/tty1 to tty12). The
/// kernel moves these times in steps of 8 s, against spying on keystrokes, so a value below 8 s
/// means "now". Empty without terminals, as in a service with PrivateDevices. Misses graphical
/// input. A time ahead of `wall` counts as now.
std::optional<base::duration> read_tty_idle(const std::filesystem::path& root,
                                            base::unix_time wall);

}  // namespace tequio::node
