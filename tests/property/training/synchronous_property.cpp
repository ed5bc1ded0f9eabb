#include <rapidcheck.h>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/property/training/round_cases.hpp"
#include "tests/property/training/round_twin.hpp"
#include "training/merge.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

recipe random_synchronous_recipe() {
    auto r = random_recipe();
    r.train.method = method_synchronous;
    r.train.outer = {};
    r.train.rounds = 1 << 20;
    r.train.schedule.decay = *rc::gen::element<std::string>("none", "linear");
    r.train.schedule.warmup = *rc::gen::element<std::uint64_t>(0, 3, 1 << 19);
    auto& inner = r.train.inner;
    inner.lr = *rc::gen::element(1e-15, 3e-4, 1e-3, 1.0, 1e9);
    inner.beta1 = *rc::gen::element(0.0, 0.9, 1 - 0x1p-25, 1 - 0x1p-53);
    inner.beta2 = *rc::gen::element(0.0, 0.95, 0.999, 1 - 0x1p-53);
    inner.epsilon = *rc::gen::element(1e-15, 1e-8, 1.0);
    inner.weight_decay = *rc::gen::element(0.0, 0.1, 1000.0);
    inner.clip = *rc::gen::element(0.0, 1e-15, 1.0, 1e9);
    RC_ASSERT(check_recipe(r).has_value());
    return r;
}

/// The rate of round t, as NUMERICS.md has it: warm-up, then nothing or a straight line.
double rate_at(const train_config& t, std::uint64_t round) {
    const auto& s = t.schedule;
    if (round < s.warmup) {
        return t.inner.lr * (static_cast<double>(round + 1) / static_cast<double>(s.warmup));
    }
    if (s.decay == "none") return t.inner.lr;
    const double x =
        static_cast<double>(round - s.warmup) / static_cast<double>(t.rounds - s.warmup);
    return t.inner.lr * (1.0 - (1.0 - s.final_share) * x);
}

float clip_at(const train_config& t, const state_layout& layout, const std::vector<float>& mean) {
    double squares = 0;
    for (const auto& tensor : layout.tensors) {
        squares += twin::square_sum({mean.data() + tensor.offset, tensor.size});
    }
    const double norm = std::sqrt(squares);
    if (t.inner.clip <= 0 || norm <= t.inner.clip) return 1.0F;
    return static_cast<float>(t.inner.clip / norm);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(synchronous_property)

BOOST_AUTO_TEST_CASE(the_global_step_is_the_twins) {
    BOOST_TEST(rc::check("synchronous merge is the twin's AdamW, bit for bit", [] {
        const auto r = random_synchronous_recipe();
        const auto layout = layout_of(r.model);
        const auto encoded =
            *encode_contribution(contribution_kind::mean, r, layout, random_values(r, layout), 1.0,
                                 r.train.lanes * lane_tokens(r));
        std::vector<float> mean(layout.padded_size);
        decode_contribution(contribution_kind::mean, r, encoded, mean);
        auto parameters = random_values(r, layout);
        for (float& p : parameters) p = twin::flush(p);
        std::vector<float> first(layout.padded_size), second(layout.padded_size);
        auto twin_parameters = parameters, twin_first = first, twin_second = second;
        // Two steps at any place of the job, so that moments other than 0 are met.
        const std::uint64_t begin = *rc::gen::element<std::uint64_t>(0, 1, 7, 1 << 12);
        for (std::uint64_t round = begin; round < begin + 2; ++round) {
            const auto done = apply_mean(r, layout, {round}, encoded, {parameters, first, second});
            RC_ASSERT(done.has_value());
            const auto scalars = twin::adamw_scalars_of(r.train.inner, rate_at(r.train, round),
                                                        round + 1, clip_at(r.train, layout, mean));
            for (const auto& t : layout.tensors) {
                for (auto i = t.offset; i < t.offset + t.size; ++i) {
                    twin::adamw(scalars, t.shape.size() == 2, mean[i], twin_parameters[i],
                                twin_first[i], twin_second[i]);
                }
            }
        }
        for (std::size_t i = 0; i < layout.padded_size; ++i) {
            RC_ASSERT(std::isfinite(parameters[i]));
            RC_ASSERT(std::bit_cast<std::uint32_t>(parameters[i]) ==
                      std::bit_cast<std::uint32_t>(twin_parameters[i]));
            RC_ASSERT(std::bit_cast<std::uint32_t>(first[i]) ==
                      std::bit_cast<std::uint32_t>(twin_first[i]));
            RC_ASSERT(std::bit_cast<std::uint32_t>(second[i]) ==
                      std::bit_cast<std::uint32_t>(twin_second[i]));
        }
    }));
}

BOOST_AUTO_TEST_SUITE_END()
