// Lanes and short whole jobs give the bits in tests/vectors/jobs, on every dispatch target.
// TEQUIO_WRITE_VECTORS=1 writes golden.txt anew, by the plain references; a changed digest means a
// changed profile.

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/sha256.hpp"
#include "tests/conformance/golden_job.hpp"
#include "tests/support/target_guard.hpp"
#include "training/exactness.hpp"
#include "training/slices.hpp"

namespace tequio::tests {
namespace {

namespace numerics = training::numerics;

void write_golden(const golden_job& job, const std::string& results) {
    std::ofstream out(golden_job_folder(job.name) + "/golden.txt", std::ios::binary);
    out << "# What recipe.txt and data.bin come to, lane by lane. Made by TEQUIO_WRITE_VECTORS=1\n"
           "# conformance_jobs; never edited, for exact/1 is frozen.\n"
        << results;
    BOOST_REQUIRE(out.good());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(golden_jobs)

BOOST_AUTO_TEST_CASE(references_give_the_golden_results) {
    const target_guard guard;
    numerics::set_target(numerics::simd_target::reference);
    training::serial_executor one;
    for (auto& job : read_golden_jobs()) {
        const auto results = run_golden_job(job, one);
        if (std::getenv("TEQUIO_WRITE_VECTORS") != nullptr) {
            write_golden(job, results);
            job = read_golden_job(job.name);
        }
        BOOST_TEST(results == job.golden, job.name);
    }
}

BOOST_AUTO_TEST_CASE(every_target_gives_the_golden_results) {
    const target_guard guard;
    training::serial_executor one;
    BOOST_REQUIRE(!numerics::available_targets().empty());
    for (const auto target : numerics::available_targets()) {
        numerics::set_target(target);
        for (const auto& job : read_golden_jobs()) {
            BOOST_TEST(run_golden_job(job, one) == job.golden,
                       job.name << " on " << numerics::target_name());
        }
    }
}

BOOST_AUTO_TEST_CASE(jobs_with_cuts_give_the_golden_results_in_slices) {
    const target_guard guard;
    training::serial_executor one;
    std::size_t in_slices = 0;
    for (const auto target : numerics::available_targets()) {
        numerics::set_target(target);
        for (const auto& job : read_golden_jobs()) {
            for (std::uint64_t n = 2; n <= training::slices_max(job.work); ++n, ++in_slices) {
                BOOST_TEST(run_golden_job(job, one, {.slices = n}) == job.golden,
                           job.name << " in " << n << " slices on " << numerics::target_name());
            }
        }
    }
    BOOST_TEST(in_slices >= 4 * numerics::available_targets().size());
}

// tests/vectors/README.md, rules 1 and 2.
BOOST_AUTO_TEST_CASE(no_frozen_vector_was_edited) {
    const std::string folder = TEQUIO_SOURCE_DIR "/tests/vectors/";
    std::istringstream lines(read_text(folder + "frozen.txt"));
    std::size_t files = 0;
    for (std::string line; std::getline(lines, line); ++files) {
        const auto digest = line.substr(0, line.find("  "));
        const auto name = line.substr(digest.size() + 2);
        BOOST_TEST(base::sha256(read_text(folder + name)).hex() == digest, name);
    }
    BOOST_TEST(files >= 2 + 3 * golden_job_names().size());
}

BOOST_AUTO_TEST_CASE(the_short_form_that_doctor_runs_passes) {
    training::serial_executor one;
    const auto passed = training::exactness_self_test(one, training::self_test_scope::everything);
    BOOST_TEST(passed.has_value(), (passed ? "" : passed.error().message()));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
