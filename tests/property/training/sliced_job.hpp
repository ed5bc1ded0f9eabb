#pragma once

/// Small jobs whose lanes can be divided.

#include "base/blob.hpp"
#include "base/rng.hpp"
#include "base/text.hpp"
#include "training/engine.hpp"
#include "training/model/trainer.hpp"

namespace tequio::training {

inline const engine::keep_going always = [](std::uint64_t) { return true; };

/// A recipe of such a model, and its data.
struct sliced_job {
    recipe work;
    base::byte_vector data;

    explicit sliced_job(const trainer_config& of, std::uint64_t seed) {
        work.model = of.model;
        work.slices = of.slices;
        auto& train = work.train;
        train.lanes = 2;
        train.rounds = 2;
        train.inner_steps = 2;
        train.batch = of.batch;
        train.micro_batch = of.micro_batch;
        train.inner.lr = 3e-3;
        train.inner.clip = 0.5;
        train.seed = seed;
        base::rng rng(seed);
        const auto window = of.model.context + 1;
        for (std::uint64_t i = 0; i < 9 * window; ++i) {
            data.push_back(static_cast<std::uint8_t>(rng.below(of.model.vocabulary)));
        }
        work.data = {base::blob_ref_of(data), 1, data.size(), 3 * window};
    }

    void make_synchronous() {
        work.train.method = method_synchronous;
        work.train.inner_steps = 1;
        work.train.window = -46;
    }
    /// Six steps that do not stay finite when `lr` is large enough.
    void make_unstable(double lr) {
        work.train.inner_steps = 6;
        work.train.inner.lr = lr;
        work.train.inner.weight_decay = 0.9;
        work.train.schedule.decay = "none";
        work.train.codec = "f32";
    }
};

inline trainer_config fixed(const char* family, bool tied, const char* activations) {
    trainer_config c;
    c.model = {family, 4, 2, 24, 30, 61, 1, 40};
    c.model.tied = tied;
    if (c.model.family == "gpt2") c.model.kv_heads = c.model.hidden = 0;
    c.batch = 6;
    c.micro_batch = 2;
    c.slices = {{1, 2, 3}, activations};
    return c;
}

/// All that a lane and a validation decide, as text.
inline std::string results_text(const lane_result& lane, double validation) {
    const auto* bytes = std::get_if<base::byte_vector>(&lane.outcome);
    const auto* lost = std::get_if<diverged>(&lane.outcome);
    return (bytes != nullptr ? base::blob_ref_of(*bytes).text()
                             : std::to_string(lost->step) + lost->tensor) +
           " " + lane.trace.hex() + " " + base::shortest(lane.loss) + " " +
           base::shortest(validation);
}

}  // namespace tequio::training
