#include "training/exactness.hpp"

#include <bit>

#include "base/blob.hpp"
#include "base/text.hpp"
#include "training/dataset.hpp"
#include "training/engine.hpp"
#include "training/errc.hpp"
#include "training/numerics/environment.hpp"
#include "training/numerics/target.hpp"

namespace tequio::training {
namespace {

/// "NAME DIGEST" of the contribution of each job below, joined by commas. They change only when the
/// profile does.
constexpr std::string_view golden_contributions = TEQUIO_SELF_TEST_DIGESTS;

/// A job that is small, yet passes through every kernel of a lane of its family.
struct test_job {
    std::string name;
    recipe work;
    base::byte_vector data;
};

/// Numerical Recipes' generator: any fixed bytes would do.
struct fixed_numbers {
    std::uint32_t x = 1;
    std::uint32_t below(std::uint32_t bound) {
        x = x * 1664525u + 1013904223u;
        return (x >> 16) % bound;
    }
};

recipe one_lane(model_config model, std::uint64_t batch) {
    recipe r;
    r.model = std::move(model);
    r.train.lanes = 1;
    r.train.rounds = 1;
    r.train.inner_steps = 2;
    r.train.batch = batch;
    r.train.micro_batch = batch;
    r.train.inner.lr = 1e-3;
    return r;
}

test_job text_job(const model_config& model) {
    test_job job{model.family, one_lane(model, 8), {}};
    fixed_numbers numbers;
    for (std::uint32_t i = 0; i < 4096; ++i) {
        job.data.push_back(static_cast<std::uint8_t>("etaoin shrdlu\n.ETAOIN"[numbers.below(21)]));
    }
    job.work.data.tokens = base::blob_ref_of(job.data);
    job.work.data.token_count = job.data.size();
    return job;
}

/// Odd widths, two panels along K, two strips.
test_job gpt2_job() {
    return text_job({"gpt2", 1, 3, 72, 40, 256});
}

/// The same; three query heads to each head of keys and values, and an output head of its own.
test_job llama_job() {
    model_config model{"llama", 1, 6, 84, 40, 256, 2, 300};
    model.tied = false;
    return text_job(model);
}

/// Odd widths, two panels along K of the first layer and of the gradients.
test_job mlp_job() {
    constexpr std::uint32_t inputs = 300, classes = 11, examples = 64;
    model_config model;
    model.family = "mlp";
    model.layers = 2;
    model.width = 37;
    model.context = 1;
    model.inputs = inputs;
    model.vocabulary = classes;
    test_job job{"mlp", one_lane(model, 300), {}};
    base::byte_writer out(job.data);
    fixed_numbers numbers;
    for (std::uint32_t j = 0; j < inputs; ++j)
        out.u32(std::bit_cast<std::uint32_t>(static_cast<float>(numbers.below(256))));
    for (std::uint32_t j = 0; j < inputs; ++j) {
        out.u32(std::bit_cast<std::uint32_t>(static_cast<float>(numbers.below(5)) * 0x1p-9F));
    }
    for (std::uint32_t i = 0; i < examples; ++i) {
        out.u32(numbers.below(classes));
        for (std::uint32_t j = 0; j < inputs; ++j) {
            out.u8(static_cast<std::uint8_t>(numbers.below(256)));
        }
    }
    job.work.data = {base::blob_ref_of(job.data), 1, examples, 0};
    return job;
}

base::result<std::string> lane_digest(const test_job& job, executor& run) {
    TEQUIO_TRY(auto view, dataset_view::open(job.data, job.work));
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

/// Runs one job on the active target.
base::result<void> check_job(const test_job& job, executor& run) {
    TEQUIO_TRY(const auto digest, lane_digest(job, run));
    const auto found = job.name + " " + digest;
    for (const auto golden : base::split(golden_contributions, ',')) {
        if (golden == found) return {};
    }
    return fail(errc::environment_changed, "kernels for " + active_target() + " give \"" + found +
                                               "\" where the profile says one of \"" +
                                               std::string(golden_contributions) + "\"");
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

base::result<self_test_report> exactness_self_test(executor& run, self_test_scope scope) {
    numerics::set_float_environment();
    TEQUIO_CHECK(numerics::probe_float_environment());
    if (!numerics::exact_work_possible()) {
        return fail(errc::environment_changed,
                    "this processor has no fused multiply-add: it takes no exact work");
    }
    const auto before = numerics::active_target();
    const auto available = numerics::available_targets();
    std::vector<numerics::simd_target> targets(available.begin(), available.end());
    constexpr auto reference = numerics::simd_target::reference;
    if (scope == self_test_scope::everything || before == reference)
        targets.insert(targets.begin(), reference);
    const auto gpt2 = gpt2_job(), llama = llama_job(), mlp = mlp_job();
    self_test_report report{{}, {gpt2.name, llama.name, mlp.name}};
    for (const auto target : targets) {
        for (const auto* job : {&gpt2, &llama, &mlp}) {
            numerics::set_target(target);
            const auto checked = check_job(*job, run);
            numerics::set_target(before);
            if (!checked) return checked.error();
        }
        report.targets.emplace_back(numerics::target_name(target));
    }
    return report;
}

}  // namespace tequio::training
