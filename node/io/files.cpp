#include "node/io/files.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/text.hpp"
#include "node/core/errc.hpp"

namespace tequio::node {

unique_fd& unique_fd::operator=(unique_fd&& other) noexcept {
    if (this != &other) {
        if (fd_ >= 0) ::close(fd_);
        fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
}

unique_fd::~unique_fd() {
    if (fd_ >= 0) ::close(fd_);
}

mapped_file::mapped_file(mapped_file&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

mapped_file& mapped_file::operator=(mapped_file&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

mapped_file::~mapped_file() {
    if (data_ != nullptr) ::munmap(const_cast<std::uint8_t*>(data_), size_);
}

base::result<mapped_file> mapped_file::open(const std::filesystem::path& path) {
    const unique_fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return io_error(path, "open", errno);
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) return io_error(path, "look at", errno);
    if (!S_ISREG(info.st_mode))
        return base::fail(base::errc::io_failure, path.string() + ": not a file");
    mapped_file out;
    if (info.st_size == 0) return out;
    const auto size = static_cast<std::size_t>(info.st_size);
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (data == MAP_FAILED) return io_error(path, "map", errno);
    out.data_ = static_cast<const std::uint8_t*>(data);
    out.size_ = size;
    return out;
}

base::result<std::string> read_file(const std::filesystem::path& path, std::uint64_t size_max) {
    TEQUIO_TRY(const auto file, mapped_file::open(path));
    if (file.bytes().size() > size_max) {
        return base::fail(base::errc::too_large, path.string() + ": " +
                                                     base::human_size(file.bytes().size()) +
                                                     "; at most " + base::human_size(size_max));
    }
    return std::string(base::as_text(file.bytes()));
}

std::optional<std::string> read_kernel_file(const std::filesystem::path& path) {
    constexpr std::size_t size_max = 64 * 1024;
    const unique_fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd) return std::nullopt;
    std::string out;
    std::array<char, 4096> buffer;
    while (out.size() < size_max) {
        const auto size = ::read(fd.get(), buffer.data(), buffer.size());
        if (size < 0) return std::nullopt;
        if (size == 0) break;
        out.append(buffer.data(), static_cast<std::size_t>(size));
    }
    return out;
}

std::string read_kernel_line(const std::filesystem::path& path) {
    auto text = read_kernel_file(path).value_or("");
    while (text.ends_with('\n') || text.ends_with(' ')) text.pop_back();
    return text;
}

base::result<void> write_file(const std::filesystem::path& path, base::byte_view bytes,
                              unsigned mode) {
    auto beside = path;
    beside += ".new";
    {
        const unique_fd fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
        if (!fd) return io_error(beside, "create", errno);
        while (!bytes.empty()) {
            const auto n = ::write(fd.get(), bytes.data(), bytes.size());
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) {
                // On a full disk what is there of it would take the room that is missing.
                const auto error = io_error(beside, "write", errno);
                ::unlink(beside.c_str());
                return error;
            }
            bytes = bytes.subspan(static_cast<std::size_t>(n));
        }
        if (::fsync(fd.get()) != 0) return io_error(beside, "sync", errno);
    }
    if (::rename(beside.c_str(), path.c_str()) != 0) return io_error(path, "rename to", errno);
    return sync_folder(path.parent_path());
}

base::result<void> write_at(int fd, base::byte_view bytes, std::uint64_t offset,
                            const std::filesystem::path& path) {
    while (!bytes.empty()) {
        const auto n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return io_error(path, "write", errno);
        bytes = bytes.subspan(static_cast<std::size_t>(n));
        offset += static_cast<std::uint64_t>(n);
    }
    return {};
}

base::result<void> make_private_folder(const std::filesystem::path& path) {
    std::filesystem::path so_far;
    for (const auto& part : path) {
        so_far /= part;
        if (::mkdir(so_far.c_str(), 0700) != 0 && errno != EEXIST && errno != EISDIR) {
            return io_error(so_far, "create the folder", errno);
        }
    }
    std::error_code ec;
    if (!std::filesystem::is_directory(path, ec)) {
        return base::fail(base::errc::io_failure, path.string() + ": not a folder");
    }
    return {};
}

base::result<void> sync_folder(const std::filesystem::path& path) {
    const auto name = path.empty() ? std::filesystem::path(".") : path;
    const unique_fd fd(::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return io_error(name, "open", errno);
    if (::fsync(fd.get()) != 0) return io_error(name, "sync", errno);
    return {};
}

base::error io_error(const std::filesystem::path& path, const char* what, int error_number) {
    auto sentence = path.string() + ": cannot " + what + ": " + std::strerror(error_number);
    if (error_number == ENOENT) return fail(errc::not_found, std::move(sentence));
    return base::fail(base::errc::io_failure, std::move(sentence));
}

}  // namespace tequio::node
