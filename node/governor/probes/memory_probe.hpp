#pragma once

/// Memory that is left, and how long somebody waited for memory and disks (PSI).

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/time.hpp"
#include "node/governor/probes/kept_file.hpp"

namespace tequio::node {

/// Bytes of the machine, whatever group this process is in.
std::uint64_t physical_memory();

class memory_probe {
public:
    struct reading {
        std::uint64_t bytes = 0;  ///< MemTotal; 0 when it cannot be read
        std::optional<std::uint64_t> available_bytes;
        double memory_stall = 0;  ///< share of the time since the last reading, 0..1
        double io_stall = 0;
    };
    explicit memory_probe(const std::filesystem::path& root);
    /// Polls the totals of /proc/pressure, which the kernel brings up to date at each read; its
    /// triggers need windows of 2 s without rights. Absent before Linux 4.20: no stall.
    reading read(base::time_point now);

private:
    struct pressure {
        kept_file file;
        std::optional<std::uint64_t> total;  ///< microseconds
    };
    double stall(pressure& p, base::duration span);
    std::string buffer_;
    kept_file info_;
    pressure memory_, io_;
    std::optional<base::time_point> before_;
};

}  // namespace tequio::node
