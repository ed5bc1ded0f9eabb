#include "training/state.hpp"

#include <algorithm>
#include <bit>

#include "base/blob.hpp"
#include "base/ensure.hpp"
#include "base/merkle.hpp"

namespace tequio::training {
namespace {

static_assert(std::endian::native == std::endian::little,
              "digests are over little-endian bytes, taken straight from memory");

void add_tensor(state_layout& layout, std::string name, std::vector<std::uint64_t> shape) {
    tensor_spec t;
    t.size = 1;
    for (const auto n : shape) t.size *= n;
    t.name = std::move(name);
    t.decay = shape.size() >= 2;
    t.shape = std::move(shape);
    layout.tensors.push_back(std::move(t));
}

void add_pair(state_layout& layout, const std::string& name, std::vector<std::uint64_t> weight,
              std::uint64_t bias) {
    add_tensor(layout, name + ".weight", std::move(weight));
    add_tensor(layout, name + ".bias", {bias});
}

base::digest leaf_of(std::string_view prefix, const tensor_spec& t, std::span<const float> flat) {
    base::byte_vector leaf;
    base::byte_writer out(leaf);
    out.raw(base::as_bytes(prefix));
    out.raw(base::as_bytes(t.name));
    out.u8(0);
    out.raw(base::blob_ref_of(float_bytes(flat.subspan(t.offset, t.size))).root.view());
    return base::merkle_leaf(leaf);
}

}  // namespace

const tensor_spec& state_layout::tensor(std::string_view name) const {
    const auto it = std::lower_bound(tensors.begin(), tensors.end(), name,
                                     [](const auto& t, auto n) { return t.name < n; });
    base::ensure(it != tensors.end() && it->name == name, "the layout has this tensor");
    return *it;
}

state_layout layout_of(const model_config& model) {
    const auto d = model.width;
    state_layout layout;
    add_tensor(layout, "transformer.wte.weight", {model.vocabulary, d});
    add_tensor(layout, "transformer.wpe.weight", {model.context, d});
    add_pair(layout, "transformer.ln_f", {d}, d);
    for (std::uint64_t i = 0; i < model.layers; ++i) {
        const auto h = "transformer.h." + std::to_string(i);
        add_pair(layout, h + ".ln_1", {d}, d);
        add_pair(layout, h + ".attn.c_attn", {d, 3 * d}, 3 * d);
        add_pair(layout, h + ".attn.c_proj", {d, d}, d);
        add_pair(layout, h + ".ln_2", {d}, d);
        add_pair(layout, h + ".mlp.c_fc", {d, 4 * d}, 4 * d);
        add_pair(layout, h + ".mlp.c_proj", {4 * d, d}, d);
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

base::digest state_digest(const state_layout& layout, state_view state) {
    base::ensure(state.parameters.size() == layout.padded_size &&
                     state.momentum.size() == layout.padded_size,
                 "a state has the size of its layout");
    std::vector<base::digest> leaves;
    leaves.reserve(2 * layout.tensors.size());
    for (const auto& t : layout.tensors) leaves.push_back(leaf_of("momentum/", t, state.momentum));
    for (const auto& t : layout.tensors) leaves.push_back(leaf_of("", t, state.parameters));
    return base::merkle_root(leaves);
}

base::byte_view float_bytes(std::span<const float> values) {
    return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()};
}

}  // namespace tequio::training
