#include "node/worker/state_memory.hpp"

#include <fcntl.h>

#include <atomic>
#include <cstring>

#include "base/ensure.hpp"
#include "base/sha256.hpp"

namespace tequio::node {
namespace {

constexpr std::uint64_t page_bytes = 4096;
constexpr char magic[8] = {'T', 'Q', 'S', 'T', 'A', 'T', 'E', '1'};
constexpr std::size_t size_at = 8;
constexpr std::size_t recipe_at = 16;
constexpr std::size_t held_at = 48;
constexpr std::size_t slot_line_bytes = 48;
constexpr std::size_t checksum_at = 40;

std::size_t line_at(unsigned slot) {
    return std::size_t{64} * slot;
}

std::uint64_t array_bytes(std::uint64_t padded_size) {
    return (padded_size * sizeof(float) + page_bytes - 1) / page_bytes * page_bytes;
}

/// The slot's line as it must stand in the header.
base::byte_vector slot_line(const held_state& name) {
    base::byte_vector line;
    base::byte_writer out(line);
    out.u64(name.round.value);
    out.raw(name.digest.view());
    const auto check = base::sha256(line);
    out.raw(check.view().first(slot_line_bytes - checksum_at));
    return line;
}

}  // namespace

std::uint64_t state_memory::size_bytes(std::uint64_t padded_size) {
    return page_bytes + 4 * array_bytes(padded_size);
}

state_memory::state_memory(unique_fd fd, memory_map map, std::uint64_t padded_size)
    : fd_(std::move(fd)), map_(std::move(map)), padded_size_(padded_size) {}

base::result<state_memory> state_memory::create(const base::recipe_id& recipe,
                                                std::uint64_t padded_size) {
    const auto size = size_bytes(padded_size);
    TEQUIO_TRY(auto fd, make_memory_file("tequio-state", size));
    TEQUIO_TRY(auto map, memory_map::of(fd.get(), size, memory_map::access::read_write));
    base::byte_vector header;
    base::byte_writer out(header);
    out.raw({reinterpret_cast<const std::uint8_t*>(magic), sizeof magic});
    out.u64(padded_size);
    out.raw(recipe.view());
    std::memcpy(map.writable().data(), header.data(), header.size());
    return state_memory(std::move(fd), std::move(map), padded_size);
}

base::result<state_memory> state_memory::map(unique_fd fd, const base::recipe_id& recipe,
                                             std::uint64_t padded_size) {
    const int seals = ::fcntl(fd.get(), F_GET_SEALS);
    if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW)) {
        return base::fail(base::errc::io_failure, "state memory: its length is not sealed");
    }
    const auto size = size_bytes(padded_size);
    TEQUIO_TRY(auto map, memory_map::of(fd.get(), size, memory_map::access::read_write));
    const auto bytes = map.bytes();
    base::byte_reader in(bytes.subspan(size_at));
    if (std::memcmp(bytes.data(), magic, sizeof magic) != 0 || in.u64() != padded_size ||
        std::memcmp(bytes.data() + recipe_at, recipe.bytes.data(), recipe.bytes.size()) != 0) {
        return base::fail(base::errc::io_failure, "state memory: made for another recipe");
    }
    return state_memory(std::move(fd), std::move(map), padded_size);
}

std::uint32_t state_memory::held_slot() const {
    auto* word = reinterpret_cast<std::uint32_t*>(map_.writable().data() + held_at);
    return std::atomic_ref(*word).load(std::memory_order_acquire);
}

std::optional<held_state> state_memory::held() const {
    const auto slot = held_slot();
    if (slot != 1 && slot != 2) return std::nullopt;
    const auto line = map_.bytes().subspan(line_at(slot), slot_line_bytes);
    base::byte_reader in(line);
    held_state name;
    name.round.value = in.u64();
    const auto digest = in.raw(name.digest.bytes.size());
    std::copy(digest.begin(), digest.end(), name.digest.bytes.begin());
    const auto expected = slot_line(name);
    if (!std::equal(line.begin(), line.end(), expected.begin())) return std::nullopt;
    return name;
}

training::state_span state_memory::arrays(unsigned slot) const {
    const auto bytes = array_bytes(padded_size_);
    auto* first = map_.writable().data() + page_bytes + 2 * bytes * (slot - 1);
    return {{reinterpret_cast<float*>(first), padded_size_},
            {reinterpret_cast<float*>(first + bytes), padded_size_}};
}

training::state_view state_memory::view() const {
    const auto slot = held_slot();
    base::ensure(slot == 1 || slot == 2, "a state is looked at where none is held");
    return arrays(slot);
}

training::state_span state_memory::next() {
    return arrays(held_slot() == 1 ? 2 : 1);
}

void state_memory::commit(const held_state& name) {
    const unsigned slot = held_slot() == 1 ? 2 : 1;
    const auto line = slot_line(name);
    std::memcpy(map_.writable().data() + line_at(slot), line.data(), line.size());
    auto* word = reinterpret_cast<std::uint32_t*>(map_.writable().data() + held_at);
    std::atomic_ref(*word).store(slot, std::memory_order_release);
}

void state_memory::clear() {
    auto* word = reinterpret_cast<std::uint32_t*>(map_.writable().data() + held_at);
    std::atomic_ref(*word).store(0, std::memory_order_release);
}

}  // namespace tequio::node
