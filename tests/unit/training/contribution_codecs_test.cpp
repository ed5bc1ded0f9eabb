// Containers of mxfp4 and f32, mixed codecs up and down, and runs of units by themselves.
// (contribution_test.cpp and merge_test.cpp have mxint8; the property tests have all.)

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <functional>

#include "base/blob.hpp"
#include "base/rng.hpp"
#include "tests/unit/training/round_fixture.hpp"
#include "training/contribution.hpp"
#include "training/errc.hpp"
#include "training/merge.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

constexpr auto lane = contribution_kind::lane;
constexpr auto mean = contribution_kind::mean;
constexpr const char* codecs[] = {"f32", "mxint8", "mxfp4"};

/// 535,800 parameters: three units of mxint8, two of mxfp4, nine of f32, the last ones short.
recipe three_units(const std::string& up, const std::string& down) {
    auto r = small_recipe();
    r.model = {"gpt2", 1, 2, 200, 8, 256};
    r.train.codec = up;
    r.train.codec_down = down;
    return r;
}

base::byte_vector encoded(const recipe& r, const state_layout& layout, std::uint64_t seed) {
    return *encode_contribution(lane, r, layout, random_values(layout, seed), 2.5, lane_tokens(r));
}

struct edit {
    const char* what;
    std::function<void(base::byte_vector&)> make;
};

void require_refused(const recipe& r, const state_layout& layout, const base::byte_vector& good,
                     const std::vector<edit>& edits) {
    BOOST_REQUIRE(check_contribution(lane, r, layout, good));
    for (const auto& e : edits) {
        auto bytes = good;
        e.make(bytes);
        const auto checked = check_contribution(lane, r, layout, bytes);
        BOOST_REQUIRE_MESSAGE(!checked, e.what);
        BOOST_TEST(checked.error().is(errc::bad_contribution), e.what);
    }
}

auto put(std::size_t at, std::uint8_t value) {
    return [=](base::byte_vector& b) { b[at] = value; };
}
auto put_float(std::size_t at, float value) {
    return [=](base::byte_vector& b) { std::memcpy(b.data() + at, &value, 4); };
}

}  // namespace

BOOST_AUTO_TEST_SUITE(contribution_codecs)

BOOST_AUTO_TEST_CASE(every_unit_but_the_last_is_one_piece_of_a_blob) {
    struct row {
        contribution_codec codec;
        std::uint64_t blocks, block_bytes;
    };
    for (const auto& [codec, blocks, block_bytes] :
         {row{contribution_codec::mxint8, 7936, 33}, row{contribution_codec::mxfp4, 15360, 17},
          row{contribution_codec::f32, 2046, 128}}) {
        const contribution_shape full{codec, blocks * 32};
        BOOST_TEST(full.units() == 1U);
        BOOST_TEST(full.size_bytes() == 256 + blocks * block_bytes);
        const contribution_shape more{codec, 2 * blocks * 32 + 96};
        BOOST_TEST(more.units() == 3U);
        BOOST_TEST(more.bytes_in(0) == base::piece_size_bytes);
        BOOST_TEST(more.bytes_in(1) == base::piece_size_bytes);
        BOOST_TEST(more.bytes_in(2) == 256 + 3 * block_bytes);
        BOOST_TEST(more.size_bytes() == 2 * base::piece_size_bytes + 256 + 3 * block_bytes);
        BOOST_TEST(more.elements_in(2) == 96U);
        BOOST_TEST((more.elements_of({1, 2}) == contribution_run{blocks * 32, blocks * 32 + 96}));
        BOOST_TEST((more.units_over({0, more.elements}) == contribution_run{0, 3}));
        BOOST_TEST((more.units_over({32, 32}) == contribution_run{0, 1}));
        BOOST_TEST((more.units_over({blocks * 32 - 32, 64}) == contribution_run{0, 2}));
        BOOST_TEST((more.units_over({blocks * 32, 32}) == contribution_run{1, 1}));
    }
}

