#pragma once

/// Two training steps of a language model on made-up tokens, for property tests.

#include <rapidcheck.h>

#include <cstring>
#include <vector>

#include "base/rng.hpp"
#include "tests/support/thread_pool.hpp"
#include "training/model/initial.hpp"
#include "training/model/trainer.hpp"
#include "training/numerics/target.hpp"

namespace tequio::training {

/// Parameters after two steps, the second one's gradients, and both losses: everything a lane is
/// made of.
inline std::vector<float> two_steps(const trainer_config& config, std::uint64_t seed,
                                    executor& run) {
    const auto layout = layout_of(config.model);
    auto work = trainer::create(config, layout, run).value();
    std::vector<float> parameters(layout.padded_size), momentum(layout.padded_size);
    fill_initial(layout, seed, base::digest{}, {parameters, momentum}, run);
    work->begin(parameters);
    base::rng rng(seed);
    const auto source = [&](std::uint64_t, const batch_span& batch) {
        const auto any = [&] {
            return static_cast<std::uint32_t>(rng.below(config.model.vocabulary));
        };
        // Pairs, so that how a step is cut into micro-batches changes no token.
        for (std::size_t i = 0; i < batch.tokens.size(); ++i) {
            batch.tokens[i] = any();
            batch.targets[i] = any();
        }
    };
    std::vector<float> out;
    for (const std::uint64_t step : {1U, 2U}) {
        const auto done = work->step(step, 1e-2, source, [] { return true; }).value();
        out.push_back(static_cast<float>(done.loss));
    }
    out.insert(out.end(), work->parameters().begin(), work->parameters().end());
    out.insert(out.end(), work->gradients().begin(), work->gradients().end());
    return out;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), 4 * a.size()) == 0;
}

/// Runs a property with the active target restored afterwards.
template <class Property>
bool holds(const char* name, Property property) {
    const auto kept = numerics::active_target();
    const bool held = rc::check(name, property);
    numerics::set_target(kept);
    return held;
}

/// Asserts that every target on three threads gives the bits of the reference on one.
inline void same_on_every_target(const trainer_config& config, std::uint64_t seed) {
    static serial_executor one;
    static tests::thread_pool three(3);
    numerics::set_target(numerics::simd_target::reference);
    const auto expected = two_steps(config, seed, one);
    for (const auto target : numerics::available_targets()) {
        numerics::set_target(target);
        RC_ASSERT(same_bits(two_steps(config, seed, three), expected));
    }
}

}  // namespace tequio::training
