#pragma once

/// Power supply and temperature. These files are made by drivers that may talk to slow firmware, so
/// they are read on a thread of the machine probe, never on the network thread.

#include <filesystem>
#include <optional>

namespace tequio::node {

/// Whether the machine runs on its battery. False with any mains or USB supply that is online, or
/// without a battery that discharges; empty without any supply known. Peripherals' batteries
/// (scope "Device": mice, headsets) do not count; several batteries are one; a UPS counts as one.
/// Source: kernel Documentation, sysfs-class-power; reference "volunteer", section 3.1.
std::optional<bool> read_on_battery(const std::filesystem::path& root);

/// The hottest processor in degrees Celsius: thermal zones of processors (x86_pkg_temp, cpu...),
/// else hwmon (coretemp, k10temp, ...), else the board's acpitz. Values outside -30..150 are
/// sensors that say nothing. Empty without any.
std::optional<double> read_celsius(const std::filesystem::path& root);

}  // namespace tequio::node
