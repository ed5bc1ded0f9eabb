#include "node/worker/state_memory.hpp"

#include <fcntl.h>

#include <atomic>
#include <cstring>

#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "training/slices.hpp"

namespace tequio::node {
namespace {

constexpr std::uint64_t page_bytes = 4096;
constexpr char magic[8] = {'T', 'Q', 'S', 'T', 'A', 'T', 'E', '3'};
constexpr std::size_t size_at = 8;
constexpr std::size_t recipe_at = 16;
constexpr std::size_t held_at = 48;
constexpr std::size_t kept_at = 52;
constexpr std::uint32_t optimizer_arrays_max = 2;
constexpr std::uint64_t buffer_gone = 2;
constexpr std::size_t checksum_bytes = 8;
constexpr std::size_t line_bytes = 56;

std::size_t line_at(std::uint32_t slot) {
    return std::size_t{64} * slot;
}

std::uint64_t array_bytes(std::uint64_t padded_size) {
    return (padded_size * sizeof(float) + page_bytes - 1) / page_bytes * page_bytes;
}

}  // namespace

state_shape state_shape_of(const training::recipe& r, std::uint32_t kept, std::uint64_t slice,
                           std::uint64_t slices) {
    const auto layout =
        slices == 1 ? training::layout_of(r.model) : training::layout_of_slice(r, slice, slices);
    return {layout.padded_size, kept, training::optimizer_arrays(r.train)};
}

std::uint64_t state_memory::size_bytes(const state_shape& shape) {
    const auto arrays = std::uint64_t{shape.kept} + 2 * std::uint64_t{shape.optimizer_arrays};
    return page_bytes + arrays * array_bytes(shape.padded_size);
}

state_memory::state_memory(unique_fd fd, memory_map map, const state_shape& shape)
    : fd_(std::move(fd)), map_(std::move(map)), shape_(shape) {}

base::result<state_memory> state_memory::create(const base::recipe_id& recipe,
                                                const state_shape& shape) {
    base::ensure(shape.kept >= kept_min && shape.kept <= kept_max,
                 "the rounds to keep are within bounds");
    base::ensure(shape.optimizer_arrays >= 1 && shape.optimizer_arrays <= optimizer_arrays_max,
                 "an optimizer has one array or two");
    const auto size = size_bytes(shape);
    TEQUIO_TRY(auto fd, make_memory_file("tequio-state", size));
    TEQUIO_TRY(auto map, memory_map::of(fd.get(), size, memory_map::access::read_write));
    base::byte_vector header;
    base::byte_writer out(header);
    out.raw({reinterpret_cast<const std::uint8_t*>(magic), sizeof magic});
    out.u64(shape.padded_size);
    out.raw(recipe.view());
    out.u32(0);
    out.u32(shape.kept);
    out.u32(shape.optimizer_arrays);
    std::memcpy(map.writable().data(), header.data(), header.size());
    return state_memory(std::move(fd), std::move(map), shape);
}

base::result<state_memory> state_memory::map(unique_fd fd, const base::recipe_id& recipe,
                                             const state_shape& shape) {
    const int seals = ::fcntl(fd.get(), F_GET_SEALS);
    if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW)) {
        return base::fail(base::errc::io_failure, "state memory: its length is not sealed");
    }
    TEQUIO_TRY(const auto size, file_size(fd.get()));
    const auto other = [] {
        return base::fail(base::errc::io_failure, "state memory: made for another recipe");
    };
    if (size < page_bytes) return other();
    TEQUIO_TRY(auto map, memory_map::of(fd.get(), size, memory_map::access::read_write));
    const auto bytes = map.bytes();
    base::byte_reader in(bytes.subspan(size_at));
    const auto floats = in.u64();
    base::byte_reader at_kept(bytes.subspan(kept_at));
    auto found = shape;
    found.kept = at_kept.u32();
    const auto arrays = at_kept.u32();
    if (std::memcmp(bytes.data(), magic, sizeof magic) != 0 || floats != shape.padded_size ||
        found.kept < kept_min || found.kept > kept_max || arrays != shape.optimizer_arrays ||
        size != size_bytes(found) ||
        std::memcmp(bytes.data() + recipe_at, recipe.bytes.data(), recipe.bytes.size()) != 0) {
        return other();
    }
    return state_memory(std::move(fd), std::move(map), found);
}

base::byte_vector state_memory::line_of(const slot_name& name) {
    base::byte_vector line;
    base::byte_writer out(line);
    out.u64(name.state.round.value);
    out.raw(name.state.digest.view());
    out.u64(name.buffer);
    const auto check = base::sha256(line);
    out.raw(check.view().first(checksum_bytes));
    return line;
}

