// The worker as its daemon sees it: started, fed, stopped, killed.

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>

#include "node/worker/compute_worker.hpp"
#include "node/worker/landlock.hpp"
#include "node/worker/sandbox.hpp"
#include "tests/unit/node/worker_job.hpp"
#include "training/full_state.hpp"

using namespace tequio;
using namespace tequio::node;

namespace {

compute_worker_options options(unsigned threads = 1) {
    return {TEQUIO_WORKER_CHILD, threads, 0, false};
}

/// The next event of type Event; other events before it are dropped.
template <class Event>
Event wait_for(compute_worker& worker) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
    while (std::chrono::steady_clock::now() < deadline) {
        for (auto& event : worker.take_events()) {
            if (auto* wanted = std::get_if<Event>(&event)) return std::move(*wanted);
            if (const auto* end = std::get_if<worker_exited>(&event)) {
                BOOST_FAIL("the worker ended: " + end->reason);
            }
            if (const auto* failed = std::get_if<worker_item_failed>(&event)) {
                BOOST_FAIL("an item failed: " + failed->reason);
            }
        }
        worker.wait(patience_ms);
    }
    BOOST_FAIL("nothing came of it in time");
    return {};
}

/// A worker with an open job and S(0) prepared.
struct open_worker {
    test_job job;
    state_memory state = job.make_state();
    std::vector<unique_fd> blobs = job.blobs();
    compute_worker worker;
    worker_ready ready;

    explicit open_worker(compute_worker_options o = options(), test_job j = test_job())
        : job(std::move(j)), worker(std::move(o)) {
        open();
    }
    void open() {
        BOOST_REQUIRE(worker.start());
        ready = wait_for<worker_ready>(worker);
        worker.open_job(job.text(), blobs, state);
        wait_for<worker_job_opened>(worker);
    }
    worker_finished compute(compute_item item, open_input inputs = {}) {
        worker.begin(item, std::move(inputs));
        return wait_for<worker_finished>(worker);
    }
    /// Why an item fails, which the worker survives.
    std::string refusal(const compute_item& item, open_input inputs) {
        worker.begin(item, std::move(inputs));
        while (true) {
            worker.wait(patience_ms);
            for (auto& event : worker.take_events()) {
                if (auto* failed = std::get_if<worker_item_failed>(&event)) return failed->reason;
                BOOST_REQUIRE(!std::holds_alternative<worker_exited>(event));
                BOOST_REQUIRE(!std::holds_alternative<worker_finished>(event));
            }
        }
    }
    compute_item item(compute_kind kind) const {
        compute_item out;
        out.kind = kind;
        if (const auto held = state.held()) out.round = held->round;
        return out;
    }
    std::vector<worker_finished> every_lane() {
        std::vector<worker_finished> out;
        for (std::uint64_t lane = 0; lane < job.recipe.train.lanes; ++lane) {
            auto wanted = item(compute_kind::lane);
            wanted.lane = {lane};
            out.push_back(compute(wanted));
        }
        return out;
    }
};

/// What earlier items came to, from `first` on, as inputs of another one.
open_input inputs_of(const std::vector<worker_finished>& done, std::size_t first = 0) {
    return [&done, first](std::uint32_t i) -> base::result<worker_input_file> {
        const auto& from = done[first + i];
        return worker_input_file{from.outcome.blob,
                                 unique_fd(::fcntl(from.file.get(), F_DUPFD_CLOEXEC, 0))};
    };
}

/// Three lanes whose mean has three units.
test_job several_units() {
    test_job job(3);
    job.recipe.model = {"gpt2", 1, 2, 200, 8, 256};
    job.recipe.train.inner_steps = 2;
    job.recipe.train.codec = job.recipe.train.codec_down = "mxint8";
    const std::string text(4000, 'x');
    const training::source_file file{"text", base::as_bytes(text)};
    job.data = *training::tokenise_bytes({&file, 1}, 0.1, job.recipe.model.context);
    job.recipe.data = job.data.config;
    BOOST_REQUIRE(training::check_recipe(job.recipe).has_value());
    return job;
}

