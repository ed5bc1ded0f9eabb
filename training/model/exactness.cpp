#include "training/exactness.hpp"

#include "base/sha256.hpp"
#include "training/dataset.hpp"
#include "training/engine.hpp"
#include "training/errc.hpp"
#include "training/numerics/environment.hpp"
#include "training/numerics/target.hpp"

namespace tequio::training {
namespace {

/// Contribution of the lane below. It changes only when the profile does.
constexpr std::string_view golden_contribution = TEQUIO_SELF_TEST_DIGEST;

/// A job that is small, yet passes through every kernel of a gpt2 lane: odd widths, two panels
/// along K, two strips.
struct test_job {
    base::byte_vector text;
    recipe work;

    test_job() {
        for (std::uint32_t i = 0, x = 1; i < 4096; ++i) {
            x = x * 1664525u +
                1013904223u;  // Numerical Recipes' generator: any fixed bytes would do
            text.push_back(static_cast<std::uint8_t>("etaoin shrdlu\n.ETAOIN"[(x >> 16) % 21]));
        }
        work.model = {"gpt2", 1, 3, 72, 40, 256};
        work.train.lanes = 1;
        work.train.rounds = 1;
        work.train.inner_steps = 2;
        work.train.batch = 8;
        work.train.micro_batch = 8;
        work.train.inner.lr = 1e-3;
    }
};

base::result<std::string> lane_digest(executor& run) {
    test_job job;
    const source_file file{"self-test", job.text};
    TEQUIO_TRY(const auto data, tokenise_bytes(std::span(&file, 1), 0, job.work.model.context));
    job.work.data = data.config;
    TEQUIO_TRY(auto view, dataset_view::open(data.tokens, job.work));
    TEQUIO_TRY(const auto lane_engine, engine::create(job.work, std::move(view), run));
    std::vector<float> parameters(lane_engine->layout().padded_size);
    std::vector<float> momentum(parameters.size());
    lane_engine->initial_state({parameters, momentum});
    TEQUIO_TRY(const auto lane, lane_engine->run_lane({parameters, momentum}, {0}, {0},
                                                      [](std::uint64_t) { return true; }));
    const auto* bytes = std::get_if<base::byte_vector>(&lane.outcome);
    if (!bytes) return fail(errc::environment_changed, "the self-test's lane diverged");
    return base::blob_ref_of(*bytes).root.hex();
}

}  // namespace

std::string exactness_identity() {
    return "exact/1:" TEQUIO_GOLDEN_VECTORS_SHA256;
}

std::vector<std::string> exact_targets() {
    std::vector<std::string> names;
    for (const auto target : numerics::available_targets())
        names.emplace_back(numerics::target_name(target));
    return names;
}

std::string active_target() {
    return std::string(numerics::target_name());
}

base::result<void> exactness_self_test(executor& run) {
    TEQUIO_CHECK(numerics::probe_float_environment());
    if (!numerics::exact_work_possible()) {
        return fail(errc::environment_changed,
                    "this processor has no fused multiply-add: it takes no exact work");
    }
    const auto before = numerics::active_target();
    std::vector<numerics::simd_target> targets{numerics::simd_target::reference};
    const auto available = numerics::available_targets();
    targets.insert(targets.end(), available.begin(), available.end());
    for (const auto target : targets) {
        numerics::set_target(target);
        const auto digest = lane_digest(run);
        numerics::set_target(before);
        if (!digest) return digest.error();
        if (*digest != golden_contribution) {
            return fail(errc::environment_changed,
                        "kernels for " + std::string(numerics::target_name(target)) + " give " +
                            *digest + " where the profile says " +
                            std::string(golden_contribution));
        }
    }
    return {};
}

}  // namespace tequio::training
