#include "training/model/initial.hpp"

#include <algorithm>
#include <cstring>

#include "base/ensure.hpp"
#include "training/errc.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/philox.hpp"

namespace tequio::training {
namespace {

constexpr std::size_t chunk = 65536;

/// Calls `use(tensor, bytes of it)` in order of name.
template <class Use>
void for_each_tensor(const state_layout& layout, base::byte_view weights, Use use) {
    std::size_t at = 0;
    for (const auto& t : layout.tensors) {
        use(t, weights.subspan(at, t.size * sizeof(float)));
        at += t.size * sizeof(float);
    }
}

/// The tensor called `name`, where the part has it.
const tensor_spec* find(const state_layout& part, std::string_view name) {
    const auto it = std::lower_bound(part.tensors.begin(), part.tensors.end(), name,
                                     [](const auto& t, auto n) { return t.name < n; });
    return it == part.tensors.end() || it->name != name ? nullptr : &*it;
}

void clear(const state_layout& layout, state_span out) {
    base::ensure(
        out.parameters.size() == layout.padded_size && out.momentum.size() == layout.padded_size,
        "a state has the size of its layout");
    std::fill(out.parameters.begin(), out.parameters.end(), 0.0F);
    std::fill(out.momentum.begin(), out.momentum.end(), 0.0F);
    std::fill(out.second.begin(), out.second.end(), 0.0F);
}

}  // namespace

void fill_initial(const state_layout& whole, const state_layout& part, std::uint64_t seed,
                  const base::digest& data, state_span out, executor& run) {
    clear(part, out);
    const auto key = numerics::derive_key(numerics::stream_initialisation, seed, data);
    for (std::size_t k = 0; k < whole.tensors.size(); ++k) {
        const auto* t = find(part, whole.tensors[k].name);
        if (t == nullptr) continue;
        const auto values = out.parameters.subspan(t->offset, t->size);
        if (t->initial_deviation == 0) {
            std::fill(values.begin(), values.end(), t->initial_value);
            continue;
        }
        const numerics::draws draws(key, {.round = 0, .lane = 0, .step = k});
        auto body = [&](std::size_t task, unsigned) {
            const auto first = task * chunk;
            draws.fill_normal(first, t->initial_deviation,
                              values.subspan(first, std::min(chunk, values.size() - first)));
        };
        run.run((values.size() + chunk - 1) / chunk, body);
    }
}

base::result<void> check_weights(const state_layout& layout, base::byte_view weights) {
    if (weights.size() != layout.parameters * sizeof(float)) {
        return fail(errc::bad_data, "the weights to start from have " +
                                        std::to_string(weights.size()) + " bytes, the model has " +
                                        std::to_string(layout.parameters) + " parameters");
    }
    const tensor_spec* bad = nullptr;
    for_each_tensor(layout, weights, [&](const tensor_spec& t, base::byte_view bytes) {
        bool finite = true;
        for (std::size_t i = 0; i < bytes.size(); i += sizeof(float)) {
            float value = 0;
            std::memcpy(&value, bytes.data() + i, sizeof value);
            finite = finite && numerics::finite(value);
        }
        if (!finite && bad == nullptr) bad = &t;
    });
    if (bad == nullptr) return {};
    return fail(errc::bad_data,
                "the weights to start from: " + bad->name + " has a value that is not finite");
}

void fill_from(const state_layout& whole, const state_layout& part, base::byte_view weights,
               state_span out) {
    base::ensure(weights.size() == whole.parameters * sizeof(float), "checked weights");
    clear(part, out);
    for_each_tensor(whole, weights, [&](const tensor_spec& all, base::byte_view bytes) {
        const auto* t = find(part, all.name);
        if (t == nullptr) return;
        const auto values = out.parameters.subspan(t->offset, t->size);
        std::memcpy(values.data(), bytes.data(), bytes.size());
        for (float& value : values) value = numerics::flush(value);
    });
}

}  // namespace tequio::training
