// With a fast-math library linked into the process, whose main thread therefore begins with
// flushing switched on: lanes and whole jobs still have their golden bits.

#include <boost/test/unit_test.hpp>
#include <thread>

#include "node/worker/compute_pool.hpp"
#include "tests/conformance/golden_job.hpp"
#include "tests/conformance/golden_replay.hpp"
#include "tests/support/target_guard.hpp"
#include "tests/support/thread_pool.hpp"
#include "training/errc.hpp"
#include "training/exactness.hpp"
#include "training/numerics/environment.hpp"

extern "C" float fast_math_half(float x);

namespace tequio::tests {
namespace {

namespace numerics = training::numerics;

volatile float smallest_normal = 0x1p-126F;

/// The environment that the process began with, once again.
void spoil_thread() {
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);  // flush to zero, denormals are zero
#else
    asm volatile("msr fpcr, %0" : : "r"(1UL << 24));  // flush to zero
#endif
}

}  // namespace

BOOST_AUTO_TEST_SUITE(fast_math_linked)

BOOST_AUTO_TEST_CASE(the_library_does_what_it_is_here_for) {
    BOOST_TEST(!numerics::float_environment_ok());
    BOOST_TEST(fast_math_half(smallest_normal) == 0.0F);
    bool inherited = false;
    std::thread([&] { inherited = !numerics::float_environment_ok(); }).join();
    BOOST_TEST(inherited, "a thread begins as the one that started it");
}

BOOST_AUTO_TEST_CASE(a_lane_on_a_thread_that_was_not_prepared_is_void) {
    spoil_thread();
    training::serial_executor one;
    const auto job = read_golden_job("gpt2");
    auto engine = training::engine::create(job.work, job.view(), one).value();
    std::vector<float> parameters(engine->layout().padded_size), momentum(parameters.size());
    const auto lane =
        engine->run_lane({parameters, momentum}, {0}, {0}, [](std::uint64_t) { return true; });
    BOOST_REQUIRE(!lane);
    BOOST_TEST(lane.error().is(training::errc::environment_changed));
}

BOOST_AUTO_TEST_CASE(the_self_test_prepares_its_thread_and_passes) {
    spoil_thread();
    training::serial_executor one;
    const auto passed = training::exactness_self_test(one, training::self_test_scope::everything);
    BOOST_TEST(passed.has_value(), (passed ? "" : passed.error().message()));
}

BOOST_AUTO_TEST_CASE(pools_started_by_a_spoiled_thread_give_the_golden_bits_on_every_target) {
    const target_guard guard;
    const auto jobs = read_golden_jobs();
    for (const unsigned threads : {1U, 4U}) {
        spoil_thread();
        node::compute_pool pool(threads);
        for (const auto target : numerics::available_targets()) {
            numerics::set_target(target);
            for (const auto& job : jobs) {
                BOOST_TEST(
                    run_golden_job(job, pool) == job.golden,
                    job.name << " on " << numerics::target_name() << ", threads: " << threads);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_worker_process_with_the_library_comes_to_the_golden_chronicles) {
    spoil_thread();
    for (const auto& job : read_golden_jobs()) {
        for (const unsigned threads : {1U, 3U}) {
            BOOST_TEST(
                job.golden.ends_with(replay_golden_job(job, TEQUIO_FAST_MATH_WORKER, threads)),
                job.name << ", threads: " << threads);
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
