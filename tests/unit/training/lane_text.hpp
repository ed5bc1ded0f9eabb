#pragma once

/// Lanes as text, to be compared with one another. A job has members
/// `r` (the recipe) and `view()` (the data), as small_job of engine_fixture.hpp.

#include <boost/test/unit_test.hpp>
#include <string>

#include "base/blob.hpp"
#include "base/text.hpp"
#include "tests/unit/training/engine_fixture.hpp"

namespace tequio::training {

inline const engine::keep_going always = [](std::uint64_t) { return true; };

/// Everything a lane decides, as text.
inline std::string text_of(const lane_result& lane) {
    std::string text = "trace " + lane.trace.hex() + "\nloss " + base::shortest(lane.loss) + "\n";
    if (const auto* bytes = std::get_if<base::byte_vector>(&lane.outcome)) {
        return "contribution " + base::blob_ref_of(*bytes).text() + "\n" + text;
    }
    const auto& d = std::get<diverged>(lane.outcome);
    return "diverged " + std::to_string(d.step) + " " + d.tensor + "\n" + text;
}

/// Lane 1 of round 0.
template <class Job>
std::string first_lane(const Job& job, executor& run, engine_options options = {}) {
    auto e = engine::create(job.r, job.view(), run, options).value();
    owned_state state(e->layout());
    e->initial_state(state.span());
    const auto lane = e->run_lane(state.span(), {0}, {1}, always);
    BOOST_REQUIRE(lane.has_value());
    return "state " + state_digest(e->layout(), state.span()).hex() + "\n" + text_of(*lane);
}

}  // namespace tequio::training
