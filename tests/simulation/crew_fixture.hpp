#pragma once

/// What the crew scenarios share: worlds that end as one machine alone would.

#include <boost/test/unit_test.hpp>
#include <cstdlib>

#include "tests/simulation/crew_world.hpp"

namespace tequio::simulation {

using namespace std::chrono_literals;
using training::crew_command;
using training::job_state;

/// A job of hashes that is over soon, and what it comes to on one machine alone.
inline lane_functions& quick() {
    static const auto functions = make_hash_functions({.lanes = 3, .rounds = 4});
    return *functions;
}
inline const replayed& quick_alone() {
    static const auto alone = replay(quick());
    return alone;
}

/// How many seeds of a kind a test looks at: `few` among the default tests, `many` in the long ones
/// (TEQUIO_MANY_SEEDS, tests/simulation/CMakeLists.txt).
inline std::uint64_t seeds(std::uint64_t few, std::uint64_t many) {
    return std::getenv("TEQUIO_MANY_SEEDS") != nullptr ? many : few;
}

/// Fails with a picture of the world unless `done` comes true within `limit` of virtual time.
inline void run_until(crew_world& world, base::duration limit, const std::function<bool()>& done) {
    const bool came = world.run(limit, done);
    BOOST_TEST_REQUIRE(came, "not in time: " << world.describe());
}

/// Fails with a picture of the world unless every living node finishes with the chronicle of one
/// machine alone within `limit` of virtual time.
inline void finish_as_alone(crew_world& world, const replayed& alone, base::duration limit) {
    const bool done = world.run(limit, [&] { return world.all(job_state::done); });
    BOOST_TEST_REQUIRE(done, "not done in time: " << world.describe());
    world.run_for(100ms);  // the last effects wait for the disk
    BOOST_TEST(world.all_agree_with(alone), "another result: " << world.describe());
}

}  // namespace tequio::simulation
