// Teams of real worker processes, each with one slice of the model: what the first comes to is what
// one worker with all of it comes to, whatever happens to the others on the way.

#include <fcntl.h>
#include <poll.h>

#include <boost/test/unit_test.hpp>
#include <chrono>

#include "node/worker/compute_worker.hpp"
#include "node/worker/job_runner.hpp"
#include "node/worker/team_relay.hpp"
#include "tests/unit/node/worker_job.hpp"
#include "training/slices.hpp"

using namespace tequio;
using namespace tequio::node;

namespace {

compute_worker_options team_options() {
    return {TEQUIO_WORKER_CHILD, 1, 0, false};
}

/// What became of a member's item.
struct ended {
    std::optional<worker_finished> done;
    std::string failure;
    bool exited = false;
};

/// Workers with a slice each (one: with everything), S(0) prepared.
class team {
public:
    /// memory_max_bytes: of the first; 0: no limit.
    team(const test_job& job, std::uint32_t count, std::uint64_t memory_max_bytes = 0)
        : job_(job), planned_(count), files_(job.blobs()) {
        for (std::uint32_t i = 0; i < count; ++i) {
            states_.push_back(job.make_state(i, count));
            auto how = team_options();
            if (i == 0) how.memory_bytes = memory_max_bytes;
            workers_.push_back(std::make_unique<compute_worker>(how));
            members_.push_back(workers_.back().get());
            open(i);
        }
    }

    /// Of the job that is open there.
    std::uint64_t memory_of_first() const { return memory_of_first_; }
    std::uint32_t size() const { return static_cast<std::uint32_t>(workers_.size()); }
    compute_worker& operator[](std::uint32_t i) { return *workers_[i]; }
    const state_memory& state(std::uint32_t i) const { return states_[i]; }

    /// Starts worker i (again) and opens the job; false when its state is not there.
    bool open(std::uint32_t i) {
        auto& w = *workers_[i];
        BOOST_REQUIRE(w.start());
        w.open_job(job_.text(), files_, states_[i], i, planned_);
        while (true) {
            for (auto& e : w.take_events()) {
                if (const auto* opened = std::get_if<worker_job_opened>(&e)) {
                    if (i == 0) memory_of_first_ = opened->memory_bytes;
                    return opened->has_state;
                }
                if (const auto* no = std::get_if<worker_job_refused>(&e)) BOOST_FAIL(no->reason);
                if (const auto* end = std::get_if<worker_exited>(&e)) BOOST_FAIL(end->reason);
            }
            BOOST_REQUIRE(w.wait(patience_ms));
        }
    }

    void begin(compute_item item, const open_input& inputs = {}) {
        forget();
        const bool together =
            item.kind == compute_kind::lane || item.kind == compute_kind::validation;
        item.team = together && planned_ > 1;
        for (auto* w : members_) w->begin(item, inputs);
    }

