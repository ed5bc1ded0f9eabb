// Which slices are chosen, and what each is said to take of its node against what it takes.

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/support/thread_pool.hpp"
#include "tests/unit/training/engine_fixture.hpp"
#include "tests/unit/training/memory_probe.hpp"
#include "training/errc.hpp"
#include "training/model/pipeline.hpp"
#include "training/model/sliced_lane.hpp"
#include "training/model/stage.hpp"
#include "training/slices.hpp"

namespace tequio::training {
namespace {

recipe with_cuts(std::uint64_t layers, std::vector<std::uint64_t> cuts) {
    recipe r = small_job().r;
    r.model.layers = layers;
    r.slices = {std::move(cuts), "bf16"};
    return r;
}

/// The most operations of a slice in the best division, by trying all.
std::uint64_t best_load(const recipe& r, std::size_t cut, std::uint64_t first,
                        std::uint64_t count) {
    const auto& cuts = r.slices.cuts;
    if (count == 1) return slice_token_flops(r, {first, r.model.layers});
    std::uint64_t best = UINT64_MAX;
    for (auto i = cut; i + count - 1 <= cuts.size(); ++i) {
        const auto rest = best_load(r, i + 1, cuts[i], count - 1);
        best = std::min(best, std::max(slice_token_flops(r, {first, cuts[i]}), rest));
    }
    return best;
}

stage_config stage_of(const recipe& r, std::uint64_t index, std::uint64_t count,
                      bool recompute = false) {
    const auto ranges = choose_slices(r, count);
    const trainer_config lane{r.model,  r.train.batch, r.train.micro_batch, r.train.inner, true,
                              r.slices, recompute};
    return {lane, index, count, ranges[index].first, ranges[index].end};
}

/// One step of a stage alone, fed with messages of zeros, and its part of the contribution.
void run_stage(const recipe& r, std::uint64_t index, std::uint64_t count,
               std::span<const float> start, bool recompute, executor& run) {
    const auto config = stage_of(r, index, count, recompute);
    const auto s = stage::create(config, run).value();
    const auto step_tokens = r.train.batch * r.model.context;
    std::vector<std::uint32_t> tokens(step_tokens), targets(step_tokens);
    for (std::size_t i = 0; i < step_tokens; ++i) {
        tokens[i] = static_cast<std::uint32_t>(i * 7919 % r.model.vocabulary);
    }
    s->load(layout_of(r.model), start, true);
    s->begin_step(tokens);
    std::vector<float> rows;
    if (s->shares_embedding()) {
        rows.resize(std::min<std::size_t>(step_tokens, r.model.vocabulary) * r.model.width, 0.01F);
        if (index == 0) BOOST_REQUIRE(s->take_rows(rows));
        if (index + 1 == count) rows = s->rows();
    }
    const auto at_a_time = r.train.micro_batch * r.model.context;
    const base::byte_vector zeros(
        numerics::cut_message_bytes(config.part().format(), at_a_time, r.model.width));
    base::byte_vector sent;
    for (const auto& [forward, m] :
         one_forward_one_backward(index, count, r.train.batch / r.train.micro_batch)) {
        const batch_view batch{std::span(tokens).subspan(m * at_a_time, at_a_time),
                               {},
                               std::span(targets).subspan(m * at_a_time, at_a_time),
                               r.model.context};
        sent = forward ? s->forward(batch, m, zeros).value() : s->backward(batch, m, zeros).value();
    }
    BOOST_REQUIRE(!s->update(1.0, 1, 1e-3));
    const auto part = s->encode(contribution_codec::mxint8, r.train.window);
    BOOST_REQUIRE(part.has_value());
}

void check_prediction(const recipe& r, std::uint64_t count, unsigned threads,
                      bool recompute = false) {
    const auto costs = slice_costs(r, count, threads);
    // On a busy machine one thread may do everything, and the others take nothing.
    const auto costs_of_one = slice_costs(r, count, 1);
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto said =
            recompute ? &slice_cost::recompute_memory_bytes : &slice_cost::memory_bytes;
        const auto planned = static_cast<double>(costs[i].*said);
        const auto least = static_cast<double>(costs_of_one[i].*said);
        const auto found = static_cast<double>(peak_bytes_alone([&] {
            // The state is the caller's.
            const std::vector<float> start(layout_of(r.model).padded_size, 0.01F);
            const auto before = status_bytes("VmRSS");
            tests::thread_pool pool(threads);
            run_stage(r, i, count, start, recompute, pool);
            return status_bytes("VmHWM") - before;
        }));
        BOOST_TEST(found < 1.1 * planned, "slice " << i << ": " << found << " of " << planned);
        BOOST_TEST(found > 0.9 * least, "slice " << i << ": " << found << " of " << least);
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(slices_test)

BOOST_AUTO_TEST_CASE(slices_are_balanced_as_well_as_the_cuts_allow) {
    for (const auto& cuts : {std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 7}, {1, 4, 5}, {7}}) {
        for (const char* family : {"gpt2", "llama"}) {
            for (const std::uint64_t vocabulary : {64U, 4096U}) {
                auto r = with_cuts(8, cuts);
                r.model.family = family;
                r.model.kv_heads = family == std::string("llama") ? 2 : 0;
                r.model.hidden = family == std::string("llama") ? 96 : 0;
                r.model.vocabulary = vocabulary;
                BOOST_TEST(slices_max(r) == cuts.size() + 1);
                for (std::uint64_t n = 1; n <= slices_max(r); ++n) {
                    const auto chosen = choose_slices(r, n);
                    BOOST_REQUIRE(chosen.size() == n);
                    std::uint64_t first = 0, most = 0;
                    for (const auto& slice : chosen) {
                        BOOST_TEST(slice.first == first);
                        BOOST_TEST(slice.end > slice.first);
                        most = std::max(most, slice_token_flops(r, slice));
                        first = slice.end;
                    }
                    BOOST_TEST(first == 8U);
                    BOOST_TEST(most == best_load(r, 0, 0, n));
                }
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(operations_and_parameters_of_slices_add_up_to_the_models) {
    auto r = with_cuts(6, {1, 2, 4});
    // gpt2's position table is the only parameter that nothing is multiplied by.
    const auto looked_up = 6 * r.model.context * r.model.width;
    for (std::uint64_t n = 1; n <= 4; ++n) {
        std::uint64_t flops = 0, parameters = 0;
        for (const auto& cost : slice_costs(r, n, 1)) {
            flops += cost.token_flops;
            parameters += cost.parameters;
        }
        BOOST_TEST(flops == token_flops(r.model) - looked_up);
        BOOST_TEST(parameters == parameter_count(r.model).value());
    }
    const auto costs = slice_costs(r, 2, 1);
    BOOST_TEST(costs[0].message_bytes == 2 * r.train.micro_batch * r.model.context * r.model.width);
    BOOST_TEST(costs[1].message_bytes == 0U);
}

BOOST_AUTO_TEST_CASE(square_sums_are_added_in_order_of_name_whichever_slices_they_come_from) {
    // 1 + 2^-53 is a tie that goes to 1, and so again; 2^-53 + 2^-53 first would show.
    const std::vector<std::vector<double>> parts{{0x1p-53, 0x1p-53}, {1.0}, {}};
    const std::size_t in_order[] = {1, 0, 0};
    BOOST_TEST(add_in_order(parts, in_order).total == 1.0);
    BOOST_TEST(add_in_order(parts, in_order).tensors == 3U);
    const std::size_t small_first[] = {0, 0, 1};
    BOOST_TEST(add_in_order(parts, small_first).total == 1.0 + 0x1p-52);
    const std::vector<std::vector<double>> lost{{3.0, 5.0}, {std::nan("")}};
    const std::size_t between[] = {0, 1, 0};
    BOOST_TEST(add_in_order(lost, between).tensors == 1U);
    BOOST_TEST(add_in_order(lost, between).total == 3.0);
}

BOOST_AUTO_TEST_CASE(messages_of_another_form_are_refused_and_leave_the_stage_at_work) {
    const auto r = with_cuts(2, {1});
    serial_executor run;
    const auto s = stage::create(stage_of(r, 1, 2), run).value();
    const auto size = r.train.micro_batch * r.model.context;
    const std::vector<std::uint32_t> tokens(size);
    const batch_view batch{tokens, {}, tokens, r.model.context};
    s->begin_step(tokens);
    base::byte_vector message(2 * size * r.model.width);
    BOOST_TEST(s->forward(batch, 0, message).has_value());
    message[1] = 0x80;  // -0
    const auto refused = s->forward(batch, 0, message);
    BOOST_REQUIRE(!refused);
    BOOST_TEST(refused.error().is(errc::bad_message));
    BOOST_TEST(refused.error().message() ==
               "activations of micro-batch 0 at slice 1: not 512 rows of 32 values in the form of "
               "bf16");
    message.pop_back();
    BOOST_TEST(!s->forward(batch, 0, message).has_value());
    BOOST_TEST(!s->forward(batch, 0, {}).has_value());
    const std::vector<float> rows(r.model.width + 1);
    BOOST_TEST(!s->add_row_gradients(rows).has_value());
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;  // shadow memory is counted too
#else
constexpr bool sanitized = false;
#endif

BOOST_AUTO_TEST_CASE(planned_memory_is_what_a_slice_takes,
                     *boost::unit_test::enable_if<!sanitized>()) {
    auto r = with_cuts(6, {1, 2, 3, 4, 5});
    // Mostly activations, then mostly parameters, gradients and moments.
    r.model.width = 192;
    r.model.heads = 4;
    r.train.batch = 24;
    r.train.micro_batch = 6;
    check_prediction(r, 3, 1);
    check_prediction(r, 3, 1, true);
    const auto costs = slice_costs(r, 3, 1);
    BOOST_TEST(costs[0].recompute_memory_bytes < costs[0].memory_bytes * 6 / 10);
    BOOST_TEST(costs[1].recompute_memory_bytes < costs[1].memory_bytes * 7 / 10);
    BOOST_TEST(costs[2].recompute_memory_bytes == costs[2].memory_bytes);
    r.slices.activations = "mxint8";
    check_prediction(r, 2, 2);
    r.model = {"llama", 4, 4, 384, 64, 8000, 4, 1024};
    r.slices.cuts = {2};
    r.train.batch = 2;
    r.train.micro_batch = 1;
    check_prediction(r, 2, 2);
    r.model.tied = false;
    check_prediction(r, 2, 1);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
