#pragma once

/// Random recipes and values for the properties of contributions and merging.

#include <rapidcheck.h>
#include <bit>
#include <cmath>
#include <string>

#include "base/sha256.hpp"
#include "training/contribution.hpp"
#include "training/recipe.hpp"
#include "training/state.hpp"

namespace tequio::training {

/// A valid recipe of a tiny model with tensors of odd sizes, random codecs, window and number of
/// lanes.
inline recipe random_recipe() {
    recipe r;
    const auto heads = *rc::gen::inRange<std::uint64_t>(1, 4);
    r.model = {"gpt2",
               *rc::gen::inRange<std::uint64_t>(1, 3),
               heads,
               heads * *rc::gen::inRange<std::uint64_t>(1, 6),
               *rc::gen::inRange<std::uint64_t>(1, 9),
               *rc::gen::inRange<std::uint64_t>(2, 40)};
    r.data = {{base::sha256("data"), 1000}, 2, 500, 0};
    r.train.lanes = *rc::gen::inRange<std::uint64_t>(1, 9);
    r.train.rounds = r.train.inner_steps = r.train.batch = r.train.micro_batch = 1;
    r.train.codec = *rc::gen::element<std::string>("f32", "mxint8", "mxfp4");
    r.train.codec_down = *rc::gen::element<std::string>("f32", "mxint8", "mxfp4");
    const bool low = r.train.codec_down == "f32" && r.train.codec != "f32";
    const int highest = low ? recipe_limits::window_max_f32_down : recipe_limits::window_max;
    r.train.window = *rc::gen::inRange(recipe_limits::window_min, highest + 1);
    r.train.outer.lr = *rc::gen::element(0.7, 1.0, 1e-15, 1000.0, 0.3);
    r.train.outer.momentum = *rc::gen::element(0.0, 0.9, 0.999);
    RC_ASSERT(check_recipe(r).has_value());
    return r;
}

/// Any finite float32 near the window, and the odd ones: zeros of both signs, ties, subnormals,
/// values beyond the window at both ends.
inline float random_value(int window) {
    const auto kind = *rc::gen::inRange(0, 10);
    const auto code = *rc::gen::inRange(-1024, 1025);
    const auto exponent = window + *rc::gen::inRange(-4, 44);
    if (kind == 0) return 0.0F;
    if (kind == 1) return -0.0F;
    if (kind == 2) return std::bit_cast<float>(*rc::gen::inRange<std::uint32_t>(0, 0x7f800000U));
    if (kind == 3) return std::bit_cast<float>(*rc::gen::inRange<std::uint32_t>(0, 0x00800000U));
    if (kind < 6) {  // a tie: an odd multiple of half the unit of some block
        return std::ldexp(static_cast<float>(2 * code + 1), window - 1);
    }
    return std::ldexp(static_cast<float>(code), exponent);
}

/// Values that both codecs of the recipe take.
inline std::vector<float> random_values(const recipe& r, const state_layout& layout) {
    const bool limited = r.train.codec == "f32" || r.train.codec_down == "f32";
    std::vector<float> values(layout.padded_size);
    for (const auto& t : layout.tensors) {
        // One spread for a tensor: blocks of like values as well as mixed ones.
        const bool zero = *rc::gen::inRange(0, 8) == 0;
        for (std::uint64_t i = 0; i < t.size && !zero; ++i) {
            auto& value = values[t.offset + i];
            value = random_value(r.train.window);
            while (limited && std::abs(value) >= 0x1p23F) value *= 0x1p-64F;
        }
    }
    return values;
}

}  // namespace tequio::training