std::set<std::string> names_in(const std::string& folder) {
    std::set<std::string> out;
    for (const auto& item : std::filesystem::directory_iterator(folder)) {
        out.insert(item.path().filename().string());
    }
    return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE(worker_starts_in_its_sandbox_and_inherits_nothing) {
    compute_worker worker({TEQUIO_WORKER_CHILD, 3, 0, true});
    BOOST_REQUIRE(worker.start());
    const auto ready = wait_for<worker_ready>(worker);
    BOOST_TEST(ready.threads == 3u);
    const auto with_landlock = landlock_abi() == 0
                                   ? std::string("seccomp, no landlock in this kernel")
                                   : "seccomp + landlock " + std::to_string(landlock_abi());
    BOOST_TEST(ready.sandbox ==
               (sandbox_is_relaxed() ? "seccomp (relaxed: sanitizer build)" : with_landlock));
    BOOST_TEST_MESSAGE("cpu protection: " << ready.cpu_protection << ", simd: " << ready.simd);
    const auto place = "/proc/" + std::to_string(worker.process());
    if (!sandbox_is_relaxed()) {
        BOOST_TEST((names_in(place + "/fd") == std::set<std::string>{"0", "1", "2", "3"}));
    }
    std::ifstream environment(place + "/environ");
    const std::string text((std::istreambuf_iterator<char>(environment)), {});
    BOOST_TEST(text.find("HOME=") == std::string::npos);
    for (const auto& thread : names_in(place + "/task")) {
        BOOST_TEST(::sched_getscheduler(std::stoi(thread)) == SCHED_IDLE);
    }
    BOOST_TEST(::getsid(worker.process()) == worker.process());
}

BOOST_AUTO_TEST_CASE(items_are_computed_and_results_are_sealed) {
    open_worker w;
    const auto prepared = w.compute({});
    BOOST_REQUIRE(w.state.held().has_value());
    BOOST_TEST((w.state.held()->digest == prepared.outcome.state_after));
    const auto lane = w.compute(w.item(compute_kind::lane));
    BOOST_TEST(lane.outcome.loss > 0);
    BOOST_TEST((base::blob_ref_of(lane.blob.bytes()) == lane.outcome.blob));
    BOOST_TEST(check_sealed_file(lane.file.get(), lane.outcome.blob.size).has_value());
    const auto validation = w.compute(w.item(compute_kind::validation));
    BOOST_TEST(validation.outcome.loss > 0);
}

BOOST_AUTO_TEST_CASE(reference_kernels_give_the_same_contribution) {
    open_worker w;
    w.compute({});
    auto item = w.item(compute_kind::lane);
    const auto fast = w.compute(item);
    item.engine = compute_engine::reference;
    const auto reference = w.compute(item);
    BOOST_TEST((fast.outcome.blob == reference.outcome.blob));
    BOOST_TEST((fast.outcome.trace == reference.outcome.trace));
    BOOST_TEST(fast.outcome.loss == reference.outcome.loss);
}

BOOST_AUTO_TEST_CASE(parts_join_to_what_a_sum_in_one_piece_gives) {
    open_worker w;
    w.compute({});
    const auto lanes = w.every_lane();
    auto item = w.item(compute_kind::sum);
    item.inputs = static_cast<std::uint32_t>(lanes.size());
    const auto whole = w.compute(item, inputs_of(lanes));
    item.kind = compute_kind::sum_shard;
    item.units = 1;
    std::vector<worker_finished> parts;
    parts.push_back(w.compute(item, inputs_of(lanes)));
    BOOST_TEST((parts[0].outcome.blob != whole.outcome.blob));
    auto join = w.item(compute_kind::join);
    join.inputs = 1;
    const auto joined = w.compute(join, inputs_of(parts));
    BOOST_TEST((joined.outcome.blob == whole.outcome.blob));
    BOOST_TEST((joined.outcome.sum == whole.outcome.sum));
    BOOST_TEST(joined.outcome.loss == whole.outcome.loss);
    BOOST_TEST(joined.outcome.flushed == whole.outcome.flushed);
    // A shard that the mean has not, and a part that is none, fail the item alone.
    const auto failing = [&](const compute_item& wanted) {
        return w.refusal(wanted, inputs_of(lanes));
    };
    item.first_unit = 1;
    BOOST_TEST(failing(item).find("beyond the mean's 1 units") != std::string::npos);
    item.first_unit = 0;
    item.units = UINT64_MAX;
    BOOST_TEST(failing(item).find("beyond the mean's") != std::string::npos);
    BOOST_TEST(failing(join).find("part 0 is none") != std::string::npos);
}

namespace {

/// What the two groups of a crew publish: of the first two lanes and of the third, over runs of
/// units that are cut elsewhere in each.
struct published_sums {
    std::vector<training::partial_sums> which{
        {{0, 2}, {0, 2}}, {{2, 1}, {0, 2}}, {{0, 1}, {2, 1}}, {{1, 2}, {2, 1}}};
    std::vector<worker_finished> made;

    static compute_item item_of(const open_worker& w, const training::partial_sums& which) {
        auto item = w.item(compute_kind::sum_lanes);
        item.sums = {which};
        item.inputs = static_cast<std::uint32_t>(which.lanes.count);
        return item;
    }
    published_sums(open_worker& w, const std::vector<worker_finished>& lanes) {
        for (const auto& x : which) {
            made.push_back(w.compute(item_of(w, x), inputs_of(lanes, x.lanes.first)));
        }
    }
    /// The part of one unit out of those that hold it.
    std::pair<compute_item, std::vector<std::size_t>> part(const open_worker& w,
                                                           std::uint64_t unit) const {
        auto item = w.item(compute_kind::add_sums);
        item.first_unit = unit;
        item.units = 1;
        std::vector<std::size_t> from;
        for (std::size_t i = 0; i < which.size(); ++i) {
            if (unit < which[i].units.first || unit >= which[i].units.end()) continue;
            item.sums.push_back(which[i]);
            from.push_back(i);
        }
        item.inputs = static_cast<std::uint32_t>(from.size());
        return {item, from};
    }
    open_input inputs(const std::vector<std::size_t>& from) const {
        return [this, from](std::uint32_t i) { return inputs_of(made, from[i])(0); };
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(sums_of_groups_add_up_to_the_parts_of_one_owner) {
    open_worker w(options(), several_units());
    w.compute({});
    const auto lanes = w.every_lane();
    auto shard = w.item(compute_kind::sum_shard);
    shard.inputs = 3;
    shard.units = 1;
    const published_sums sums(w, lanes);
    std::vector<worker_finished> parts;
    for (std::uint64_t unit = 0; unit < 3; ++unit) {
        const auto [item, from] = sums.part(w, unit);
        BOOST_TEST(from.size() == 2U);
        parts.push_back(w.compute(item, sums.inputs(from)));
        shard.first_unit = unit;
        BOOST_TEST((parts.back().outcome.blob == w.compute(shard, inputs_of(lanes)).outcome.blob));
    }
    auto whole = w.item(compute_kind::sum);
    whole.inputs = 3;
    auto join = w.item(compute_kind::join);
    join.inputs = 3;
    BOOST_TEST((w.compute(join, inputs_of(parts)).outcome.blob ==
                w.compute(whole, inputs_of(lanes)).outcome.blob));
}

BOOST_AUTO_TEST_CASE(sums_that_are_none_fail_the_item_and_not_the_worker) {
    open_worker w(options(), several_units());
    w.compute({});
    const auto lanes = w.every_lane();
    const published_sums sums(w, lanes);
    const auto refused = [&](const compute_item& item, const open_input& inputs,
                             const std::string& why) {
        const auto reason = w.refusal(item, inputs);
        BOOST_TEST(reason.find(why) != std::string::npos, reason);
    };
    auto [item, from] = sums.part(w, 0);
    // Of other lanes than they are named for; a lane twice; one that is missing; of other units.
    refused(item, sums.inputs({from[1], from[0]}), "of lanes 0 to 1 have");
    item.sums = {sums.which[0], sums.which[0]};
    refused(item, sums.inputs({0, 0}), "lane 0");
    item.sums = {sums.which[0]};
    item.inputs = 1;
    refused(item, sums.inputs({0}), "lane 2 is missing");
    item.sums = {sums.which[1]};
    refused(item, sums.inputs({1}), "are not of this shard");
    item.first_unit = 3;
    refused(item, sums.inputs({1}), "beyond the mean's 3 units");
    refused(published_sums::item_of(w, {{2, 2}, {0, 1}}), inputs_of(lanes),
            "beyond the mean's 3 units");
    refused(published_sums::item_of(w, {{0, 1}, {2, 2}}), inputs_of(lanes, 1),
            "beyond the recipe's 3 lanes");
    refused(
        published_sums::item_of(w, {{0, 1}, {0, 1}}),
        [](std::uint32_t) -> base::result<worker_input_file> {
            return base::fail(base::errc::io_failure, "gone");
        },
        "input 0 is not in the blob store");
}

BOOST_AUTO_TEST_CASE(a_worker_killed_among_its_sums_makes_the_same_ones_again) {
    open_worker w(options(), several_units());
    w.compute({});
    const auto lanes = w.every_lane();
    const published_sums sums(w, lanes);
    const auto ends = [&](auto&& matches) {
        while (true) {
            w.worker.wait(patience_ms);
            for (auto& event : w.worker.take_events()) {
                if (matches(event)) return;
                BOOST_REQUIRE(!std::holds_alternative<worker_finished>(event));
            }
        }
    };
    const auto [item, from] = sums.part(w, 1);
    for (const bool adds : {false, true}) {
        const auto wanted = adds ? item : published_sums::item_of(w, sums.which[0]);
        const auto inputs = adds ? sums.inputs(from) : inputs_of(lanes);
        const auto whole = w.compute(wanted, inputs).outcome.blob;
        // Between its first input and its second.
        w.worker.begin(wanted, [&](std::uint32_t i) {
            if (i == 1) w.worker.kill();
            return inputs(i);
        });
        ends([](const worker_event& e) { return std::holds_alternative<worker_exited>(e); });
        w.open();
        BOOST_TEST((w.compute(wanted, inputs).outcome.blob == whole));
        w.worker.begin(wanted, [&](std::uint32_t i) {
            if (i == 1) w.worker.stop_item();
            return inputs(i);
        });
        ends([](const worker_event& e) {
            const auto* failed = std::get_if<worker_item_failed>(&e);
            return failed != nullptr && failed->stopped;
        });
        BOOST_TEST((w.compute(wanted, inputs).outcome.blob == whole));
    }
}

BOOST_AUTO_TEST_CASE(a_stored_state_is_loaded_and_named_by_what_is_in_it) {
    open_worker w;
    const auto prepared = w.compute({});
    const auto layout = training::layout_of(w.job.recipe.model);
    const auto recipe = training::recipe_id_of(w.job.recipe);
    const auto stored = [&](std::uint64_t round) {
        auto bytes = training::full_state_header(recipe, {round}, 2 * layout.parameters);
        for (const auto& t : training::full_state_tensors(layout, w.state.view())) {
            const auto floats = training::float_bytes(t);
            bytes.insert(bytes.end(), floats.begin(), floats.end());
        }
        return bytes;
    };
    const auto load = [&](const base::byte_vector& bytes, std::uint64_t round) {
        auto item = w.item(compute_kind::load);
        item.round = {round};
        item.inputs = 1;
        const auto files = test_job::files_of({bytes});
        return w.compute(item, [&](std::uint32_t) -> base::result<worker_input_file> {
            return worker_input_file{base::blob_ref_of(bytes),
                                     unique_fd(::fcntl(files[0].get(), F_DUPFD_CLOEXEC, 0))};
        });
    };
    const auto good = stored(2);
    const auto loaded = load(good, 2);
    BOOST_TEST((loaded.outcome.state_after == prepared.outcome.state_after));
    BOOST_TEST(loaded.outcome.blob.size == 0u);
    BOOST_REQUIRE(w.state.held().has_value());
    BOOST_TEST(w.state.held()->round.value == 2u);
    w.compute(w.item(compute_kind::lane));
    // Not of that round: nothing is held that was not before.
    const auto held = w.state.held();
    BOOST_TEST(load(good, 1).outcome.state_after.is_zero());
    BOOST_TEST((w.state.held() == held));
    // Another float is another state.
    auto forged = good;
    forged.back() ^= 1;
    const auto other = load(forged, 2).outcome.state_after;
    BOOST_TEST((!other.is_zero() && other != prepared.outcome.state_after));
    w.compute({});
    BOOST_TEST((w.state.held()->digest == prepared.outcome.state_after));
}

BOOST_AUTO_TEST_CASE(wrong_missing_and_damaged_inputs_fail_the_item_and_not_the_worker) {
    open_worker w;
    w.compute({});
    const auto lane = w.compute(w.item(compute_kind::lane));
    auto item = w.item(compute_kind::sum);
    item.inputs = static_cast<std::uint32_t>(w.job.recipe.train.lanes);
    const auto held = w.state.held();
    const auto fails_with = [&](const open_input& inputs) { return w.refusal(item, inputs); };
    const auto copy = [&] { return unique_fd(::fcntl(lane.file.get(), F_DUPFD_CLOEXEC, 0)); };
    using opened = base::result<worker_input_file>;
    const auto missing = fails_with(
        [](std::uint32_t) -> opened { return base::fail(base::errc::io_failure, "gone"); });
    BOOST_TEST(missing.find("input 0 is not in the blob store") != std::string::npos);
    auto other = lane.outcome.blob;
    other.root.bytes[0] ^= 1;
    const auto wrong = fails_with([&](std::uint32_t) -> opened {
        return worker_input_file{other, copy()};
    });
    BOOST_TEST(wrong.find("is not the blob") != std::string::npos);
    auto longer = lane.outcome.blob;
    longer.size += 1;
    fails_with([&](std::uint32_t) -> opened { return worker_input_file{longer, copy()}; });
    item.inputs = 1;
    fails_with({[&](std::uint32_t) -> opened {
        return worker_input_file{lane.outcome.blob, copy()};
    }});
    item = w.item(compute_kind::apply);
    item.inputs = 1;
    const auto not_a_mean = fails_with([&](std::uint32_t) -> opened {
        return worker_input_file{lane.outcome.blob, copy()};
    });
    BOOST_TEST(!not_a_mean.empty());
    item = w.item(compute_kind::lane);
    item.round = {1};
    BOOST_TEST(fails_with({}).find("round 1") != std::string::npos);
    item.round = {0};
    item.lane = {w.job.recipe.train.lanes};
    fails_with({});
    BOOST_TEST((w.state.held() == held));
    w.compute(w.item(compute_kind::lane));
}

BOOST_AUTO_TEST_CASE(a_mean_is_applied_again_when_that_is_asked_and_leads_to_the_same_state) {
    open_worker w;
    w.compute({});
    std::vector<worker_finished> lanes;
    for (std::uint64_t lane = 0; lane < w.job.recipe.train.lanes; ++lane) {
        auto item = w.item(compute_kind::lane);
        item.lane = {lane};
        lanes.push_back(w.compute(item));
    }
    const auto input_of = [](const worker_finished& made) {
        return worker_input_file{made.outcome.blob,
                                 unique_fd(::fcntl(made.file.get(), F_DUPFD_CLOEXEC, 0))};
    };
    auto item = w.item(compute_kind::sum);
    item.inputs = static_cast<std::uint32_t>(lanes.size());
    const auto mean = w.compute(item, [&](std::uint32_t i) { return input_of(lanes[i]); });
    item = w.item(compute_kind::apply);
    item.inputs = 1;
    const auto first = w.compute(item, [&](std::uint32_t) { return input_of(mean); });
    for (int time = 0; time < 3; ++time) {
        const auto again = w.compute(item, [&](std::uint32_t) { return input_of(mean); });
        BOOST_TEST((again.outcome.state_after == first.outcome.state_after));
        BOOST_TEST((w.state.held()->digest == first.outcome.state_after));
        BOOST_TEST(w.state.held()->round.value == 1u);
    }
    // Lanes of either round run on.
    auto lane = w.item(compute_kind::lane);
    lane.round = {0};
    BOOST_TEST((w.compute(lane).outcome.blob == lanes[0].outcome.blob));
}

BOOST_AUTO_TEST_CASE(job_that_cannot_be_opened_is_refused_with_a_reason) {
    const auto refusal = [](compute_worker_options o, std::string text,
                            std::span<const unique_fd> blobs, const state_memory& state) {
        compute_worker worker(std::move(o));
        BOOST_REQUIRE(worker.start());
        worker.open_job(std::move(text), blobs, state);
        return wait_for<worker_job_refused>(worker).reason;
    };
    test_job job;
    const auto state = job.make_state();
    const auto blobs = job.blobs();
    auto small = options();
    small.memory_bytes = 100'000;
    BOOST_TEST(refusal(small, job.text(), blobs, state).find("of memory") != std::string::npos);
    BOOST_TEST(!refusal(options(), "tequio/recipe/v1\n", blobs, state).empty());
    const auto shorter = test_job::files_of({base::byte_vector(100, 'x')});
    BOOST_TEST(!refusal(options(), job.text(), shorter, state).empty());
    const auto more = test_job::files_of({job.data.tokens, job.data.tokens});
    BOOST_TEST(refusal(options(), job.text(), more, state).find("2 blobs") != std::string::npos);
    auto bytes = job.data.tokens;
    bytes[17] ^= 1;
    const auto other = test_job::files_of({bytes});
    BOOST_TEST(refusal(options(), job.text(), other, state).find("not the recipe's") !=
               std::string::npos);
    test_job bigger;
    bigger.recipe.train.seed = 99;
    BOOST_TEST(!refusal(options(), bigger.text(), blobs, state).empty());
}

BOOST_AUTO_TEST_CASE(weights_to_start_from_become_the_workers_first_state) {
    test_job job;
    const auto layout = training::layout_of(job.recipe.model);
    std::vector<float> values(layout.padded_size);
    base::byte_vector weights;
    for (const auto& t : layout.tensors) {
        const auto part = std::span(values).subspan(t.offset, t.size);
        for (std::size_t i = 0; i < part.size(); ++i) part[i] = 0.001F * static_cast<float>(i % 97);
        const auto bytes = training::float_bytes(part);
        weights.insert(weights.end(), bytes.begin(), bytes.end());
    }
    job.recipe.model.init = base::blob_ref_of(weights);
    const std::vector<float> momentum(layout.padded_size);
    const auto expected = training::state_digest(layout, {values, momentum});
    const auto prepared = [&](std::span<const unique_fd> blobs) {
        const auto state = job.make_state();
        compute_worker worker(options());
        BOOST_REQUIRE(worker.start());
        worker.open_job(job.text(), blobs, state);
        wait_for<worker_job_opened>(worker);
        worker.begin({});
        return wait_for<worker_finished>(worker).outcome.state_after;
    };
    BOOST_TEST((prepared(test_job::files_of({job.data.tokens, weights})) == expected));
    const auto refused = [&](std::span<const unique_fd> blobs) {
        const auto state = job.make_state();
        compute_worker worker(options());
        BOOST_REQUIRE(worker.start());
        worker.open_job(job.text(), blobs, state);
        return wait_for<worker_job_refused>(worker).reason;
    };
    BOOST_TEST(refused(job.blobs()).find("1 blobs") != std::string::npos);
    auto other = weights;
    other[100] ^= 1;
    BOOST_TEST(refused(test_job::files_of({job.data.tokens, other})).find("start from") !=
               std::string::npos);
}

BOOST_AUTO_TEST_CASE(damaged_state_is_not_taken_up) {
    test_job job;
    auto state = job.make_state();
    const auto blobs = job.blobs();
    {
        open_worker w;
        w.compute({});
        std::copy(w.state.view().parameters.begin(), w.state.view().parameters.end(),
                  state.next().parameters.begin());
        state.commit(*w.state.held());
    }
    const auto opened_holding = [&] {
        compute_worker worker(options());
        BOOST_REQUIRE(worker.start());
        worker.open_job(job.text(), blobs, state);
        return wait_for<worker_job_opened>(worker).has_state;
    };
    BOOST_TEST(opened_holding());
    const_cast<float&>(state.view().parameters[3]) += 1;
    BOOST_TEST(!opened_holding());
}

BOOST_AUTO_TEST_CASE(stopped_item_ends_and_the_next_one_runs) {
    open_worker w;
    w.compute({});
    const auto first = w.compute(w.item(compute_kind::lane));
    // Parked, so that the stop is there before the lane is done.
    w.worker.allow_threads(0);
    w.worker.begin(w.item(compute_kind::lane));
    w.worker.stop_item();
    w.worker.allow_threads(1);
    bool ended = false;
    while (!ended) {
        w.worker.wait(patience_ms);
        for (auto& event : w.worker.take_events()) {
            if (const auto* failed = std::get_if<worker_item_failed>(&event)) {
                BOOST_TEST(failed->stopped);
                ended = true;
            }
            BOOST_REQUIRE(!std::holds_alternative<worker_finished>(event));
        }
    }
    BOOST_TEST(!w.worker.busy());
    BOOST_TEST((w.compute(w.item(compute_kind::lane)).outcome.blob == first.outcome.blob));
}

BOOST_AUTO_TEST_CASE(long_lane_reports_progress_and_can_be_stopped_in_the_middle) {
    test_job job;
    job.recipe.train.inner_steps = 1'000'000;  // hours: it ends because it is stopped
    auto state = job.make_state();
    const auto blobs = job.blobs();
    compute_worker worker(options(2));
    BOOST_REQUIRE(worker.start());
    worker.open_job(job.text(), blobs, state);
    wait_for<worker_job_opened>(worker);
    worker.begin({});
    wait_for<worker_finished>(worker);
    compute_item lane;
    lane.kind = compute_kind::lane;
    const auto start = std::chrono::steady_clock::now();
    worker.begin(lane);
    const auto first = wait_for<worker_progress>(worker);
    const auto second = wait_for<worker_progress>(worker);
    const auto spent = std::chrono::steady_clock::now() - start;
    BOOST_TEST(first.steps > 0u);
    BOOST_TEST(second.steps > first.steps);
    BOOST_TEST(first.tokens == first.steps * job.recipe.train.batch * job.recipe.model.context);
    BOOST_TEST((spent >= std::chrono::milliseconds(390)));  // five a second, no more
    worker.stop_item();
    while (worker.busy()) {
        worker.wait(patience_ms);
        for (auto& event : worker.take_events()) {
            const auto* failed = std::get_if<worker_item_failed>(&event);
            BOOST_TEST((failed != nullptr ? failed->stopped
                                          : std::holds_alternative<worker_progress>(event)));
        }
    }
}

BOOST_AUTO_TEST_CASE(parked_worker_goes_on_when_its_threads_come_back) {
    open_worker w(options(2));
    w.compute({});
    const auto first = w.compute(w.item(compute_kind::lane));
    w.worker.allow_threads(0);
    w.worker.begin(w.item(compute_kind::lane));
    w.worker.allow_threads(1);
    BOOST_TEST((wait_for<worker_finished>(w.worker).outcome.blob == first.outcome.blob));
    w.worker.freeze();
    w.worker.begin(w.item(compute_kind::lane));
    w.worker.thaw();
    BOOST_TEST((wait_for<worker_finished>(w.worker).outcome.blob == first.outcome.blob));
}

BOOST_AUTO_TEST_CASE(parked_worker_hears_stop_and_the_next_item_is_right) {
    open_worker w(options(2));
    w.compute({});
    const auto right = w.compute(w.item(compute_kind::lane)).outcome.blob;
    for (const auto kind : {compute_kind::lane, compute_kind::validation}) {
        w.worker.allow_threads(0);
        w.worker.begin(w.item(kind));
        BOOST_TEST(!w.worker.wait(100));
        BOOST_TEST(w.worker.busy());
        w.worker.stop_item();
        // Its threads stay parked; within a second it is over all the same.
        const auto asked = std::chrono::steady_clock::now();
        bool stopped = false;
        while (w.worker.busy()) {
            BOOST_REQUIRE(w.worker.wait(patience_ms));
            for (auto& event : w.worker.take_events()) {
                const auto* failed = std::get_if<worker_item_failed>(&event);
                stopped = failed != nullptr && failed->stopped;
            }
        }
        BOOST_TEST(stopped);
        BOOST_TEST((std::chrono::steady_clock::now() - asked < std::chrono::seconds(1)));
        w.worker.allow_threads(2);
        BOOST_TEST((w.compute(w.item(compute_kind::lane)).outcome.blob == right));
    }
}

BOOST_AUTO_TEST_CASE(stop_while_parked_in_the_middle_leaves_no_false_state) {
    open_worker w(options(2));
    w.compute({});
    const auto held = w.state.held();
    w.worker.allow_threads(0);
    w.worker.begin(w.item(compute_kind::prepare));  // would write S(0) once more
    w.worker.stop_item();
    while (w.worker.busy()) {
        BOOST_REQUIRE(w.worker.wait(patience_ms));
        for (auto& event : w.worker.take_events()) {
            BOOST_TEST(std::holds_alternative<worker_item_failed>(event));
        }
    }
    BOOST_TEST((w.state.held() == held));
    w.worker.allow_threads(2);
    BOOST_TEST((w.compute(w.item(compute_kind::prepare)).outcome.state_after == held->digest));
}

BOOST_AUTO_TEST_CASE(memory_is_handed_back_in_the_middle_of_a_lane_and_bits_stay) {
    open_worker w(options(2));
    w.compute({});
    const auto right = w.compute(w.item(compute_kind::lane)).outcome.blob;
    w.worker.allow_threads(0);
    w.worker.begin(w.item(compute_kind::lane));
    w.worker.hand_back_memory();
    w.worker.allow_threads(2);
    w.worker.allow_threads(0);
    w.worker.hand_back_memory();
    w.worker.allow_threads(2);
    BOOST_TEST((wait_for<worker_finished>(w.worker).outcome.blob == right));
    w.worker.hand_back_memory();  // with nothing in hand
    BOOST_TEST((w.compute(w.item(compute_kind::lane)).outcome.blob == right));
}

BOOST_AUTO_TEST_CASE(gate_set_before_the_start_counts) {
    compute_worker worker(options(2));
    worker.allow_threads(0);
    test_job job;
    auto state = job.make_state();
    const auto blobs = job.blobs();
    BOOST_REQUIRE(worker.start());
    worker.open_job(job.text(), blobs, state);
    wait_for<worker_job_opened>(worker);
    worker.begin({});
    BOOST_TEST(!worker.wait(200));
    worker.allow_threads(1);
    wait_for<worker_finished>(worker);
}

BOOST_AUTO_TEST_CASE(death_is_reported_and_leaves_no_zombie) {
    open_worker w;
    w.compute({});
    const auto held = w.state.held();
    const int process = w.worker.process();
    w.worker.begin(w.item(compute_kind::lane));
    w.worker.kill();
    bool ended = false;
    while (!ended) {
        w.worker.wait(patience_ms);
        for (auto& event : w.worker.take_events()) {
            if (const auto* end = std::get_if<worker_exited>(&event)) {
                BOOST_TEST(end->killed);
                BOOST_TEST(end->code == SIGKILL);
                ended = true;
            }
        }
    }
    BOOST_TEST(!w.worker.running());
    BOOST_TEST(::kill(process, 0) == -1);
    BOOST_REQUIRE(w.worker.start());
    w.worker.open_job(w.job.text(), w.blobs, w.state);
    const auto opened = wait_for<worker_job_opened>(w.worker);
    BOOST_TEST(opened.has_state);
    BOOST_TEST((opened.state == held->digest));
    w.compute(w.item(compute_kind::lane));
}

BOOST_AUTO_TEST_CASE(what_is_sent_to_a_dead_worker_goes_nowhere) {
    open_worker w;
    w.worker.kill();
    while (w.worker.running()) {
        w.worker.wait(patience_ms);
        w.worker.take_events();
    }
    w.worker.open_job(w.job.text(), w.blobs, w.state);
    w.worker.begin({});
    w.worker.stop_item();
    BOOST_TEST(!w.worker.busy());
    BOOST_TEST(w.worker.take_events().empty());
    BOOST_REQUIRE(w.worker.start());
    wait_for<worker_ready>(w.worker);
}

BOOST_AUTO_TEST_CASE(worker_ends_with_its_starter) {
    int ends[2];
    BOOST_REQUIRE_EQUAL(::pipe(ends), 0);
    const auto starter = ::fork();
    if (starter == 0) {
        compute_worker worker(options());
        const bool started = worker.start() && worker.wait(patience_ms);
        const int process = started ? worker.process() : 0;
        if (::write(ends[1], &process, sizeof process) != sizeof process) ::_exit(1);
        ::pause();
        ::_exit(0);
    }
    int process = 0;
    BOOST_REQUIRE_EQUAL(::read(ends[0], &process, sizeof process),
                        static_cast<ssize_t>(sizeof process));
    BOOST_REQUIRE_GT(process, 0);
    const unique_fd watched(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
    BOOST_REQUIRE(static_cast<bool>(watched));
    ::kill(starter, SIGKILL);
    pollfd waiting{watched.get(), POLLIN, 0};
    BOOST_TEST(::poll(&waiting, 1, patience_ms) == 1);
    ::waitpid(starter, nullptr, 0);
    ::close(ends[0]);
    ::close(ends[1]);
}

BOOST_AUTO_TEST_CASE(program_that_is_no_worker_is_an_exit_and_not_a_hang) {
    compute_worker worker({"/bin/true", 1, 0, false});
    BOOST_REQUIRE(worker.start());
    while (worker.running()) {
        worker.wait(patience_ms);
        for (auto& event : worker.take_events()) {
            BOOST_TEST(std::holds_alternative<worker_exited>(event));
        }
    }
    compute_worker absent({"/no/such/program", 1, 0, false});
    BOOST_TEST(!absent.start());
}
