#include "tests/support/allocations.hpp"

#include <cstdlib>
#include <new>

namespace tequio::tests {

std::atomic<std::size_t> largest_allocation = 0;

}  // namespace tequio::tests

void* operator new(std::size_t size) {
    using tequio::tests::largest_allocation;
    if (size > largest_allocation) largest_allocation = size;
    void* const bytes = std::malloc(size == 0 ? 1 : size);
    if (bytes == nullptr) std::abort();
    return bytes;
}
void operator delete(void* bytes) noexcept {
    std::free(bytes);
}
void operator delete(void* bytes, std::size_t) noexcept {
    std::free(bytes);
}
