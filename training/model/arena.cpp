#include "training/model/arena.hpp"

#include <sys/mman.h>

#include <limits>
#include <utility>

#include "base/ensure.hpp"
#include "base/text.hpp"
#include "training/errc.hpp"

namespace tequio::training {
namespace {

constexpr std::uint64_t align_bytes = 128;
constexpr std::uint64_t saturated_bytes = std::numeric_limits<std::uint64_t>::max();

}  // namespace

std::uint64_t saturating_product(std::initializer_list<std::uint64_t> factors) {
    std::uint64_t product = 1;
    for (const auto factor : factors) {
        if (__builtin_mul_overflow(product, factor, &product)) return saturated_bytes;
    }
    return product;
}

arena_slice arena_plan::floats(std::uint64_t floats) {
    const arena_slice slice{total_bytes_ / sizeof(float), floats};
    const auto bytes = saturating_product({floats, sizeof(float)});
    std::uint64_t total = 0;
    if (__builtin_add_overflow(total_bytes_, bytes, &total) ||
        total > saturated_bytes - align_bytes) {
        total_bytes_ = saturated_bytes;
    } else {
        total_bytes_ = (total + align_bytes - 1) / align_bytes * align_bytes;
    }
    return slice;
}

base::result<arena> arena::create(const arena_plan& plan) {
    const auto bytes = plan.total_bytes();
    // Anonymous pages are zero, cost nothing until touched, and go back to the system at once.
    void* memory =
        bytes == 0 || bytes > saturated_bytes / 4
            ? MAP_FAILED
            : mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return fail(errc::out_of_memory,
                    "the system does not give " + base::human_size(bytes) +
                        " of memory; free some, or leave this job to larger machines");
    }
    // Huge pages spare the matrix products most of their TLB misses; a refusal changes nothing.
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
    return arena(memory, bytes);
}

arena::arena(arena&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)) {}

arena& arena::operator=(arena&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(size_bytes_, other.size_bytes_);
    return *this;
}

arena::~arena() {
    if (memory_ != nullptr) munmap(memory_, size_bytes_);
}

void arena::page_out() const {
    if (memory_ != nullptr) (void)madvise(memory_, size_bytes_, MADV_PAGEOUT);
}

std::span<float> arena::floats(arena_slice slice) const {
    const auto capacity = size_bytes_ / sizeof(float);
    base::ensure(slice.offset <= capacity && slice.size <= capacity - slice.offset,
                 "a slice lies inside its arena");
    return {static_cast<float*>(memory_) + slice.offset, slice.size};
}

std::span<std::uint32_t> arena::numbers(arena_slice slice) const {
    const auto values = floats(slice);
    static_assert(sizeof(std::uint32_t) == sizeof(float));
    return {reinterpret_cast<std::uint32_t*>(values.data()), values.size()};
}

std::span<std::byte> arena::bytes(arena_slice slice) const {
    return std::as_writable_bytes(floats(slice));
}

}  // namespace tequio::training
