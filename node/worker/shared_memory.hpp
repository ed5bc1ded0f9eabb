#pragma once

/// Memory files (memfd) that daemon and worker pass to each other, and mappings of them.

#include <cstdint>
#include <span>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "node/io/files.hpp"

namespace tequio::node {

/// A mapped stretch of a file, from its start; unmapped on destruction.
class memory_map {
public:
    enum class access { read, read_write };

    memory_map() = default;
    memory_map(memory_map&& other) noexcept;
    memory_map& operator=(memory_map&& other) noexcept;
    ~memory_map();
    /// Maps the first `size` bytes, shared. The file must be at least that long, now and as long as
    /// the map lives: a file cut short later ends the reader by SIGBUS. Size 0 maps nothing.
    /// Errors: `base::errc::io_failure`.
    static base::result<memory_map> of(int fd, std::uint64_t size, access how);

    base::byte_view bytes() const { return {data_, size_}; }
    std::span<std::uint8_t> writable() { return {data_, size_}; }
    /// Asks the system to take the pages out of memory: to the file, or to swap. Contents stay.
    void page_out() const;
    /// How much of it is in memory now, whoever looks at it; above 256 MiB an estimate from 64
    /// parts, evenly spaced. Cost: 6 ms at most.
    std::uint64_t resident_bytes() const;

private:
    std::uint8_t* data_ = nullptr;
    std::size_t size_ = 0;
};

/// A new memory file of `size` bytes, all zero, whose length can never change again.
/// Errors: `base::errc::io_failure`.
base::result<unique_fd> make_memory_file(const char* name, std::uint64_t size);

/// A new memory file holding `bytes`, sealed against every change.
base::result<unique_fd> make_sealed_file(const char* name, base::byte_view bytes);

/// Checks that `fd` is a memory file of exactly `size` bytes, sealed against every change: safe to
/// map and to read twice, whoever made it. Errors: `base::errc::io_failure`.
base::result<void> check_sealed_file(int fd, std::uint64_t size);

/// Length of the file, found without changing its place or naming it. Errors: as above.
base::result<std::uint64_t> file_size(int fd);

}  // namespace tequio::node
