/// Lanes by teams whose members know one slice each: what the lead comes to is what a lane in one
/// piece comes to; and states by slices: their tensors are those of the whole.

#include <array>
#include <boost/test/unit_test.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "tests/property/training/model_steps.hpp"
#include "tests/property/training/sliced_job.hpp"
#include "tests/property/training/sliced_models.hpp"
#include "tests/support/target_guard.hpp"
#include "training/errc.hpp"
#include "training/merge.hpp"
#include "training/numerics/environment.hpp"
#include "training/slices.hpp"
#include "training/team.hpp"

namespace tequio::training {
namespace {

/// The messages of a team whose members are threads: no more of them wait than may.
class switchboard {
public:
    struct letter {
        team_tag tag;
        base::byte_vector bytes;
    };

    void put(std::uint64_t from, std::uint64_t to, letter l) {
        std::unique_lock lock(mutex_);
        auto& box = boxes_[{from, to}];
        changed_.wait(lock, [&] { return box.size() < team_messages_max; });
        box.push_back(std::move(l));
        changed_.notify_all();
    }
    letter take(std::uint64_t from, std::uint64_t to) {
        std::unique_lock lock(mutex_);
        auto& box = boxes_[{from, to}];
        changed_.wait(lock, [&] { return !box.empty(); });
        auto out = std::move(box.front());
        box.pop_front();
        changed_.notify_all();
        return out;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::deque<letter>> boxes_;
};

class thread_link final : public team_link {
public:
    thread_link(switchboard& board, std::uint64_t self) : board_(board), self_(self) {}
    base::result<void> send(std::uint64_t to, const team_tag& tag,
                            base::byte_vector bytes) override {
        base::byte_vector as_sent;
        write_tag(tag, as_sent);
        board_.put(self_, to, {read_tag(as_sent).value(), std::move(bytes)});
        return {};
    }
    base::result<team_message> receive(std::uint64_t from, const team_tag& tag,
                                       std::uint64_t size) override {
        auto l = std::make_shared<switchboard::letter>(board_.take(from, self_));
        if (l->tag != tag || l->bytes.size() != size) {
            return fail(errc::bad_message, "out of order");
        }
        return team_message{l, l->bytes};
    }
    void blame(std::uint64_t) override {}

private:
    switchboard& board_;
    std::uint64_t self_;
};

/// A state in memory of its own.
struct held {
    std::vector<float> parameters, momentum, second;
    held(const state_layout& layout, const recipe& r)
        : parameters(layout.padded_size),
          momentum(layout.padded_size),
          second(optimizer_arrays(r.train) > 1 ? layout.padded_size : 0) {}
    state_span span() { return {parameters, momentum, second}; }
};

/// One member: its engine, its state after the first lane's mean was applied, its results.
struct member_results {
    std::string text;
    std::vector<base::digest> first, next;
};

member_results work(const sliced_job& job, std::uint64_t count, std::uint64_t index,
                    std::span<thread_link> links, base::byte_view mean) {
    numerics::set_float_environment();
    serial_executor run;
    auto view = dataset_view::open(job.data, job.work).value();
    // Every other one recomputes, and each way round: nobody is told who does.
    const bool recompute = (job.work.train.seed + index) % 2 == 0;
    auto e = engine::create(job.work, view, run,
                            {.slice_count = count, .slice = index, .recompute = recompute})
                 .value();
    if (count > 1) e->join_team(links[0]);
    held state(e->layout(), job.work);
    e->initial_state(state.span());
    member_results out;
    out.first = tensor_digests(e->layout(), state.span());
    const auto lane = e->run_lane(state.span(), {1}, {1}, always).value();
    // A lane that diverges leaves messages behind, so each attempt has a board of its own.
    if (count > 1) e->join_team(links[1]);
    out.text = results_text(lane, e->validate(state.span(), always).value());
    if (!mean.empty()) {
        const auto done =
            apply_mean(job.work, e->whole_layout(), e->layout(), {0}, mean, state.span());
        if (!done) out.text = done.error().message();
    }
    out.next = tensor_digests(e->layout(), state.span());
    return out;
}

std::vector<member_results> work_together(const sliced_job& job, std::uint64_t count,
                                          base::byte_view mean) {
    switchboard lane, validation;
    std::vector<member_results> out(count);
    std::vector<std::thread> members;
    for (std::uint64_t i = 0; i < count; ++i) {
        members.emplace_back([&, i] {
            std::array<thread_link, 2> links{thread_link(lane, i), thread_link(validation, i)};
            out[i] = work(job, count, i, links, mean);
        });
    }
    for (auto& m : members) m.join();
    return out;
}

/// Both lanes' mean, as a round comes to it.
base::byte_vector mean_of(const sliced_job& job) {
    serial_executor run;
    auto view = dataset_view::open(job.data, job.work).value();
    auto e = engine::create(job.work, view, run).value();
    held state(e->layout(), job.work);
    e->initial_state(state.span());
    summation total(job.work, e->layout());
    for (std::uint64_t l = 0; l < job.work.train.lanes; ++l) {
        const auto lane = e->run_lane(state.span(), {0}, {l}, always).value();
        const auto* bytes = std::get_if<base::byte_vector>(&lane.outcome);
        if (bytes == nullptr || !total.add({l}, *bytes)) return {};
    }
    return total.finish().value().mean;
}

std::vector<std::vector<base::digest>> column(const std::vector<member_results>& of,
                                              std::vector<base::digest> member_results::*what) {
    std::vector<std::vector<base::digest>> out;
    for (const auto& m : of) out.push_back(m.*what);
    return out;
}

/// What a team of `count` comes to, beside one node alone; empty when they agree.
std::string difference(const sliced_job& job, std::uint64_t count) {
    const auto mean = mean_of(job);
    const auto whole = work(job, 1, 0, {}, mean);
    const auto layout = layout_of(job.work.model);
    const auto team = work_together(job, count, mean);
    if (team[0].text != whole.text) return whole.text + " but a team has " + team[0].text;
    const auto first = join_state_digests(job.work, column(team, &member_results::first));
    if (!first || *first != state_digest_from(layout, whole.first)) return "S(0)";
    const auto next = join_state_digests(job.work, column(team, &member_results::next));
    if (!next || *next != state_digest_from(layout, whole.next)) return "S(1)";
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto own = slice_state_digest(job.work, i, count, team[i].next);
        if (!own || *own == *next) return "the digest of a slice";
    }
    return "";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(team_lane_test)

BOOST_AUTO_TEST_CASE(teams_of_two_to_four_give_the_bits_of_the_whole_lane) {
    for (const auto& [family, tied] :
         {std::pair{"gpt2", true}, std::pair{"llama", true}, std::pair{"llama", false}}) {
        for (const char* activations : {"f32", "bf16", "mxint8"}) {
            for (const char* codec : {"mxint8", "mxfp4", "f32"}) {
                sliced_job job(fixed(family, tied, activations), 3);
                job.work.train.codec = codec;
                if (codec == std::string("f32")) job.make_synchronous();
                for (const std::uint64_t n : {2U, 3U, 4U}) {
                    BOOST_TEST_CONTEXT(family << tied << activations << codec << n) {
                        BOOST_TEST(difference(job, n) == "");
                    }
                }
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(any_model_gives_its_bits_to_any_team) {
    BOOST_TEST(holds("a team decides no bit", [&] {
        sliced_job job(config_with_cuts(), *rc::gen::inRange<std::uint64_t>(1, 1000));
        if (*rc::gen::arbitrary<bool>()) job.make_synchronous();
        const auto most = std::min<std::uint64_t>(4, slices_max(job.work));
        const auto count = *rc::gen::inRange<std::uint64_t>(2, most + 1);
        RC_ASSERT(difference(job, count) == "");
    }));
}

BOOST_AUTO_TEST_CASE(a_state_over_several_pieces_is_put_together) {
    auto config = fixed("gpt2", true, "bf16");
    config.model.width = 96;
    config.model.vocabulary = 700;
    sliced_job job(config, 4);
    BOOST_TEST(layout_of(config.model).padded_size > 5 * 65536U);
    for (const std::uint64_t n : {2U, 4U}) BOOST_TEST(difference(job, n) == "");
}

BOOST_AUTO_TEST_CASE(more_windows_than_members_are_under_way_and_come_back_in_order) {
    for (const bool tied : {true, false}) {
        auto config = fixed("llama", tied, "mxint8");
        config.micro_batch = 1;
        sliced_job job(config, 8);
        job.work.data.validation_tokens = 7 * (config.model.context + 1);
        for (const std::uint64_t n : {2U, 3U, 4U}) BOOST_TEST(difference(job, n) == "");
    }
}

BOOST_AUTO_TEST_CASE(a_team_diverges_where_one_node_does) {
    for (const double lr : {1e4, 1e9}) {
        for (const char* family : {"gpt2", "llama"}) {
            for (const char* activations : {"bf16", "mxint8"}) {
                sliced_job job(fixed(family, true, activations), 5);
                job.make_unstable(lr);
                for (const std::uint64_t n : {2U, 4U}) BOOST_TEST(difference(job, n) == "");
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(weights_to_start_from_are_divided_as_drawn_ones_are) {
    sliced_job job(fixed("llama", true, "f32"), 6);
    const auto whole = layout_of(job.work.model);
    std::vector<float> values(whole.parameters);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) * 0.25F;
    const auto bytes = float_bytes(values);
    const base::byte_vector weights(bytes.begin(), bytes.end());
    job.work.model.init = base::blob_ref_of(weights);
    serial_executor run;
    const auto state_of = [&](std::uint64_t count, std::uint64_t index) {
        auto view = dataset_view::open(job.data, job.work).value();
        auto e =
            engine::create(job.work, view, run, {.slice_count = count, .slice = index}, weights)
                .value();
        held state(e->layout(), job.work);
        e->initial_state(state.span());
        return tensor_digests(e->layout(), state.span());
    };
    const auto expected = state_digest_from(whole, state_of(1, 0));
    std::vector<std::vector<base::digest>> slices;
    for (std::uint64_t i = 0; i < 3; ++i) slices.push_back(state_of(3, i));
    BOOST_TEST((join_state_digests(job.work, slices).value() == expected));
    slices[1].pop_back();
    BOOST_TEST(join_state_digests(job.work, slices).error().is(errc::bad_message));
}

BOOST_AUTO_TEST_CASE(tags_travel_as_bytes) {
    base::byte_vector bytes;
    write_tag({7, team_word::blocks, 8192}, bytes);
    BOOST_TEST(bytes.size() == team_tag_bytes);
    BOOST_TEST((read_tag(bytes) == team_tag{7, team_word::blocks, 8192}));
    for (const std::uint8_t word : {std::uint8_t{0}, std::uint8_t{12}, std::uint8_t{255}}) {
        bytes[8] = word;
        BOOST_TEST(!read_tag(bytes));
    }
    bytes[8] = 1;
    BOOST_TEST(!read_tag(base::byte_view(bytes).first(team_tag_bytes - 1)));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
