#pragma once

/// Random small language models that can be divided.

#include <rapidcheck.h>

#include <string>

#include "training/model/trainer.hpp"

namespace tequio::training {

/// gpt2 or llama, tied or not, 2 to 5 layers with at least one cut, any activations.
inline trainer_config config_with_cuts() {
    trainer_config c;
    auto& m = c.model;
    m.family = *rc::gen::element<std::string>("gpt2", "llama");
    m.layers = *rc::gen::inRange<std::uint64_t>(2, 6);
    m.heads = *rc::gen::inRange<std::uint64_t>(1, 4);
    m.width = m.heads * 2 * *rc::gen::inRange<std::uint64_t>(1, 14);
    m.context = *rc::gen::inRange<std::uint64_t>(1, 40);
    m.vocabulary = *rc::gen::inRange<std::uint64_t>(2, 120);
    if (m.family == "llama") {
        m.kv_heads = 1;
        m.hidden = *rc::gen::inRange<std::uint64_t>(1, 70);
        m.tied = *rc::gen::arbitrary<bool>();
    }
    c.micro_batch = *rc::gen::inRange<std::uint64_t>(1, 3);
    c.batch = c.micro_batch * *rc::gen::inRange<std::uint64_t>(1, 5);
    c.slices.activations = *rc::gen::element<std::string>("f32", "bf16", "mxint8");
    const auto certain = *rc::gen::inRange<std::uint64_t>(1, m.layers);
    for (std::uint64_t layer = 1; layer < m.layers; ++layer) {
        if (layer == certain || *rc::gen::arbitrary<bool>()) c.slices.cuts.push_back(layer);
    }
    return c;
}

}  // namespace tequio::training
