#pragma once

/// Blobs of examples for the tests of mlp jobs, and a small job on them.

#include <cmath>
#include <vector>

#include "base/blob.hpp"
#include "base/rng.hpp"
#include "training/dataset.hpp"
#include "training/recipe.hpp"

namespace tequio::training {

/// What a blob of examples is made of. Every example has `shifts.size()` values.
struct example_parts {
    std::uint32_t value_bytes = 1;
    std::vector<float> shifts, factors;
    std::vector<std::uint32_t> labels;
    std::vector<float> values;  ///< (labels, inputs); of 1 byte: integers from 0 to 255

    base::byte_vector blob() const {
        base::byte_vector bytes;
        base::byte_writer out(bytes);
        for (const float x : shifts) out.u32(std::bit_cast<std::uint32_t>(x));
        for (const float x : factors) out.u32(std::bit_cast<std::uint32_t>(x));
        for (std::size_t i = 0; i < labels.size(); ++i) {
            out.u32(labels[i]);
            for (std::size_t j = 0; j < shifts.size(); ++j) {
                const float value = values[i * shifts.size() + j];
                if (value_bytes == 1) {
                    out.u8(static_cast<std::uint8_t>(value));
                } else {
                    out.u32(std::bit_cast<std::uint32_t>(value));
                }
            }
        }
        return bytes;
    }
};

/// `count` examples of `classes` kinds: a bump whose place tells the class, in noise.
inline example_parts bumps(std::uint32_t value_bytes, std::uint64_t count, std::uint64_t inputs,
                           std::uint64_t classes) {
    example_parts parts;
    parts.value_bytes = value_bytes;
    base::rng rng(5);
    for (std::uint64_t j = 0; j < inputs; ++j) {
        parts.shifts.push_back(40.0F + static_cast<float>(j));
        parts.factors.push_back(0x1p-6F);
    }
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto label = static_cast<std::uint32_t>(rng.below(classes));
        parts.labels.push_back(label);
        for (std::uint64_t j = 0; j < inputs; ++j) {
            const bool inside = j * classes / inputs == label;
            parts.values.push_back(static_cast<float>(rng.below(120) + (inside ? 60 : 0)));
        }
    }
    return parts;
}

/// A small job of examples with the members of small_job (engine_fixture.hpp).
struct small_examples {
    struct {
        base::byte_vector tokens;
    } data;
    recipe r;

    explicit small_examples(std::uint32_t value_bytes = 1) {
        constexpr std::uint64_t count = 1500, inputs = 30, classes = 5;
        data.tokens = bumps(value_bytes, count, inputs, classes).blob();
        r.model.family = "mlp";
        r.model.layers = 2;
        r.model.width = 40;
        r.model.context = 1;
        r.model.inputs = inputs;
        r.model.vocabulary = classes;
        r.data = {base::blob_ref_of(data.tokens), value_bytes, count, 300};
        r.train.lanes = 2;
        r.train.rounds = 3;
        r.train.inner_steps = 4;
        r.train.batch = 512;
        r.train.micro_batch = 512;
        r.train.inner.lr = 3e-3;
        r.train.inner.ramp_steps = 2;
        r.train.schedule.warmup = 2;
        r.train.seed = 11;
    }
    dataset_view view() const { return dataset_view::open(data.tokens, r).value(); }
};

}  // namespace tequio::training