    /// Looks at what happened once, passing messages on; `watch` sees all of it.
    void look(const std::function<void(std::uint32_t, const worker_event&)>& watch = {}) {
        std::vector<pollfd> waiting;
        for (auto* w : members_) waiting.push_back({w->native_handle(), POLLIN, 0});
        BOOST_REQUIRE(::poll(waiting.data(), waiting.size(), patience_ms) > 0);
        for (std::uint32_t i = 0; i < size(); ++i) {
            for (auto& e : members_[i]->take_events()) {
                if (watch) watch(i, e);
                if (relay(members_, i, e)) continue;
                if (auto* done = std::get_if<worker_finished>(&e)) {
                    results_[i].done = std::move(*done);
                } else if (auto* failed = std::get_if<worker_item_failed>(&e)) {
                    results_[i].failure = failed->reason;
                } else if (std::holds_alternative<worker_exited>(e)) {
                    results_[i].exited = true;
                }
            }
        }
    }
    bool over() const {
        return std::all_of(results_.begin(), results_.end(),
                           [](const ended& r) { return r.done || !r.failure.empty() || r.exited; });
    }
    std::vector<ended>& finish() {
        while (!over()) look();
        return results_;
    }
    std::vector<ended>& compute(const compute_item& item, const open_input& inputs = {}) {
        begin(item, inputs);
        finish();
        for (const auto& r : results_) BOOST_REQUIRE_MESSAGE(r.done, r.failure);
        return results_;
    }
    std::vector<ended>& results() { return results_; }
    void forget() {
        results_.clear();
        results_.resize(size());
    }

private:
    const test_job& job_;
    std::uint32_t planned_;
    std::uint64_t memory_of_first_ = 0;
    std::vector<unique_fd> files_;
    std::vector<state_memory> states_;
    std::vector<std::unique_ptr<compute_worker>> workers_;
    std::vector<compute_worker*> members_;
    std::vector<ended> results_;
};

compute_item item_of(compute_kind kind, std::uint64_t round = 0, std::uint64_t lane = 0) {
    compute_item out;
    out.kind = kind;
    out.round = {round};
    out.lane = {lane};
    return out;
}

/// Everything that a lane decides.
std::string text_of(const compute_outcome& o) {
    return o.blob.text() + " " + o.trace.hex() + " " + std::to_string(o.loss) + " " +
           (o.divergence ? std::to_string(o.divergence->step) + o.divergence->tensor : "") + " " +
           std::to_string(o.saturated) + " " + std::to_string(o.flushed) + " " +
           std::to_string(o.at_top);
}

/// What a whole round comes to, by a team or (count 1) by one worker: digests of S(0) and S(1),
/// both lanes, the mean and both validations.
std::vector<std::string> a_round_of(const test_job& job, std::uint32_t count) {
    std::vector<std::string> out;
    team t(job, count);
    const auto state = [&](const std::vector<ended>& results) {
        if (count == 1) return out.push_back(results[0].done->outcome.state_after.hex());
        std::vector<std::vector<base::digest>> slices;
        for (std::uint32_t i = 0; i < count; ++i) {
            const auto& o = results[i].done->outcome;
            const auto own = training::slice_state_digest(job.recipe, i, count, o.tensors);
            BOOST_TEST((own.value() == o.state_after));
            BOOST_TEST((t.state(i).held()->digest == o.state_after));
            slices.push_back(o.tensors);
        }
        out.push_back(training::join_state_digests(job.recipe, slices).value().hex());
    };
    const auto first_alone = [&](const std::vector<ended>& results) {
        for (std::uint32_t i = 1; i < count; ++i) {
            const auto& o = results[i].done->outcome;
            BOOST_TEST(o.blob.size == 0U);
            BOOST_TEST(o.loss == 0);
            BOOST_TEST(!o.divergence.has_value());
        }
        out.push_back(text_of(results[0].done->outcome));
    };
    state(t.compute(item_of(compute_kind::prepare)));
    std::vector<worker_finished> lanes;
    for (std::uint64_t lane = 0; lane < 2; ++lane) {
        auto& results = t.compute(item_of(compute_kind::lane, 0, lane));
        first_alone(results);
        lanes.push_back(std::move(*results[0].done));
    }
    first_alone(t.compute(item_of(compute_kind::validation)));
    const auto file_of = [](const worker_finished& made) {
        return worker_input_file{made.outcome.blob,
                                 unique_fd(::fcntl(made.file.get(), F_DUPFD_CLOEXEC, 0))};
    };
    // Every member sums, whatever slice it has: sums are of the whole.
    auto sum = item_of(compute_kind::sum);
    sum.inputs = 2;
    auto& summed = t.compute(sum, [&](std::uint32_t i) { return file_of(lanes[i]); });
    for (const auto& r : summed) BOOST_TEST((r.done->outcome.blob == summed[0].done->outcome.blob));
    out.push_back(text_of(summed[0].done->outcome));
    const auto mean = std::move(*summed[0].done);
    auto apply = item_of(compute_kind::apply);
    apply.inputs = 1;
    state(t.compute(apply, [&](std::uint32_t) { return file_of(mean); }));
    first_alone(t.compute(item_of(compute_kind::validation, 1)));
    return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE(teams_of_workers_compute_the_rounds_of_one_worker) {
    for (const char* family : {"gpt2", "llama"}) {
        for (const char* activations : {"f32", "bf16", "mxint8"}) {
            auto job = test_job::divisible(family, activations);
            const auto alone = a_round_of(job, 1);
            for (const std::uint32_t count : {2U, 3U, 4U}) {
                BOOST_TEST_CONTEXT(family << " " << activations << " in " << count) {
                    const auto together = a_round_of(job, count);
                    BOOST_TEST(together == alone, boost::test_tools::per_element());
                }
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_member_short_of_memory_recomputes_and_comes_to_the_same) {
    const auto job = test_job::divisible("llama", "bf16");
    runner_options first;
    first.slice_count = 2;
    const auto usual = job_memory_bytes(job.recipe, 1, 2, first);
    BOOST_TEST(!fitted(job.recipe, 1, 2, first, usual).recompute);
    BOOST_TEST(!fitted(job.recipe, 1, 2, first, 0).recompute);
    const auto short_of = fitted(job.recipe, 1, 2, first, usual - 1);
    BOOST_REQUIRE(short_of.recompute);
    const auto least = job_memory_bytes(job.recipe, 1, 2, short_of);
    BOOST_TEST(least < usual);
    // A model in one piece has one micro-batch in flight: there is nothing to be had.
    BOOST_TEST(!fitted(job.recipe, 1, 2, {}, 1).recompute);

    team alone(job, 1), together(job, 2, least);
    BOOST_TEST(together.memory_of_first() == least);
    for (auto* t : {&alone, &together}) t->compute(item_of(compute_kind::prepare));
    const auto& whole = alone.compute(item_of(compute_kind::lane));
    const auto& divided = together.compute(item_of(compute_kind::lane));
    BOOST_TEST(text_of(divided[0].done->outcome) == text_of(whole[0].done->outcome));
}

BOOST_AUTO_TEST_CASE(long_letters_travel_as_files) {
    auto job = test_job::divisible("gpt2", "f32");
    job.recipe.model.context = 128;
    job.recipe.model.width = 64;
    job.recipe.train.micro_batch = 4;
    job.recipe.data = test_job(2, 2).data.config;
    BOOST_REQUIRE(training::check_recipe(job.recipe).has_value());
    std::size_t files = 0;
    team t(job, 2);
    t.compute(item_of(compute_kind::prepare));
    t.begin(item_of(compute_kind::lane));
    while (!t.over()) {
        t.look([&](std::uint32_t, const worker_event& e) {
            const auto* said = std::get_if<worker_team_said>(&e);
            if (said != nullptr && said->letter->file() >= 0) ++files;
        });
    }
    BOOST_TEST(files >= 8U);  // both ways, in four steps
    team alone(job, 1);
    alone.compute(item_of(compute_kind::prepare));
    const auto expected = text_of(alone.compute(item_of(compute_kind::lane))[0].done->outcome);
    BOOST_REQUIRE(t.results()[0].done);
    BOOST_TEST(text_of(t.results()[0].done->outcome) == expected);
}

BOOST_AUTO_TEST_CASE(what_is_not_due_is_dropped_and_its_sender_blamed) {
    const auto job = test_job::divisible("gpt2", "bf16");
    team alone(job, 1);
    alone.compute(item_of(compute_kind::prepare));
    const auto expected = text_of(alone.compute(item_of(compute_kind::lane))[0].done->outcome);
    team t(job, 2);
    t.compute(item_of(compute_kind::prepare));
    t.begin(item_of(compute_kind::lane));
    // Before every message of the second member, one that the first does not wait for.
    std::size_t forged = 0, blamed = 0;
    while (!t.over()) {
        t.look([&](std::uint32_t member, const worker_event& e) {
            if (const auto* blames = std::get_if<worker_team_blames>(&e)) {
                BOOST_TEST(member == 0U);
                BOOST_TEST(blames->member == 1U);
                ++blamed;
            }
            const auto* said = std::get_if<worker_team_said>(&e);
            if (member != 1 || said == nullptr || forged >= 3) return;
            auto tag = said->letter->tag();
            auto bytes = said->letter->bytes();
            if (forged == 0) ++tag.step;
            if (forged == 1) ++tag.part;
            if (forged == 2) bytes = bytes.first(bytes.size() - 1);
            ++forged;
            t[0].hand_in(1, *team_letter::make(tag, bytes).value());
        });
    }
    BOOST_TEST(forged == 3U);
    BOOST_TEST(blamed == 3U);
    BOOST_REQUIRE(t.results()[0].done);
    BOOST_TEST(text_of(t.results()[0].done->outcome) == expected);
}

BOOST_AUTO_TEST_CASE(what_no_slice_can_have_computed_ends_the_lane_by_its_senders_name) {
    const auto job = test_job::divisible("gpt2", "bf16");
    team t(job, 2);
    t.compute(item_of(compute_kind::prepare));
    t.begin(item_of(compute_kind::lane));
    bool sent = false, blamed = false;
    while (t.results()[0].failure.empty()) {
        t.look([&](std::uint32_t member, const worker_event& e) {
            blamed = blamed || std::holds_alternative<worker_team_blames>(e);
            const auto* said = std::get_if<worker_team_said>(&e);
            const bool gradients =
                said != nullptr && said->letter->tag().word == training::team_word::gradients;
            if (member != 1 || !gradients || sent) return;
            sent = true;
            const base::byte_vector infinite(said->letter->bytes().size(), 0xff);
            t[0].hand_in(1, *team_letter::make(said->letter->tag(), infinite).value());
        });
    }
    BOOST_TEST(blamed);
    BOOST_TEST(t.results()[0].failure.find("slice 1 sent what no slice can have computed") !=
               std::string::npos);
    t[1].stop_item();
    t.finish();
    // Both go on with the next lane.
    t.compute(item_of(compute_kind::lane));
}

BOOST_AUTO_TEST_CASE(a_member_that_waits_stops_when_it_is_told_to_parked_or_not) {
    const auto job = test_job::divisible("llama", "f32");
    team t(job, 2);
    t.compute(item_of(compute_kind::prepare));
    for (const bool parked : {false, true}) {
        auto item = item_of(compute_kind::lane);
        item.team = true;
        t[0].begin(item);  // alone: it waits for the other
        bool waits = false;
        const auto until = [&](auto&& said) {
            while (true) {
                for (auto& e : t[0].take_events()) {
                    if (const auto* w = std::get_if<worker_team_waits>(&e)) {
                        BOOST_TEST(w->member == 1U);
                        waits = true;
                    }
                    if (said(e)) return;
                }
                BOOST_REQUIRE(t[0].wait(patience_ms));
            }
        };
        until([&](const worker_event&) { return waits; });
        if (parked) t[0].allow_threads(0);
        t[0].stop_item();
        until([&](const worker_event& e) {
            const auto* failed = std::get_if<worker_item_failed>(&e);
            return failed != nullptr && failed->stopped;
        });
        t[0].allow_threads(1);
    }
    t.compute(item_of(compute_kind::lane));
}

BOOST_AUTO_TEST_CASE(members_that_are_frozen_or_killed_change_no_bit) {
    const auto job = test_job::divisible("gpt2", "mxint8");
    team alone(job, 1);
    alone.compute(item_of(compute_kind::prepare));
    const auto expected = text_of(alone.compute(item_of(compute_kind::lane))[0].done->outcome);
    team t(job, 3);
    t.compute(item_of(compute_kind::prepare));
    for (std::uint32_t victim = 0; victim < 3; ++victim) {
        // Frozen in the middle, while the others run dry; then thawed.
        t.begin(item_of(compute_kind::lane));
        std::size_t letters = 0;
        while (!t.over()) {
            t.look([&](std::uint32_t, const worker_event& e) {
                if (!std::holds_alternative<worker_team_said>(e)) return;
                if (++letters == 7) t[victim].freeze();
                if (letters == 9) t[victim].thaw();
            });
            if (letters >= 7 && letters < 9) t[victim].thaw();
        }
        BOOST_REQUIRE(t.results()[0].done);
        BOOST_TEST(text_of(t.results()[0].done->outcome) == expected);
        // Killed: this lane is lost, the state is not.
        t.begin(item_of(compute_kind::lane));
        letters = 0;
        while (!t.results()[victim].exited) {
            t.look([&](std::uint32_t, const worker_event& e) {
                if (std::holds_alternative<worker_team_said>(e) && ++letters == 5) t[victim].kill();
            });
        }
        for (std::uint32_t i = 0; i < 3; ++i) t[i].stop_item();
        t.finish();
        BOOST_TEST(!t.results()[0].done.has_value());
        BOOST_TEST(t.open(victim));
        const auto& again = t.compute(item_of(compute_kind::lane));
        BOOST_TEST(text_of(again[0].done->outcome) == expected);
    }
}

BOOST_AUTO_TEST_CASE(a_slice_takes_no_lane_alone_and_a_whole_model_none_in_a_team) {
    const auto job = test_job::divisible("gpt2", "bf16");
    for (const std::uint32_t count : {1U, 2U}) {
        team t(job, count);
        t.compute(item_of(compute_kind::prepare));
        auto item = item_of(compute_kind::lane);
        item.team = count == 1;
        t.forget();
        t[0].begin(item);
        while (t.results()[0].failure.empty()) t.look();
        BOOST_TEST(t.results()[0].failure.find("team") != std::string::npos);
    }
}
