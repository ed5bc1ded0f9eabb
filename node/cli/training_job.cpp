#include "node/cli/training_job.hpp"

#include "base/blob.hpp"

namespace tequio::node {

base::result<training::bench_preset> preset_for(const train_bench_options& o) {
    auto preset = training::bench_preset_of(o.preset);
    if (!preset) return ends_with(exit_code::usage, preset.error().message());
    if (o.batch != 0) preset->batch = o.batch;
    if (o.context != 0) preset->model.context = o.context;
    return preset;
}

base::result<training_job> training_job_of(const training::bench_preset& preset,
                                           const training_job_shape& shape) {
    training_job job;
    auto& r = job.recipe;
    r.model = preset.model;
    r.data.token_bytes = r.model.vocabulary <= 256 ? 1 : r.model.vocabulary <= 65536 ? 2 : 4;
    r.data.token_count = 64 * r.model.context + 1;
    std::uint64_t word = 1;
    for (std::uint64_t i = 0; i < r.data.token_count; ++i) {
        word = word * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX
        const auto token = (word >> 33) % r.model.vocabulary;
        for (std::uint32_t b = 0; b < r.data.token_bytes; ++b) {
            job.tokens.push_back(static_cast<std::uint8_t>(token >> (8 * b)));
        }
    }
    r.data.tokens = base::blob_ref_of(job.tokens);
    r.train.lanes = 1;
    r.train.rounds = 1;
    r.train.inner_steps = shape.steps;
    r.train.batch = preset.batch;
    r.train.micro_batch = shape.micro_batch;
    r.slices = shape.slices;
    TEQUIO_CHECK(training::check_recipe(r));
    return job;
}

}  // namespace tequio::node
