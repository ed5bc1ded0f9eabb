#include "training/state.hpp"

#include <algorithm>
#include <bit>

#include "base/blob.hpp"
#include "base/ensure.hpp"
#include "base/merkle.hpp"
#include "training/model/family.hpp"

namespace tequio::training {
namespace {

static_assert(std::endian::native == std::endian::little,
              "digests are over little-endian bytes, taken straight from memory");

base::digest leaf_of(std::string_view prefix, const tensor_spec& t, const base::digest& root) {
    base::byte_vector leaf;
    base::byte_writer out(leaf);
    out.raw(base::as_bytes(prefix));
    out.raw(base::as_bytes(t.name));
    out.u8(0);
    out.raw(root.view());
    return base::merkle_leaf(leaf);
}

/// Which arrays a state has, in the order of its leaves.
std::vector<std::string_view> array_prefixes(std::size_t arrays) {
    if (arrays == 2) return {"momentum/", ""};
    return {"first_moment/", "second_moment/", ""};
}

}  // namespace

const tensor_spec& state_layout::tensor(std::string_view name) const {
    const auto it = std::lower_bound(tensors.begin(), tensors.end(), name,
                                     [](const auto& t, auto n) { return t.name < n; });
    base::ensure(it != tensors.end() && it->name == name, "the layout has this tensor");
    return *it;
}

state_layout layout_of(const model_config& model) {
    return layout_of_part(model, whole_of(model));
}

state_layout layout_of_part(const model_config& model, const network_part& part) {
    const auto& family = family_of(model);
    tensor_list tensors;
    family.tensors(model, tensors);
    state_layout layout;
    layout.tensors = tensors.take();
    if (part.divided(model)) {
        std::erase_if(layout.tensors, [&](const tensor_spec& t) {
            const auto layer = family.layer_of(model, t.name);
            return layer < part.first || layer >= part.end;
        });
    }
    std::sort(layout.tensors.begin(), layout.tensors.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    for (auto& t : layout.tensors) {
        t.offset = layout.padded_size;
        layout.parameters += t.size;
        layout.padded_size +=
            (t.size + tensor_align_floats - 1) / tensor_align_floats * tensor_align_floats;
    }
    return layout;
}

std::vector<base::digest> tensor_digests(const state_layout& layout, state_view state) {
    const auto whole = [&](std::span<const float> flat) {
        return flat.size() == layout.padded_size;
    };
    base::ensure(whole(state.parameters) && whole(state.momentum) &&
                     (state.second.empty() || whole(state.second)),
                 "a state has the size of its layout");
    std::vector<base::digest> out;
    out.reserve(3 * layout.tensors.size());
    const auto add = [&](std::span<const float> flat) {
        for (const auto& t : layout.tensors) {
            out.push_back(base::blob_ref_of(float_bytes(flat.subspan(t.offset, t.size))).root);
        }
    };
    add(state.momentum);
    if (!state.second.empty()) add(state.second);
    add(state.parameters);
    return out;
}

base::digest state_digest_from(const state_layout& layout, std::span<const base::digest> tensors) {
    const auto count = layout.tensors.size();
    base::ensure(tensors.size() == 2 * count || tensors.size() == 3 * count,
                 "a state has an optimizer's arrays beside its parameters");
    std::vector<base::digest> leaves;
    leaves.reserve(tensors.size());
    for (const auto prefix : array_prefixes(tensors.size() / count)) {
        for (const auto& t : layout.tensors) {
            leaves.push_back(leaf_of(prefix, t, tensors[leaves.size()]));
        }
    }
    return base::merkle_root(leaves);
}

base::digest state_digest(const state_layout& layout, state_view state) {
    return state_digest_from(layout, tensor_digests(layout, state));
}

base::byte_view float_bytes(std::span<const float> values) {
    return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()};
}

}  // namespace tequio::training
