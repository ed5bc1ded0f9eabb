#pragma once

/// A small file of /proc or /sys that is read again and again: opened once, then read from its
/// beginning, which makes the kernel write it anew. Nothing here fails loudly: what cannot be
/// opened, read or understood is an absent signal.

#include <charconv>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace tequio::node {

class kept_file {
public:
    kept_file() = default;
    explicit kept_file(std::filesystem::path path) : path_(std::move(path)) {}
    kept_file(kept_file&& other) noexcept;
    kept_file& operator=(kept_file&& other) noexcept;
    ~kept_file();

    /// The text now, at most `buffer.size()` bytes of it; empty when it cannot be read. Points into
    /// `buffer`, whose size does not change. After a failure the next call opens the file anew.
    std::string_view read(std::string& buffer);

private:
    void close();
    std::filesystem::path path_;
    int descriptor_ = -1;
};

/// The decimal number at the start of `text`; skips blanks before it and takes it away.
std::optional<std::uint64_t> take_number(std::string_view& text);
/// The number behind the first `label` in `text` ("MemAvailable:", "total=").
std::optional<std::uint64_t> number_after(std::string_view text, std::string_view label);
/// The number that is the whole of a file.
std::optional<std::int64_t> number_in_file(const std::filesystem::path& path);

}  // namespace tequio::node
