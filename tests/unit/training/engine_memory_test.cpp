// What `job plan` promises about memory, against what a lane really takes.

#include <boost/test/unit_test.hpp>

#include "tests/support/thread_pool.hpp"
#include "tests/unit/training/engine_fixture.hpp"
#include "tests/unit/training/memory_probe.hpp"

namespace tequio::training {
namespace {

/// Most memory that a lane of the job adds to what was there, the state being the caller's.
std::uint64_t lane_bytes(const small_job& job, unsigned threads) {
    tests::thread_pool pool(threads);
    const auto layout = layout_of(job.r.model);
    owned_state state(layout);
    {
        serial_executor one;
        const auto first = engine::create(job.r, job.view(), one).value();
        first->initial_state(state.span());
    }
    const auto before = status_bytes("VmRSS");
    const auto e = engine::create(job.r, job.view(), pool).value();
    const auto lane = e->run_lane(state.span(), {0}, {0}, [](std::uint64_t) { return true; });
    BOOST_REQUIRE(lane.has_value());
    return status_bytes("VmHWM") - before;
}

void check_prediction(const small_job& job, unsigned threads) {
    const auto planned = static_cast<double>(engine::memory_bytes_for(job.r, threads));
    const auto found =
        static_cast<double>(peak_bytes_alone([&] { return lane_bytes(job, threads); }));
    BOOST_TEST(found < 1.1 * planned, found << " bytes, " << planned << " planned");
    BOOST_TEST(found > 0.9 * planned, found << " bytes, " << planned << " planned");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(engine_memory)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;  // shadow memory is counted too
#else
constexpr bool sanitized = false;
#endif

BOOST_AUTO_TEST_CASE(planned_memory_is_what_a_lane_takes,
                     *boost::unit_test::enable_if<!sanitized>()) {
    small_job job;
    job.r.train.inner_steps = 1;
    // Mostly activations, then mostly parameters, gradients and moments.
    job.r.model = {"gpt2", 4, 4, 192, 64, 256};
    job.r.train.batch = 24;
    job.r.train.micro_batch = 24;
    check_prediction(job, 1);
    check_prediction(job, 2);
    job.r.model = {"gpt2", 2, 4, 384, 64, 8000};
    job.r.train.batch = 2;
    job.r.train.micro_batch = 1;
    check_prediction(job, 2);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
