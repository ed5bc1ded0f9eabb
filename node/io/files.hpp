#pragma once

/// Files as the shells use them: whole, private, durable. Errors are `base::errc::io_failure` with
/// path and reason.

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/bytes.hpp"

namespace tequio::node {

/// Owns a file descriptor; closes it.
class unique_fd {
public:
    unique_fd() = default;
    explicit unique_fd(int fd) : fd_(fd) {}
    unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    unique_fd& operator=(unique_fd&& other) noexcept;
    ~unique_fd();
    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    int release() { return std::exchange(fd_, -1); }

private:
    int fd_ = -1;
};

/// A file mapped read-only; unmapped on destruction. Empty files map to an empty view.
class mapped_file {
public:
    mapped_file() = default;
    mapped_file(mapped_file&& other) noexcept;
    mapped_file& operator=(mapped_file&& other) noexcept;
    ~mapped_file();
    static base::result<mapped_file> open(const std::filesystem::path& path);
    base::byte_view bytes() const { return {data_, size_}; }

private:
    const std::uint8_t* data_ = nullptr;
    std::size_t size_ = 0;
};

/// The whole file. Refuses one above `size_max` before reading it.
base::result<std::string> read_file(const std::filesystem::path& path, std::uint64_t size_max);
/// A file of /proc or /sys, which has no length to map or to trust; at most 64 KiB of it. None when
/// it cannot be read. Waits for nothing: a pipe in its place holds nobody up.
std::optional<std::string> read_kernel_file(const std::filesystem::path& path);
/// The same without newlines and blanks at its end; empty when it cannot be read.
std::string read_kernel_line(const std::filesystem::path& path);
/// Writes beside `path`, syncs, renames over it, syncs the folder: after a crash the old or the new
/// content is there, whole.
base::result<void> write_file(const std::filesystem::path& path, base::byte_view bytes,
                              unsigned mode = 0644);
/// Writes all of `bytes` into an open file, at `offset` from its beginning; `path` is for the
/// error.
base::result<void> write_at(int fd, base::byte_view bytes, std::uint64_t offset,
                            const std::filesystem::path& path);
/// Makes the folder and its parents, private to the user (0700) where new.
base::result<void> make_private_folder(const std::filesystem::path& path);
/// Syncs a folder, so that names made or renamed in it outlive a crash.
base::result<void> sync_folder(const std::filesystem::path& path);

/// "PATH: cannot WHAT: REASON" from errno.
base::error io_error(const std::filesystem::path& path, const char* what, int error_number);

}  // namespace tequio::node
