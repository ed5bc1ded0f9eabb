#pragma once

/// One allocation for everything a lane needs, planned before it is made: the plan's total is the
/// memory estimate that is shown, checked against the limit, and then really allocated.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

#include "base/result.hpp"

namespace tequio::training {

/// Product of `factors`, 2^64-1 instead of a wrap.
std::uint64_t saturating_product(std::initializer_list<std::uint64_t> factors);

/// A run of floats inside an arena, in floats.
struct arena_slice {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
};

/// Adds slices up. Totals saturate, so a plan of absurd sizes is merely too large for any limit.
class arena_plan {
public:
    /// The next `floats` floats, 128-byte aligned.
    arena_slice floats(std::uint64_t floats);
    /// Room for `bytes` bytes.
    arena_slice bytes(std::uint64_t bytes) { return floats(bytes / sizeof(float) + 1); }
    std::uint64_t total_bytes() const { return total_bytes_; }

private:
    std::uint64_t total_bytes_ = 0;
};

/// Owns the memory of one plan. Contents are +0 at first. Moves, never copies.
class arena {
public:
    /// Errors: `errc::out_of_memory` if the system has none.
    static base::result<arena> create(const arena_plan& plan);
    arena(arena&& other) noexcept;
    arena& operator=(arena&& other) noexcept;
    arena(const arena&) = delete;
    arena& operator=(const arena&) = delete;
    ~arena();

    /// The slice's memory; valid while the arena lives. Ensures that the slice lies inside.
    std::span<float> floats(arena_slice slice) const;
    std::span<std::byte> bytes(arena_slice slice) const;
    /// The same memory as whole numbers.
    std::span<std::uint32_t> numbers(arena_slice slice) const;
    std::uint64_t size_bytes() const { return size_bytes_; }
    /// Asks the system to move all of it out to swap now; contents stay. Without swap nothing
    /// happens.
    void page_out() const;

private:
    arena(void* memory, std::uint64_t size_bytes) : memory_(memory), size_bytes_(size_bytes) {}
    void* memory_ = nullptr;
    std::uint64_t size_bytes_ = 0;
};

}  // namespace tequio::training
