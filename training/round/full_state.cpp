#include "training/full_state.hpp"

#include <algorithm>
#include <cstring>

#include "base/ensure.hpp"
#include "training/errc.hpp"

namespace tequio::training {
namespace {

constexpr std::string_view magic = "tequio/state/v1\n";

/// The arrays in the order of the leaves of `state_digest`.
std::vector<std::span<float>> arrays_of(state_span state) {
    std::vector<std::span<float>> out{state.momentum};
    if (!state.second.empty()) out.push_back(state.second);
    out.push_back(state.parameters);
    return out;
}

}  // namespace

std::uint64_t full_state_bytes(std::uint64_t parameters, std::uint32_t arrays) {
    return full_state_header_bytes + sizeof(float) * parameters * (std::uint64_t{arrays} + 1);
}

base::byte_vector full_state_header(const base::recipe_id& recipe, base::round_index round,
                                    std::uint64_t floats) {
    base::byte_vector out;
    base::byte_writer w(out);
    w.raw(base::as_bytes(magic));
    w.raw(recipe.view());
    w.u64(round.value);
    w.u64(floats);
    base::ensure(out.size() == full_state_header_bytes, "the header has its size");
    return out;
}

std::vector<std::span<const float>> full_state_tensors(const state_layout& layout,
                                                       state_view state) {
    std::vector<std::span<const float>> out;
    const auto add = [&](std::span<const float> flat) {
        for (const auto& t : layout.tensors) out.push_back(flat.subspan(t.offset, t.size));
    };
    add(state.momentum);
    if (!state.second.empty()) add(state.second);
    add(state.parameters);
    return out;
}

base::result<void> read_full_state(const state_layout& layout, const base::recipe_id& recipe,
                                   base::round_index round, base::byte_view bytes, state_span to) {
    const auto arrays = arrays_of(to);
    const auto floats = layout.parameters * arrays.size();
    const auto expected =
        full_state_bytes(layout.parameters, static_cast<std::uint32_t>(arrays.size() - 1));
    if (bytes.size() != expected) {
        return fail(errc::bad_state, "a stored state of " + std::to_string(bytes.size()) +
                                         " bytes; this recipe's have " + std::to_string(expected));
    }
    const auto header = full_state_header(recipe, round, floats);
    if (!std::equal(header.begin(), header.end(), bytes.begin())) {
        return fail(errc::bad_state, "a stored state of another recipe, round or format");
    }
    const auto* from = bytes.data() + full_state_header_bytes;
    for (const auto array : arrays) {
        std::uint64_t end = 0;  // of what is written
        for (const auto& t : layout.tensors) {
            std::fill(array.begin() + static_cast<std::ptrdiff_t>(end),
                      array.begin() + static_cast<std::ptrdiff_t>(t.offset), 0.0F);
            std::memcpy(array.data() + t.offset, from, t.size * sizeof(float));
            from += t.size * sizeof(float);
            end = t.offset + t.size;
        }
        std::fill(array.begin() + static_cast<std::ptrdiff_t>(end), array.end(), 0.0F);
    }
    return {};
}

std::uint64_t full_state_spacing(std::uint64_t state_every, std::uint64_t state_bytes,
                                 std::uint64_t mean_bytes) {
    base::ensure(state_every > 0 && mean_bytes > 0, "rounds and means have sizes");
    const auto rounds = (state_bytes + mean_bytes - 1) / mean_bytes;
    return std::max<std::uint64_t>(1, (rounds + state_every - 1) / state_every) * state_every;
}

}  // namespace tequio::training