BOOST_AUTO_TEST_CASE(anything_else_than_the_one_encoding_is_refused_in_mxfp4) {
    const auto r = three_units("mxfp4", "mxint8");
    const auto layout = layout_of(r.model);
    const auto shape = shape_of(lane, r, layout);
    BOOST_REQUIRE(shape.units() == 2U);
    const std::size_t codes = 256 + 15360;
    require_refused(r, layout, encoded(r, layout, 1),
                    {{"codec mxint8", put(10, 0)},
                     {"codec f32", put(10, 2)},
                     {"codec unknown", put(11, 1)},
                     {"scale above 39", put(256, 40)},
                     {"code -0", put(codes, 0x08)},
                     {"code -0, upper half", put(codes, 0x80)},
                     {"first byte of the filling", put(262144 - 768, 1)},
                     {"last byte of the filling", put(262143, 1)},
                     {"filling in the last unit", [](auto& b) { b.push_back(0); }},
                     {"cut", [](auto& b) { b.pop_back(); }},
                     {"codes too small for their scale",
                      [=](auto& b) { std::fill_n(b.begin() + codes, 16, std::uint8_t{0x55}); }},
                     {"facts in a later unit", put(262144 + 24, 1)}});
}

BOOST_AUTO_TEST_CASE(anything_else_than_the_one_encoding_is_refused_in_f32) {
    const auto r = three_units("f32", "mxint8");
    const auto layout = layout_of(r.model);
    BOOST_REQUIRE(shape_of(lane, r, layout).units() == 9U);
    const auto infinity = std::numeric_limits<float>::infinity();
    require_refused(r, layout, encoded(r, layout, 1),
                    {{"codec mxfp4", put(10, 1)},
                     {"-0", put_float(256, -0.0F)},
                     {"infinite", put_float(262144 + 256, infinity)},
                     {"not a number", put_float(300, std::nanf(""))},
                     {"too large", put_float(256, 0x1p23F)},
                     {"too large, negative", put_float(256, -0x1p23F)},
                     {"off the grid", put_float(256, 0x1.8p-80F)},
                     {"subnormal", put_float(256, 0x1p-130F)},
                     {"saturated", put(40, 1)}});
}

BOOST_AUTO_TEST_CASE(padding_must_be_zero_in_every_codec) {
    for (const auto* codec : codecs) {
        auto r = small_recipe();
        r.train.codec = codec;
        const auto layout = layout_of(r.model);
        const auto good = encoded(r, layout, 1);
        const auto blocks = layout.padded_size / 32;
        std::size_t padded = 0;
        for (const auto& t : layout.tensors) {
            if (t.size % 32 == 0) continue;
            ++padded;
            auto bytes = good;
            for (const auto i : {t.offset + t.size, (t.offset + t.size) / 32 * 32 + 31}) {
                bytes = good;
                if (r.train.codec == "f32") {
                    put_float(256 + 4 * i, 1.0F)(bytes);
                } else if (r.train.codec == "mxint8") {
                    bytes[256 + blocks + i] = 1;
                } else {
                    bytes[256 + blocks + i / 32 * 16 + i % 16] |= i % 32 < 16 ? 1 : 0x10;
                }
                const auto checked = check_contribution(lane, r, layout, bytes);
                BOOST_REQUIRE(!checked);
                BOOST_TEST(checked.error().message().find(t.name) != std::string::npos);
            }
        }
        BOOST_TEST(padded > 3U);
    }
}

