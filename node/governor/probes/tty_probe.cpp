#include "node/governor/probes/tty_probe.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <string>

#include "base/text.hpp"

namespace tequio::node {
namespace {

namespace fs = std::filesystem;

constexpr int consoles = 12;  // login consoles and the display server's are among the first

void look_at(const fs::path& terminal, std::optional<std::int64_t>& latest) {
    struct stat info;
    // A link could lead to a file system that hangs.
    if (::lstat(terminal.c_str(), &info) != 0 || S_ISLNK(info.st_mode) || S_ISDIR(info.st_mode)) {
        return;
    }
    latest = std::max<std::int64_t>(latest.value_or(info.st_atime), info.st_atime);
}

}  // namespace

std::optional<base::duration> read_tty_idle(const fs::path& root, base::unix_time wall) {
    std::optional<std::int64_t> latest;
    std::error_code ec;
    for (fs::directory_iterator it(root / "dev/pts", ec), end; !ec && it != end; it.increment(ec)) {
        if (base::parse_u64(it->path().filename().string())) look_at(it->path(), latest);
    }
    for (int i = 1; i <= consoles; ++i) look_at(root / ("dev/tty" + std::to_string(i)), latest);
    if (!latest) return std::nullopt;
    return std::chrono::seconds(std::max<std::int64_t>(0, wall.seconds - *latest));
}

}  // namespace tequio::node
