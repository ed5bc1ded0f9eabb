#include "tests/conformance/golden_replay.hpp"

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>

#include "node/worker/job_replay.hpp"

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

}  // namespace

std::string replay_golden_job(const golden_job& job, const std::string& program, unsigned threads) {
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

}  // namespace tequio::tests
