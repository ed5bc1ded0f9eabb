/// Whole lanes of odd shapes: the plain reference on one thread is the definition; 1 to 8 threads,
/// every instruction set, other micro-batches where they are allowed, states and data at unaligned
/// addresses all give its contribution, trace, loss and validation loss.

#include <boost/test/unit_test.hpp>
#include <memory>

#include "base/rng.hpp"
#include "base/text.hpp"
#include "tests/support/target_guard.hpp"
#include "tests/support/thread_pool.hpp"
#include "tests/unit/training/examples_fixture.hpp"
#include "training/engine.hpp"
#include "training/state.hpp"

namespace tequio::training {
namespace {

const engine::keep_going to_the_end = [](std::uint64_t) { return true; };

/// A job, and the micro-batches that must not change its bits.
struct odd_job {
    const char* name;
    recipe work;
    base::byte_vector data;
    std::vector<std::uint64_t> other_micro_batches;
};

odd_job lane_of(const char* name, model_config model, std::uint64_t batch,
                std::uint64_t micro_batch, std::vector<std::uint64_t> others) {
    odd_job job{name, {}, {}, std::move(others)};
    job.work.model = std::move(model);
    auto& train = job.work.train;
    train.lanes = 2;
    train.rounds = 2;
    train.inner_steps = 2;
    train.batch = batch;
    train.micro_batch = micro_batch;
    train.inner.lr = 3e-3;
    train.inner.clip = 0.5;
    return job;
}

/// With tokens of one byte, the last of them for validation.
odd_job text_job(const char* name, model_config model, std::uint64_t batch,
                 std::uint64_t micro_batch, std::vector<std::uint64_t> others = {}) {
    auto job = lane_of(name, std::move(model), batch, micro_batch, std::move(others));
    const auto& m = job.work.model;
    base::rng rng(m.context);
    for (std::uint64_t i = 0; i < 6 * (m.context + 1); ++i) {
        job.data.push_back(static_cast<std::uint8_t>(rng.below(m.vocabulary)));
    }
    job.work.data = {base::blob_ref_of(job.data), 1, job.data.size(), 2 * (m.context + 1)};
    return job;
}

odd_job examples_job(const char* name, std::uint32_t value_bytes) {
    constexpr std::uint64_t count = 130, inputs = 13, classes = 3;
    model_config model;
    model.family = "mlp";
    model.layers = 2;
    model.width = 19;
    model.context = 1;
    model.inputs = inputs;
    model.vocabulary = classes;
    auto job = lane_of(name, std::move(model), 600, 600, {256, 512});
    job.data = bumps(value_bytes, count, inputs, classes).blob();
    job.work.data = {base::blob_ref_of(job.data), value_bytes, count, 30};
    return job;
}

std::vector<odd_job> odd_jobs() {
    model_config untied{"llama", 2, 6, 36, 32, 50, 2, 50};
    untied.tied = false;
    std::vector<odd_job> jobs;
    jobs.push_back(text_job("gpt2", {"gpt2", 1, 3, 36, 64, 57}, 12, 12, {4, 8}));
    jobs.push_back(text_job("gpt2, one head", {"gpt2", 2, 1, 21, 32, 256}, 24, 24, {8, 16}));
    jobs.push_back(text_job("gpt2, nothing divides", {"gpt2", 1, 2, 10, 7, 11}, 6, 3));
    jobs.push_back(text_job("gpt2, two panels of keys", {"gpt2", 1, 2, 14, 300, 31}, 2, 1));
    jobs.push_back(text_job("llama", {"llama", 1, 4, 24, 64, 43, 1, 37}, 8, 8, {4}));
    jobs.push_back(text_job("llama, untied", untied, 16, 8, {16}));
    jobs.push_back(examples_job("mlp", 1));
    jobs.push_back(examples_job("mlp of reals", 4));
    return jobs;
}

/// A copy of `bytes` at an address that is a multiple of nothing, `offset` bytes into a block.
class misplaced {
public:
    misplaced(base::byte_view bytes, std::size_t offset) : block_(bytes.size() + offset) {
        std::copy(bytes.begin(), bytes.end(), block_.begin() + static_cast<std::ptrdiff_t>(offset));
        view_ = base::byte_view(block_).subspan(offset);
    }
    base::byte_view view() const { return view_; }

private:
    base::byte_vector block_;
    base::byte_view view_;
};

/// All that a lane and a validation decide. Data and state lie `offset` bytes and floats beside
/// where an allocation begins.
std::string results(const odd_job& job, executor& run, std::uint64_t micro_batch,
                    std::size_t offset) {
    const misplaced data(job.data, offset);
    auto view = dataset_view::open(data.view(), job.work).value();
    auto made = engine::create(job.work, view, run, {.micro_batch = micro_batch});
    BOOST_REQUIRE_MESSAGE(made.has_value(), job.name);
    auto& e = **made;
    const auto size = e.layout().padded_size;
    std::vector<float> parameters(size + offset), momentum(size + offset);
    const state_span state{std::span(parameters).subspan(offset),
                           std::span(momentum).subspan(offset)};
    e.initial_state(state);
    const auto lane = e.run_lane(state, {1}, {1}, to_the_end).value();
    const auto* bytes = std::get_if<base::byte_vector>(&lane.outcome);
    BOOST_REQUIRE_MESSAGE(bytes != nullptr, job.name << " stays finite");
    return base::blob_ref_of(*bytes).text() + " " + lane.trace.hex() + " " +
           base::shortest(lane.loss) + " " + base::shortest(e.validate(state, to_the_end).value());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(lane_property)

BOOST_AUTO_TEST_CASE(nothing_that_a_machine_chooses_changes_a_lane) {
    const tests::target_guard guard;
    std::vector<std::unique_ptr<tests::thread_pool>> pools;
    for (unsigned threads = 1; threads <= 8; ++threads) {
        pools.push_back(std::make_unique<tests::thread_pool>(threads));
    }
    for (const auto& job : odd_jobs()) {
        numerics::set_target(numerics::simd_target::reference);
        const auto expected = results(job, *pools[0], 0, 0);
        for (const auto target : numerics::available_targets()) {
            numerics::set_target(target);
            BOOST_TEST_CONTEXT(job.name << " on " << numerics::target_name()) {
                for (auto& pool : pools) {
                    BOOST_TEST(results(job, *pool, 0, pool->threads() % 2) == expected,
                               "threads: " << pool->threads());
                }
                for (const auto micro_batch : job.other_micro_batches) {
                    BOOST_TEST(results(job, *pools[2], micro_batch, 3) == expected,
                               "micro_batch: " << micro_batch);
                }
            }
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
