// The golden jobs as a submitter types them become the recipes and data that the results are of,
// and a worker process that computes them comes to the same chronicle.

#include <boost/test/unit_test.hpp>
#include <cstdlib>

#include "node/cli/job_input.hpp"
#include "node/io/files.hpp"
#include "tests/conformance/golden_job.hpp"
#include "tests/conformance/golden_replay.hpp"

namespace tequio::tests {
BOOST_AUTO_TEST_SUITE(golden_job_files)

BOOST_AUTO_TEST_CASE(job_files_become_the_golden_recipes_and_data) {
    node::cli_context context;
    context.quiet = true;
    for (const auto& name : golden_job_names()) {
        const auto folder = golden_job_folder(name);
        const auto made = node::read_job(context, folder + "/job.toml");
        if (!made) BOOST_FAIL(made.error().message());
        const auto text = training::recipe_text(made->recipe);
        if (std::getenv("TEQUIO_WRITE_VECTORS") != nullptr) {
            BOOST_REQUIRE(node::write_file(folder + "/recipe.txt", base::as_bytes(text)));
            BOOST_REQUIRE(node::write_file(folder + "/data.bin", made->data.tokens));
        }
        BOOST_TEST(text == read_text(folder + "/recipe.txt"), name);
        BOOST_TEST((made->data.tokens == read_golden_job(name).data), name);
    }
}

BOOST_AUTO_TEST_CASE(a_worker_process_comes_to_the_golden_chronicle) {
    for (const auto& job : read_golden_jobs()) {
        for (const unsigned threads : {1U, 3U}) {
            BOOST_TEST(job.golden.ends_with(replay_golden_job(job, TEQUIO_PROGRAM, threads)),
                       job.name << ", threads: " << threads);
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
