#include "training/contribution.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "base/blob.hpp"
#include "base/rng.hpp"
#include "tests/unit/training/round_fixture.hpp"
#include "training/errc.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

constexpr auto of_lane = contribution_kind::lane;

base::byte_vector example_contribution(const recipe& r, const state_layout& layout) {
    return *encode_contribution(of_lane, r, layout, random_values(layout, 1), 2.5, lane_tokens(r));
}

/// A recipe whose state needs three units, the last one short.
recipe large_recipe() {
    auto r = small_recipe();
    r.model = {"gpt2", 1, 2, 200, 8, 256};
    return r;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(contribution_test)

BOOST_AUTO_TEST_CASE(full_unit_is_one_piece_of_a_blob) {
    const contribution_shape one{contribution_codec::mxint8, 253952};
    BOOST_TEST(one.unit_elements() == 253952);
    BOOST_TEST(one.units() == 1);
    BOOST_TEST(one.size_bytes() == base::piece_size_bytes);
    const contribution_shape more{contribution_codec::mxint8, 253952 * 2 + 32};
    BOOST_TEST(more.units() == 3);
    BOOST_TEST(more.blocks_in(1) == 7936);
    BOOST_TEST(more.blocks_in(2) == 1);
    BOOST_TEST(more.size_bytes() == 2 * base::piece_size_bytes + 256 + 33);
}

BOOST_AUTO_TEST_CASE(layout_of_the_bytes_is_as_described) {
    const auto r = large_recipe();
    const auto layout = layout_of(r.model);
    const auto bytes = example_contribution(r, layout);
    const auto shape = shape_of(of_lane, r, layout);
    BOOST_REQUIRE(shape.units() == 3);
    BOOST_TEST(bytes.size() == shape.size_bytes());
    base::byte_reader in(base::byte_view(bytes).subspan(2 * base::piece_size_bytes));
    BOOST_TEST(base::as_text(in.raw(8)) == "TQCONTR1");
    BOOST_TEST(in.u32() == 1u);
    BOOST_TEST(in.u32() == 2u);
    BOOST_TEST(in.u32() == 3u);
    BOOST_TEST(in.u32() == shape.blocks_in(2));
    BOOST_TEST(in.f64() == 0);  // losses and counts stand in unit 0 alone
    base::byte_reader first{base::byte_view(bytes)};
    first.raw(24);
    BOOST_TEST(first.f64() == 2.5);
    BOOST_TEST(first.u64() == lane_tokens(r));
    // The digest is the tree over units: one mechanism for proofs of both.
    BOOST_TEST(base::blob_leaves(bytes).size() == shape.units());
}

BOOST_AUTO_TEST_CASE(values_come_back_within_a_128th_of_their_blocks_largest) {
    const auto r = large_recipe();
    const auto layout = layout_of(r.model);
    const auto values = random_values(layout, 3);
    const auto bytes = encode_contribution(of_lane, r, layout, values, 1, lane_tokens(r));
    BOOST_REQUIRE(bytes);
    const auto header = check_contribution(of_lane, r, layout, *bytes);
    BOOST_REQUIRE_MESSAGE(header, header.error().message());
    std::vector<float> back(layout.padded_size, 77.0F);
    decode_contribution(of_lane, r, *bytes, back);
    for (std::size_t b = 0; b < values.size(); b += block_elements) {
        float largest = 0;
        for (std::size_t i = b; i < b + 32; ++i) largest = std::max(largest, std::abs(values[i]));
        for (std::size_t i = b; i < b + 32; ++i) {
            BOOST_REQUIRE(std::abs(values[i] - back[i]) <= largest / 128);
        }
    }
}

BOOST_AUTO_TEST_CASE(saturated_and_flushed_values_are_counted) {
    const auto r = small_recipe();
    const auto layout = layout_of(r.model);
    std::vector<float> values(layout.padded_size);
    values[0] = 1e6F;   // beyond 127 * 2^-1, the window's top
    values[1] = 1e-3F;  // nothing beside it
    values[40] = 1e-20F;
    const auto bytes = *encode_contribution(of_lane, r, layout, values, 1, lane_tokens(r));
    const auto header = *check_contribution(of_lane, r, layout, bytes);
    BOOST_TEST(header.saturated == 1);
    BOOST_TEST(header.flushed == 2);
    std::vector<float> back(layout.padded_size);
    decode_contribution(of_lane, r, bytes, back);
    BOOST_TEST(back[0] == 63.5F);
}

BOOST_AUTO_TEST_CASE(values_that_are_not_finite_are_refused) {
    const auto r = small_recipe();
    const auto layout = layout_of(r.model);
    for (const float x :
         {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
          std::numeric_limits<float>::quiet_NaN()}) {
        auto values = random_values(layout, 1);
        BOOST_TEST(first_refused(contribution_codec::mxint8, values) == values.size());
        values[77] = x;
        BOOST_TEST(first_refused(contribution_codec::mxint8, values) == 77);
        BOOST_TEST(
            encode_contribution(of_lane, r, layout, values, 1, 1).error().is(errc::not_finite));
    }
    const auto values = random_values(layout, 1);
    const auto nan = std::numeric_limits<double>::quiet_NaN();
    BOOST_TEST(
        encode_contribution(of_lane, r, layout, values, nan, 1).error().is(errc::not_finite));
}

BOOST_AUTO_TEST_CASE(anything_else_than_the_one_encoding_is_refused) {
    const auto r = large_recipe();
    const auto layout = layout_of(r.model);
    const auto good = example_contribution(r, layout);
    BOOST_REQUIRE(check_contribution(of_lane, r, layout, good));
    const auto shape = shape_of(of_lane, r, layout);
    const std::size_t unit1 = base::piece_size_bytes;
    const std::size_t scales = contribution_header_bytes;
    const std::size_t codes = scales + shape.blocks_in(0);
    struct row {
        const char* what;
        std::function<void(base::byte_vector&)> edit;
    };
    const auto put = [](std::size_t at, std::uint8_t value) {
        return [=](base::byte_vector& b) { b[at] = value; };
    };
    const auto put_f64 = [](std::size_t at, double value) {
        return [=](base::byte_vector& b) { std::memcpy(b.data() + at, &value, 8); };
    };
    const row rows[] = {
        {"empty", [](auto& b) { b.clear(); }},
        {"short", [](auto& b) { b.pop_back(); }},
        {"long", [](auto& b) { b.push_back(0); }},
        {"magic", put(0, 'X')},
        {"kind mean", put(8, 2)},
        {"kind unknown", put(8, 3)},
        {"codec mxfp4", put(10, 1)},
        {"codec f32", put(10, 2)},
        {"codec unknown", put(11, 1)},
        {"unit index", put(12, 1)},
        {"units in all", put(16, 2)},
        {"blocks here", put(21, 0)},
        {"loss in a later unit", put(unit1 + 24, 1)},
        {"rest of the header", put(255, 1)},
        {"rest of a later header", put(unit1 + 60, 1)},
        {"loss nan", put_f64(24, std::numeric_limits<double>::quiet_NaN())},
        {"loss infinite", put_f64(24, std::numeric_limits<double>::infinity())},
        {"loss absurd", put_f64(24, 1e300)},
        {"tokens", put(32, 1)},
        {"saturated more than there are", put(47, 1)},
        {"flushed more than there are", put(55, 1)},
        {"scale above 39", put(scales, 40)},
        {"scale above what the codes need", put(scales, 39)},
        {"code -128", put(codes, 0x80)},
        {"order of units",
         [=](auto& b) { std::swap_ranges(b.begin(), b.begin() + unit1, b.begin() + unit1); }},
    };
    for (const auto& row : rows) {
        auto bytes = good;
        row.edit(bytes);
        if (std::string_view(row.what) == "scale above what the codes need") {
            std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(codes), 32, std::uint8_t{63});
        }
        const auto checked = check_contribution(of_lane, r, layout, bytes);
        BOOST_REQUIRE_MESSAGE(!checked, row.what);
        BOOST_TEST(checked.error().is(errc::bad_contribution), row.what);
        BOOST_TEST(!checked.error().detail().empty());
    }
    BOOST_TEST(!check_contribution(contribution_kind::mean, r, layout, good));
}

BOOST_AUTO_TEST_CASE(padding_must_be_zero) {
    const auto r = small_recipe();
    const auto layout = layout_of(r.model);
    const auto good = example_contribution(r, layout);
    const auto shape = shape_of(of_lane, r, layout);
    std::size_t padded = 0;
    for (const auto& t : layout.tensors) {
        if (t.size % block_elements == 0) continue;
        ++padded;
        auto bytes = good;
        bytes[contribution_header_bytes + shape.blocks() + t.offset + t.size] = 1;
        const auto checked = check_contribution(of_lane, r, layout, bytes);
        BOOST_REQUIRE(!checked);
        BOOST_TEST(checked.error().message().find(t.name) != std::string::npos);
    }
    BOOST_TEST(padded > 3);
}

BOOST_AUTO_TEST_CASE(divergence_has_a_digest_of_its_own) {
    const diverged d{17, "transformer.wte.weight"};
    BOOST_TEST(d.digest().hex() ==
               base::sha256("tequio/diverged/v1\nstep 17\ntensor transformer.wte.weight\n").hex());
    const diverged later{18, d.tensor};
    BOOST_TEST(d.digest().hex() != later.digest().hex());
}

BOOST_AUTO_TEST_SUITE_END()
