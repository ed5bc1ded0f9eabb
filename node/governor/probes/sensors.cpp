#include "node/governor/probes/sensors.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "node/governor/probes/kept_file.hpp"
#include "node/io/files.hpp"

namespace tequio::node {
namespace {

namespace fs = std::filesystem;

/// The entries of a folder in order of name, so that the answer does not depend on the kernel's.
std::vector<fs::path> entries(const fs::path& folder) {
    std::vector<fs::path> out;
    std::error_code ec;
    for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
        if (out.size() == 1000) break;
        out.push_back(it->path());
    }
    std::sort(out.begin(), out.end());
    return out;
}

void raise_to(std::optional<double>& hottest, std::optional<std::int64_t> millidegrees) {
    if (!millidegrees || *millidegrees < -30'000 || *millidegrees > 150'000) return;
    const double c = static_cast<double>(*millidegrees) / 1000;
    hottest = std::max(hottest.value_or(c), c);
}

bool has_any(std::string_view text, const auto& words) {
    return std::any_of(words.begin(), words.end(),
                       [&](std::string_view w) { return text.find(w) != text.npos; });
}

constexpr std::array<std::string_view, 9> processor_names{
    "x86_pkg_temp", "cpu", "CPU", "TCPU", "soc", "coretemp", "k10temp", "zenpower", "package"};

}  // namespace

std::optional<bool> read_on_battery(const fs::path& root) {
    bool known = false, mains_online = false, mains = false, battery = false, drains = false;
    for (const auto& supply : entries(root / "sys/class/power_supply")) {
        const auto type = read_kernel_line(supply / "type");
        if (type.empty() || read_kernel_line(supply / "scope") == "Device") continue;
        if (type == "Battery" || type == "UPS") {
            if (number_in_file(supply / "present") == 0) continue;
            battery = known = true;
            drains = drains || read_kernel_line(supply / "status") == "Discharging";
        } else if (const auto online = number_in_file(supply / "online")) {
            known = mains = true;
            mains_online = mains_online || *online > 0;
        }
    }
    if (!known) return std::nullopt;
    // Some batteries never say "Discharging"; a mains supply that is off says it for them.
    return !mains_online && battery && (drains || mains);
}

std::optional<double> read_celsius(const fs::path& root) {
    std::optional<double> hottest, board;
    for (const auto& zone : entries(root / "sys/class/thermal")) {
        const auto type = read_kernel_line(zone / "type");
        if (!zone.filename().string().starts_with("thermal_zone")) continue;
        if (has_any(type, processor_names)) {
            raise_to(hottest, number_in_file(zone / "temp"));
        } else if (type == "acpitz") {
            raise_to(board, number_in_file(zone / "temp"));
        }
    }
    if (hottest) return hottest;
    for (const auto& chip : entries(root / "sys/class/hwmon")) {
        if (!has_any(read_kernel_line(chip / "name"), processor_names)) continue;
        for (const auto& file : entries(chip)) {
            const auto name = file.filename().string();
            if (name.starts_with("temp") && name.ends_with("_input")) {
                raise_to(hottest, number_in_file(file));
            }
        }
    }
    return hottest ? hottest : board;
}

}  // namespace tequio::node
