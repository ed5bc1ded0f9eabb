#include "tests/support/allocation_meter.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::size_t> largest{0};

}  // namespace

// In a source of its own: where the compiler sees both, it warns of free() for what new gave.
void* operator new(std::size_t size) {
    auto seen = largest.load();
    while (size > seen && !largest.compare_exchange_weak(seen, size)) {
    }
    if (void* p = std::malloc(size == 0 ? 1 : size)) return p;
    std::abort();
}
void operator delete(void* p) noexcept {
    std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
    std::free(p);
}

namespace tequio::tests {

void reset_largest_allocation() {
    largest = 0;
}

std::size_t largest_allocation() {
    return largest;
}

}  // namespace tequio::tests