std::uint32_t state_memory::held_slot() const {
    auto* word = reinterpret_cast<std::uint32_t*>(map_.writable().data() + held_at);
    return std::atomic_ref(*word).load(std::memory_order_acquire);
}

std::optional<state_memory::slot_name> state_memory::name_of(std::uint32_t slot) const {
    if (slot == 0 || slot > shape_.kept) return std::nullopt;
    const auto line = map_.bytes().subspan(line_at(slot), line_bytes);
    base::byte_reader in(line);
    slot_name name;
    name.state.round.value = in.u64();
    const auto digest = in.raw(name.state.digest.bytes.size());
    std::copy(digest.begin(), digest.end(), name.state.digest.bytes.begin());
    name.buffer = in.u64();
    const auto expected = line_of(name);
    if (name.buffer > buffer_gone || !std::equal(line.begin(), line.end(), expected.begin()))
        return std::nullopt;
    return name;
}

std::optional<std::uint32_t> state_memory::slot_of(base::round_index round) const {
    const auto newest = held_slot();
    // The newest first: after a restart from S(0) an older slot may bear the same round.
    for (std::uint32_t back = 0; newest != 0 && back < shape_.kept; ++back) {
        const auto slot = (newest - 1 + shape_.kept - back) % shape_.kept + 1;
        if (const auto name = name_of(slot); name && name->state.round == round) return slot;
    }
    return std::nullopt;
}

std::optional<held_state> state_memory::held() const {
    const auto name = name_of(held_slot());
    if (!name || name->buffer == buffer_gone) return std::nullopt;
    return name->state;
}

std::optional<held_state> state_memory::find(base::round_index round) const {
    const auto slot = slot_of(round);
    // Read once more: a worker may take the slot meanwhile.
    const auto name = slot ? name_of(*slot) : std::nullopt;
    if (!name || name->state.round != round) return std::nullopt;
    return name->state;
}

std::span<float> state_memory::array(std::uint64_t index) const {
    auto* first = map_.writable().data() + page_bytes + index * array_bytes(shape_.padded_size);
    return {reinterpret_cast<float*>(first), shape_.padded_size};
}

training::state_span state_memory::arrays(std::uint32_t slot, std::uint64_t buffer) const {
    const auto first = shape_.kept + buffer * shape_.optimizer_arrays;
    training::state_span out{array(slot - 1), array(first)};
    if (shape_.optimizer_arrays > 1) out.second = array(first + 1);
    return out;
}

training::state_view state_memory::view() const {
    const auto slot = held_slot();
    const auto name = name_of(slot);
    base::ensure(name && name->buffer != buffer_gone, "a state is looked at where none is held");
    return arrays(slot, name->buffer);
}

training::state_view state_memory::view(base::round_index round) const {
    const auto slot = slot_of(round);
    base::ensure(slot.has_value(), "a state is looked at that is not here");
    return *slot == held_slot() ? view() : training::state_view{array(*slot - 1), {}, {}};
}

std::uint64_t state_memory::next_buffer() const {
    const auto name = name_of(held_slot());
    return name && name->buffer == 0 ? 1 : 0;
}

training::state_span state_memory::next() {
    const auto slot = next_slot();
    std::memset(map_.writable().data() + line_at(slot), 0, line_bytes);
    // The optimizer's arrays to be written over are those of the state before the held one.
    if (held_slot() != 0) {
        const auto before = previous_slot();
        if (auto name = name_of(before); name && before != held_slot()) {
            name->buffer = buffer_gone;
            write_line(before, *name);
        }
    }
    return arrays(slot, next_buffer());
}

void state_memory::write_line(std::uint32_t slot, const slot_name& name) {
    const auto line = line_of(name);
    std::memcpy(map_.writable().data() + line_at(slot), line.data(), line.size());
}

/// The switch: whatever it makes the held state was written before.
void state_memory::hold(std::uint32_t slot) {
    auto* word = reinterpret_cast<std::uint32_t*>(map_.writable().data() + held_at);
    std::atomic_ref(*word).store(slot, std::memory_order_release);
}

void state_memory::commit(const held_state& name) {
    const auto slot = next_slot();
    write_line(slot, {name, next_buffer()});
    hold(slot);
}

bool state_memory::step_back() {
    const auto newest = held_slot();
    const auto now = name_of(newest);
    if (!now) return false;
    const auto before = previous_slot();
    const auto name = name_of(before);
    if (!name || before == newest || name->buffer != 1 - now->buffer ||
        name->state.round.next() != now->state.round) {
        return false;
    }
    hold(before);
    std::memset(map_.writable().data() + line_at(newest), 0, line_bytes);
    return true;
}

void state_memory::clear() {
    hold(0);
    std::memset(map_.writable().data() + line_at(1), 0, line_at(shape_.kept));
}

}  // namespace tequio::node
