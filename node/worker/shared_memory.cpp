#include "node/worker/shared_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace tequio::node {
namespace {

constexpr int seals_of_length = F_SEAL_SHRINK | F_SEAL_GROW;
constexpr int seals_of_everything = seals_of_length | F_SEAL_WRITE | F_SEAL_SEAL;

base::error memory_error(const char* what) {
    return base::fail(base::errc::io_failure,
                      std::string("shared memory: cannot ") + what + ": " + std::strerror(errno));
}

base::result<unique_fd> make_file(const char* name, std::uint64_t size) {
    unique_fd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd) return memory_error("make a memory file");
    if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return memory_error("set its size");
    return fd;
}

}  // namespace

memory_map::memory_map(memory_map&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

memory_map& memory_map::operator=(memory_map&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

memory_map::~memory_map() {
    if (data_ != nullptr) ::munmap(data_, size_);
}

void memory_map::page_out() const {
    if (data_ != nullptr) (void)::madvise(data_, size_, MADV_PAGEOUT);
}

std::uint64_t memory_map::resident_bytes() const {
    // 90 ns a page on a Zen 5: all parts together stay below the 10 ms that one event may take.
    constexpr std::uint64_t part_pages = 1024, parts_max = 64;
    if (size_ == 0) return 0;
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    const std::uint64_t pages = (size_ + page - 1) / page;
    const auto step = std::max(part_pages, pages / parts_max);
    std::array<unsigned char, part_pages> flags{};
    std::uint64_t seen = 0, looked = 0;
    for (std::uint64_t first = 0; first < pages; first += step) {
        const auto count = std::min(part_pages, pages - first);
        if (::mincore(data_ + first * page, count * page, flags.data()) != 0) return size_;
        const unsigned char* first_flag = flags.data();
        seen += static_cast<std::uint64_t>(std::count_if(
            first_flag, first_flag + count, [](unsigned char f) { return (f & 1) != 0; }));
        looked += count;
    }
    return seen * pages / looked * page;
}

base::result<memory_map> memory_map::of(int fd, std::uint64_t size, access how) {
    TEQUIO_TRY(const auto length, file_size(fd));
    if (length < size) {
        return base::fail(base::errc::io_failure, "shared memory: a file of " +
                                                      std::to_string(length) + " bytes where " +
                                                      std::to_string(size) + " are needed");
    }
    memory_map out;
    if (size == 0) return out;
    const int protection = how == access::read ? PROT_READ : PROT_READ | PROT_WRITE;
    void* data = ::mmap(nullptr, size, protection, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) return memory_error("map it");
    out.data_ = static_cast<std::uint8_t*>(data);
    out.size_ = size;
    return out;
}

base::result<unique_fd> make_memory_file(const char* name, std::uint64_t size) {
    TEQUIO_TRY(auto fd, make_file(name, size));
    if (::fcntl(fd.get(), F_ADD_SEALS, seals_of_length) != 0) return memory_error("seal it");
    return fd;
}

base::result<unique_fd> make_sealed_file(const char* name, base::byte_view bytes) {
    TEQUIO_TRY(auto fd, make_file(name, bytes.size()));
    {
        TEQUIO_TRY(auto map,
                   memory_map::of(fd.get(), bytes.size(), memory_map::access::read_write));
        if (!bytes.empty()) std::memcpy(map.writable().data(), bytes.data(), bytes.size());
    }
    if (::fcntl(fd.get(), F_ADD_SEALS, seals_of_everything) != 0) return memory_error("seal it");
    return fd;
}

base::result<void> check_sealed_file(int fd, std::uint64_t size) {
    const int seals = ::fcntl(fd, F_GET_SEALS);
    if (seals < 0) return memory_error("read its seals");
    if ((seals & seals_of_everything) != seals_of_everything) {
        return base::fail(base::errc::io_failure, "shared memory: a result that is not sealed");
    }
    TEQUIO_TRY(const auto length, file_size(fd));
    if (length != size) {
        return base::fail(base::errc::io_failure, "shared memory: a result of " +
                                                      std::to_string(length) +
                                                      " bytes, announced " + std::to_string(size));
    }
    return {};
}

base::result<std::uint64_t> file_size(int fd) {
    // lseek, not fstat: the sandbox allows no call that can also be given a path.
    const auto size = ::lseek(fd, 0, SEEK_END);
    if (size < 0) return memory_error("find its size");
    return static_cast<std::uint64_t>(size);
}

}  // namespace tequio::node
