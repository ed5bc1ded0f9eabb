// The golden jobs as a submitter types them become the recipes and data that the results are of,
// and a worker process that computes them comes to the same chronicle.

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>

#include "node/cli/job_input.hpp"
#include "node/io/files.hpp"
#include "node/worker/job_replay.hpp"
#include "tests/conformance/golden_job.hpp"

namespace tequio::tests {
namespace {

/// A folder that goes away with the test.
struct scratch {
    std::string path = (std::filesystem::temp_directory_path() / "tequio-golden-XXXXXX").string();
    scratch() { BOOST_REQUIRE(::mkdtemp(path.data()) != nullptr); }
    ~scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
};

/// The last line of golden.txt, from a replay in a process of `program`.
std::string replayed_chronicle(const golden_job& job, const std::string& program,
                               unsigned threads) {
    const scratch folder;
    auto data = node::make_sealed_file("data", job.data);
    BOOST_REQUIRE(data.has_value());
    std::vector<node::unique_fd> blobs;
    blobs.push_back(std::move(*data));
    node::replay_options options;
    options.worker = {program, threads, 0, false};
    options.folder = folder.path + "/work";
    auto replay = node::job_replay::open(job.work, std::move(blobs), options);
    if (!replay) BOOST_FAIL(replay.error().message());
    while ((*replay)->entries().empty() || !(*replay)->entries().back().closes()) {
        const auto entry = (*replay)->next_round();
        if (!entry) BOOST_FAIL(entry.error().message());
    }
    return "chronicle " + training::chronicle_digest((*replay)->entries()).hex() + '\n';
}

}  // namespace

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
            BOOST_TEST(job.golden.ends_with(replayed_chronicle(job, TEQUIO_PROGRAM, threads)),
                       job.name << ", threads: " << threads);
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
