// A fast-math library that is loaded while a lane runs voids that lane, and it alone.

#include <dlfcn.h>

#include <boost/test/unit_test.hpp>

#include "tests/conformance/golden_job.hpp"
#include "training/arithmetic.hpp"
#include "training/errc.hpp"
#include "training/numerics/environment.hpp"

namespace tequio::tests {

BOOST_AUTO_TEST_CASE(a_library_loaded_in_the_middle_of_a_lane_voids_it) {
    training::prepare_compute_thread();
    training::serial_executor one;
    const auto job = read_golden_job("gpt2");
    auto engine = training::engine::create(job.work, job.view(), one).value();
    std::vector<float> parameters(engine->layout().padded_size), momentum(parameters.size());
    engine->initial_state({parameters, momentum});
    void* library = nullptr;
    const auto lane = engine->run_lane({parameters, momentum}, {0}, {0}, [&](std::uint64_t step) {
        if (step == 1 && library == nullptr) library = ::dlopen(TEQUIO_FAST_MATH_LIBRARY, RTLD_NOW);
        return true;
    });
    BOOST_REQUIRE_MESSAGE(library != nullptr, ::dlerror());
    BOOST_TEST(!training::numerics::float_environment_ok());
    BOOST_REQUIRE(!lane);
    BOOST_TEST(lane.error().is(training::errc::environment_changed));

    training::prepare_compute_thread();
    BOOST_TEST(run_golden_job(job, one) == job.golden);
}

}  // namespace tequio::tests
