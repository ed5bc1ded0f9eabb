#include "node/governor/probes/kept_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "base/text.hpp"
#include "node/io/files.hpp"

namespace tequio::node {

kept_file::kept_file(kept_file&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

kept_file& kept_file::operator=(kept_file&& other) noexcept {
    if (this != &other) {
        close();
        path_ = std::move(other.path_);
        descriptor_ = std::exchange(other.descriptor_, -1);
    }
    return *this;
}

kept_file::~kept_file() {
    close();
}

void kept_file::close() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
}

std::string_view kept_file::read(std::string& buffer) {
    if (descriptor_ < 0 && !path_.empty()) {
        // A pipe in place of the file must not hold anyone up.
        descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    }
    if (descriptor_ < 0) return {};
    // One read gives the whole of such a file when there is room.
    const auto n = ::pread(descriptor_, buffer.data(), buffer.size(), 0);
    if (n < 0) close();
    return {buffer.data(), n > 0 ? static_cast<std::size_t>(n) : 0};
}

std::optional<std::uint64_t> take_number(std::string_view& text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return value;
}

std::optional<std::uint64_t> number_after(std::string_view text, std::string_view label) {
    const auto at = text.find(label);
    if (at == text.npos) return std::nullopt;
    text.remove_prefix(at + label.size());
    return take_number(text);
}

std::optional<std::int64_t> number_in_file(const std::filesystem::path& path) {
    return base::parse_i64(read_kernel_line(path));
}

}  // namespace tequio::node
