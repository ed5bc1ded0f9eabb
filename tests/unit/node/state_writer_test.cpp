#include "node/io/state_writer.hpp"

#include <sys/resource.h>

#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <fstream>

#include "tests/unit/node/worker_job.hpp"
#include "training/full_state.hpp"

namespace tequio::node {
namespace {

/// A store, and the state of round 4 of a small job, every float another.
struct writing {
    std::filesystem::path folder;
    boost::asio::io_context io;
    std::shared_ptr<training::task> task = std::make_shared<training::task>();
    std::shared_ptr<state_memory> state;
    training::state_layout layout;
    held_state name{{4}, {}};
    std::unique_ptr<blob_store> blobs;
    std::optional<storage_thread> storage;

    explicit writing(std::uint64_t limit = 1 << 30) {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "tequio-test-XXXXXX").string();
        folder = ::mkdtemp(pattern.data());
        const test_job job;
        task->work = job.recipe;
        layout = training::layout_of(job.recipe.model);
        state = std::make_shared<state_memory>(job.make_state());
        const auto to = state->next();
        float next = 1;
        for (const auto array : {to.parameters, to.momentum}) {
            for (const auto& t : layout.tensors) {
                for (std::uint64_t i = 0; i < t.size; ++i) array[t.offset + i] = next++;
            }
        }
        name.digest = training::state_digest(layout, to);
        state->commit(name);
        blobs = blob_store::open(folder / "blobs", {limit, 0}).value();
        storage.emplace(io);
    }
    ~writing() {
        storage.reset();
        std::filesystem::remove_all(folder);
    }
    void reopen() {
        blobs.reset();
        blobs = blob_store::open(folder / "blobs", {1 << 30, 0}).value();
    }
    std::shared_ptr<state_writer> writer(state_writer::done then) {
        return std::make_shared<state_writer>(*storage, *blobs, task, state, std::move(then));
    }
    base::result<base::blob_ref> written() {
        io.restart();
        std::optional<base::result<base::blob_ref>> out;
        writer([&](auto ref) { out = std::move(ref); })->start();
        const auto work = boost::asio::make_work_guard(io);
        while (!out) io.run_one();
        return *out;
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(state_writer_suite)

BOOST_AUTO_TEST_CASE(a_held_state_becomes_a_blob_that_can_be_read_again) {
    writing w;
    const auto ref = w.written();
    BOOST_REQUIRE(ref.has_value());
    BOOST_TEST(ref->size == training::full_state_bytes(w.layout.parameters, 1));
    const auto file = w.blobs->map(*ref).value();
    std::vector<float> parameters(w.layout.padded_size), momentum(w.layout.padded_size);
    const auto recipe = training::recipe_id_of(w.task->work);
    BOOST_REQUIRE(
        training::read_full_state(w.layout, recipe, {4}, file.bytes(), {parameters, momentum})
            .has_value());
    BOOST_TEST((training::state_digest(w.layout, {parameters, momentum}) == w.name.digest));
    // The same again is the same blob.
    BOOST_TEST((*w.written() == *ref));
    BOOST_TEST(w.blobs->list().size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_state_that_has_changed_since_is_no_blob) {
    writing w;
    const_cast<float&>(w.state->view().momentum[0]) += 1;
    const auto ref = w.written();
    BOOST_REQUIRE(!ref.has_value());
    BOOST_TEST(ref.error().message().find("has changed") != std::string::npos);
    BOOST_TEST(w.blobs->list().empty());
}

BOOST_AUTO_TEST_CASE(without_room_there_is_none) {
    writing w(1000);
    const auto ref = w.written();
    BOOST_REQUIRE(!ref.has_value());
    BOOST_TEST(ref.error().is(base::errc::too_large));
    BOOST_TEST(w.blobs->used_bytes() == 0u);
}

BOOST_AUTO_TEST_CASE(killed_in_the_middle_of_writing_it_leaves_nothing_and_writes_again) {
    writing w;
    const auto size = training::full_state_bytes(w.layout.parameters, 1);
    const auto name = training::task_id_of(*w.task).hex() + "-state";
    const auto path = w.blobs->making(name, size).value();
    std::ofstream(path) << "tequio/state/v1\nand then the power went";
    w.reopen();
    BOOST_TEST(!std::filesystem::exists(path));
    BOOST_TEST(w.blobs->list().empty());
    BOOST_TEST(w.blobs->used_bytes() == 0u);
    BOOST_TEST(w.written().value().size == size);
    // With the blob on the disk, and its name not yet.
    w.reopen();
    BOOST_TEST(w.written().value().size == size);
    BOOST_TEST(w.blobs->list().size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_disk_that_fails_in_the_middle_is_an_error_and_the_next_state_is_written) {
    writing w;
    struct rlimit before {};
    BOOST_REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    struct rlimit small = before;
    small.rlim_cur = 5000;  // more than the header
    const auto handler = ::signal(SIGXFSZ, SIG_IGN);
    BOOST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    const auto ref = w.written();
    BOOST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    ::signal(SIGXFSZ, handler);
    BOOST_REQUIRE(!ref.has_value());
    BOOST_TEST(ref.error().message().find("-state") != std::string::npos);
    BOOST_TEST(w.blobs->used_bytes() == 0u);
    BOOST_TEST(std::filesystem::is_empty(w.folder / "blobs/making"));
    BOOST_TEST(w.written().has_value());
}

BOOST_AUTO_TEST_CASE(who_was_cancelled_says_nothing_and_the_next_is_not_disturbed) {
    writing w;
    auto writer = w.writer([](auto) { BOOST_ERROR("a cancelled writer reports"); });
    writer->start();
    writer->cancel();
    BOOST_TEST(w.written().has_value());
    BOOST_TEST(std::filesystem::is_empty(w.folder / "blobs/making"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::node