BOOST_AUTO_TEST_CASE(f32_refuses_what_its_sums_cannot_hold) {
    auto r = small_recipe();
    r.train.codec = "f32";
    const auto layout = layout_of(r.model);
    auto values = random_values(layout, 1);
    values[77] = 0x1.fffffep22F;
    BOOST_TEST(first_refused(contribution_codec::f32, values) == values.size());
    BOOST_TEST(encode_contribution(lane, r, layout, values, 1, 1).has_value());
    values[77] = -0x1p23F;
    BOOST_TEST(first_refused(contribution_codec::f32, values) == 77U);
    BOOST_TEST(first_refused(contribution_codec::mxint8, values) == values.size());
    const auto refused = encode_contribution(lane, r, layout, values, 1, 1);
    BOOST_TEST(refused.error().is(errc::not_finite));
    BOOST_TEST(refused.error().message().find("value 77 ") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(runs_of_units_make_up_the_whole) {
    for (const auto* codec : codecs) {
        const auto r = three_units(codec, "mxint8");
        const auto layout = layout_of(r.model);
        const auto values = random_values(layout, 2);
        const auto whole = *encode_contribution(lane, r, layout, values, 2.5, lane_tokens(r));
        const auto shape = shape_of(lane, r, layout);
        base::byte_vector joined;
        contribution_header facts{2.5, lane_tokens(r)};
        for (std::uint64_t first = 0; first < shape.units(); first += 2) {
            const contribution_run units{first, std::min<std::uint64_t>(2, shape.units() - first)};
            const auto elements = shape.elements_of(units);
            base::byte_vector part(shape.bytes_of(units), 0xee);
            const auto counts =
                encode_units(lane, r, layout, units,
                             std::span(values).subspan(elements.first, elements.count), part);
            BOOST_REQUIRE(counts.has_value());
            facts.saturated += counts->saturated;
            facts.flushed += counts->flushed;
            joined.insert(joined.end(), part.begin(), part.end());
        }
        write_facts(facts, joined);
        BOOST_TEST((joined == whole), codec);
        BOOST_TEST((header_of(joined) == facts));
        for (std::uint64_t u = 0; u < shape.units(); ++u) {
            const auto unit = base::byte_view(whole).subspan(u * 262144, shape.bytes_in(u));
            BOOST_TEST(check_contribution_unit(lane, r, layout, u, unit).has_value());
            BOOST_TEST(!check_contribution_unit(lane, r, layout, u + 1, unit));
            BOOST_TEST(!check_contribution_unit(mean, r, layout, u, unit));
            BOOST_TEST(!check_contribution_unit(lane, r, layout, u, unit.first(100)));
        }
    }
}

BOOST_AUTO_TEST_CASE(sums_of_shards_give_the_mean_of_the_whole) {
    for (const auto* up : codecs) {
        for (const auto* down : codecs) {
            const auto r = three_units(up, down);
            const auto layout = layout_of(r.model);
            const auto lanes_shape = shape_of(lane, r, layout);
            const auto mean_shape = shape_of(mean, r, layout);
            summation all(r, layout);
            std::vector<base::byte_vector> lanes;
            for (std::uint64_t l = 0; l < r.train.lanes; ++l) {
                lanes.push_back(encoded(r, layout, l));
                BOOST_REQUIRE(all.add({l}, lanes.back()));
            }
            const auto whole = *all.finish();
            // One shard a unit of the mean, lanes added in another order.
            base::byte_vector sums, joined;
            contribution_header facts{whole.loss, r.train.lanes * lane_tokens(r)};
            for (std::uint64_t u = 0; u < mean_shape.units(); ++u) {
                const auto run = mean_shape.elements_of({u, 1});
                const auto needed = lanes_shape.units_over(run);
                element_sums shard(lanes_shape.codec, run);
                for (auto l = lanes.size(); l-- > 0;) {
                    for (auto i = needed.first; i < needed.end(); ++i) {
                        const auto unit =
                            base::byte_view(lanes[l]).subspan(i * 262144, lanes_shape.bytes_in(i));
                        shard.add_unit(lanes_shape, i, unit);
                    }
                }
                sums.insert(sums.end(), shard.bytes().begin(), shard.bytes().end());
                std::vector<float> values(run.count);
                shard.mean(r.train.lanes, r.train.window, values);
                base::byte_vector part(mean_shape.bytes_in(u));
                const auto counts = encode_units(mean, r, layout, {u, 1}, values, part);
                BOOST_REQUIRE(counts.has_value());
                facts.saturated += counts->saturated;
                facts.flushed += counts->flushed;
                joined.insert(joined.end(), part.begin(), part.end());
            }
            write_facts(facts, joined);
            BOOST_TEST((joined == whole.mean), up << " up, " << down << " down");
            BOOST_TEST(base::blob_ref_of(sums).root.hex() == whole.sum.hex());
        }
    }
}

BOOST_AUTO_TEST_CASE(sums_of_f32_are_128_bits_of_the_grid) {
    auto r = small_recipe(2);
    r.train.codec = "f32";
    r.train.codec_down = "f32";
    const auto layout = layout_of(r.model);
    std::vector<float> values(layout.padded_size);
    values[0] = 0x1p-80F;
    values[1] = -0x1p22F;
    const auto bytes = *encode_contribution(lane, r, layout, values, 1, lane_tokens(r));
    summation sum(r, layout);
    BOOST_REQUIRE(sum.add({0}, bytes));
    BOOST_REQUIRE(sum.add({1}, bytes));
    BOOST_TEST(sum.sums().narrow().empty());
    const auto wide = sum.sums().bytes();
    BOOST_TEST(wide.size() == 16 * layout.padded_size);
    BOOST_TEST(int{wide[0]} == 2);
    // -2^103: zeros up to bit 103, ones above.
    for (std::size_t i = 16; i < 28; ++i) BOOST_TEST(int{wide[i]} == 0);
    BOOST_TEST(int{wide[28]} == 0x80);
    for (std::size_t i = 29; i < 32; ++i) BOOST_TEST(int{wide[i]} == 0xff);
    std::vector<float> back(layout.padded_size);
    decode_contribution(mean, r, sum.finish()->mean, back);
    BOOST_TEST((back == values));
}

BOOST_AUTO_TEST_CASE(people_are_told_when_the_window_does_not_fit) {
    auto r = small_recipe();
    const auto parameters = *parameter_count(r.model);
    const auto told = [&](const char* codec, double saturated, double at_top, double flushed) {
        r.train.codec = codec;
        contribution_tally tally;
        for (int i = 0; i < 2; ++i) {
            const auto count = [&](double share) {
                return static_cast<std::uint64_t>(share * static_cast<double>(parameters));
            };
            tally.add({count(saturated), count(flushed), count(at_top)});
        }
        return strain_of(lane, r, tally);
    };
    BOOST_TEST(told("mxint8", 0.001, 0.5, 0.5) == "");
    BOOST_TEST(told("mxint8", 0.0125, 0.5, 0.2) ==
               "lanes: 1.2 % of the values were too large for mxint8 with window -40 and were cut; "
               "a higher window keeps them");
    // Inside the window block codes saturate by design.
    BOOST_TEST(told("mxfp4", 0.1, 0, 0.3) == "");
    BOOST_TEST(told("mxfp4", 0.1, 0.01, 0.3).find("too large for mxfp4") != std::string::npos);
    BOOST_TEST(told("mxint8", 0, 0, 0.6002) ==
               "lanes: 60.0 % of the values were rounded to 0 by mxint8 with window -40; a lower "
               "window may keep them");
    BOOST_TEST(told("f32", 0, 0, 0.6002) == "lanes: 60.0 % of the values were rounded to 0 by f32");
    BOOST_TEST(strain_of(lane, r, {}) == "");
    BOOST_TEST(strain_of(mean, r, {1, {parameters, 0, parameters}}).starts_with("means: 100.0 %"));
}

BOOST_AUTO_TEST_CASE(counts_know_blocks_at_the_top_of_the_window) {
    for (const auto* codec : codecs) {
        auto r = small_recipe();
        r.train.codec = codec;
        const auto layout = layout_of(r.model);
        std::vector<float> values(layout.padded_size);
        values[0] = 1e6F;
        values[1] = 1e-3F;
        values[70] = 1.0F;
        const auto bytes = *encode_contribution(lane, r, layout, values, 1, lane_tokens(r));
        const auto counts = counts_of(shape_of(lane, r, layout), bytes);
        const bool blocks = r.train.codec != "f32";
        BOOST_TEST(counts.saturated == (blocks ? 1U : 0U));
        BOOST_TEST(counts.flushed == (blocks ? 1U : 0U));
        BOOST_TEST(counts.at_top == (blocks ? 32U : 0U));
    }
}

BOOST_AUTO_TEST_SUITE_END()
