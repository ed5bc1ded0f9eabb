#include "node/governor/probes/memory_probe.hpp"

#include <unistd.h>

#include <algorithm>

namespace tequio::node {

std::uint64_t physical_memory() {
    return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
           static_cast<std::uint64_t>(::sysconf(_SC_PAGE_SIZE));
}

memory_probe::memory_probe(const std::filesystem::path& root)
    : buffer_(8192, '\0'),
      info_(root / "proc/meminfo"),
      memory_{kept_file(root / "proc/pressure/memory"), {}},
      io_{kept_file(root / "proc/pressure/io"), {}} {}

double memory_probe::stall(pressure& p, base::duration span) {
    const auto text = p.file.read(buffer_);
    // "some avg10=0.00 avg60=0.00 avg300=0.00 total=8946881325", then the same for "full".
    const auto total = text.starts_with("some ") ? number_after(text, "total=") : std::nullopt;
    const auto before = std::exchange(p.total, total);
    if (!total || !before || *total < *before || span <= base::duration::zero()) return 0;
    const std::chrono::duration<double, std::micro> waited(static_cast<double>(*total - *before));
    return std::min(1.0, waited / span);
}

memory_probe::reading memory_probe::read(base::time_point now) {
    const auto span = before_ ? now - *before_ : base::duration::zero();
    before_ = now;
    reading out;
    const auto text = info_.read(buffer_);
    constexpr std::uint64_t kib_max = std::uint64_t{1} << 50;
    if (const auto kib = number_after(text, "MemTotal:"); kib && *kib < kib_max) {
        out.bytes = *kib * 1024;
    }
    if (const auto kib = number_after(text, "MemAvailable:"); kib && *kib < kib_max) {
        out.available_bytes = *kib * 1024;
    }
    out.memory_stall = stall(memory_, span);
    out.io_stall = stall(io_, span);
    return out;
}

}  // namespace tequio::node
