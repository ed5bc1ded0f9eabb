#pragma once

/// A small job for engine tests: a two-layer model on text that follows rules.

#include <string>
#include <vector>

#include "base/rng.hpp"
#include "training/dataset.hpp"
#include "training/engine.hpp"

namespace tequio::training {

/// About `bytes` bytes of made-up sentences.
inline std::string small_text(std::size_t bytes) {
    static constexpr const char* words[] = {"the ",   "node ", "lane ",  "sums ", "a ",
                                            "round ", "and ",  "keeps ", "its ",  "ledger. "};
    base::rng rng(7);
    std::string text;
    while (text.size() < bytes) text += words[rng.below(std::size(words))];
    return text;
}

struct small_job {
    std::string text = small_text(20000);
    tokenised_data data;
    recipe r;

    small_job() {
        r.model = {"gpt2", 2, 2, 32, 64, 256};
        const source_file file{"small.txt", base::as_bytes(text)};
        data = tokenise_bytes(std::span(&file, 1), 0.1, r.model.context).value();
        r.data = data.config;
        r.train.lanes = 2;
        r.train.rounds = 3;
        r.train.inner_steps = 4;
        r.train.batch = 8;
        r.train.micro_batch = 8;
        r.train.inner.lr = 3e-3;
        r.train.inner.ramp_steps = 2;
        r.train.schedule.warmup = 2;
        r.train.seed = 11;
    }
    dataset_view view() const { return dataset_view::open(data.tokens, r).value(); }
};

/// The arrays of one state; `arrays`: `optimizer_arrays` of its recipe.
struct owned_state {
    std::vector<float> parameters, momentum, second;
    explicit owned_state(const state_layout& layout, std::uint32_t arrays = 1)
        : parameters(layout.padded_size),
          momentum(layout.padded_size),
          second(arrays > 1 ? layout.padded_size : 0) {}
    state_span span() { return {parameters, momentum, second}; }
};

}  // namespace tequio::training
