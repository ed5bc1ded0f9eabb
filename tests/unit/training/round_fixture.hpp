#pragma once

/// Small recipes and states for the tests of recipes, tasks, contributions and merging.

#include <cmath>
#include <fstream>
#include <iterator>
#include <string>

#include "base/rng.hpp"
#include "base/sha256.hpp"
#include "base/signing.hpp"
#include "training/recipe.hpp"
#include "training/state.hpp"
#include "training/task.hpp"

namespace tequio::training {

/// The job file of INTERFACE.md on data of 100,000 bytes.
inline recipe example_recipe() {
    recipe r;
    r.model = {"gpt2", 6, 6, 384, 256, 256};
    r.data.tokens = {base::sha256("some data"), 100000};
    r.data.token_count = 100000;
    r.data.validation_tokens = 1000;
    r.train.lanes = 8;
    r.train.rounds = 40;
    r.train.inner_steps = 50;
    r.train.batch = 8;
    r.train.micro_batch = 8;
    r.train.inner.ramp_steps = 10;
    r.train.schedule.warmup = 100;
    return r;
}

/// 4,360 parameters in tensors whose sizes are no multiples of 32, so that padding shows.
inline recipe small_recipe(std::uint64_t lanes = 3) {
    auto r = example_recipe();
    r.model = {"gpt2", 1, 2, 10, 8, 256};
    r.train.lanes = lanes;
    return r;
}

inline task example_task(const base::signing_key& key) {
    task t;
    t.name = "webster";
    t.purpose = "A small language model: schöne Wörter, 学而时习之";
    t.data_license = "GPL-2.0-or-later";
    t.model_license = "MIT OR Apache-2.0";
    t.swarm = base::id_of<base::swarm_id>(base::as_bytes("a swarm"));
    t.submitter = key.public_part();
    t.created = {1795415280};
    t.deadline = {1795415280 + 7 * 24 * 3600};
    t.nonce = "00112233445566778899aabbccddeeff";
    t.exactness = "exact/1:" + base::sha256("golden vectors").hex();
    t.work = example_recipe();
    return t;
}

inline base::signing_key example_key(std::uint8_t which = 7) {
    std::array<std::uint8_t, 32> seed{};
    seed[0] = which;
    return base::signing_key::from_seed(seed);
}

/// `text` with its first `from` replaced by `to`; `text` itself when there is none.
inline std::string replaced(std::string text, std::string_view from, std::string_view to) {
    const auto at = text.find(from);
    if (at != std::string::npos) text.replace(at, from.size(), to);
    return text;
}

inline std::string read_vector(const std::string& name) {
    std::ifstream in(std::string(TEQUIO_SOURCE_DIR) + "/tests/vectors/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// Values that f32 holds exactly, with zeros in the padding.
inline std::vector<float> random_values(const state_layout& layout, std::uint64_t seed) {
    base::rng rng(seed);
    std::vector<float> values(layout.padded_size);
    for (const auto& t : layout.tensors) {
        for (std::uint64_t i = 0; i < t.size; ++i) {
            const auto code = static_cast<int>(rng.below(2001)) - 1000;
            values[t.offset + i] = std::ldexp(static_cast<float>(code), -20);
        }
    }
    return values;
}

}  // namespace tequio::training
