#pragma once

/// Lanes as text, to be compared with one another and with the golden vectors. A job has members
/// `r` (the recipe) and `view()` (the data), as small_job of engine_fixture.hpp.

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <fstream>
#include <string>

#include "base/blob.hpp"
#include "base/text.hpp"
#include "tests/unit/training/engine_fixture.hpp"
#include "training/numerics/target.hpp"

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

/// The text in tests/vectors/NAME without its comment lines. With TEQUIO_WRITE_VECTORS set,
/// `found`, the first lane of the job in `fixture`, is written there before.
inline std::string golden_lane(const std::string& name, const std::string& fixture,
                               const std::string& found) {
    const auto path = std::string(TEQUIO_SOURCE_DIR) + "/tests/vectors/" + name;
    if (std::getenv("TEQUIO_WRITE_VECTORS") != nullptr) {
        std::ofstream out(path);
        out << "# Lane 1 of round 0 of the job in tests/unit/training/" << fixture << ".\n"
            << "# Made by TEQUIO_WRITE_VECTORS=1 unit_training_engine; never edited while exact/1\n"
            << "# is frozen.\n"
            << found;
    }
    std::ifstream in(path);
    BOOST_REQUIRE_MESSAGE(in.good(), path + " can be read");
    std::string text, line;
    while (std::getline(in, line)) {
        if (!line.starts_with("#")) text += line + "\n";
    }
    return text;
}

/// Restores the active target at the end of a scope.
struct target_guard {
    numerics::simd_target kept = numerics::active_target();
    ~target_guard() { numerics::set_target(kept); }
};

}  // namespace tequio::training
