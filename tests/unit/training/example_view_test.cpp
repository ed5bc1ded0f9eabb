// The data of an mlp: labels and values as every node reads them.

#include <bit>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/unit/training/examples_fixture.hpp"
#include "training/errc.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// A recipe on these parts, with `classes` classes.
recipe recipe_on(const example_parts& parts, std::uint64_t classes, std::uint64_t validation = 0) {
    auto r = small_examples().r;
    r.model.inputs = parts.shifts.size();
    r.model.vocabulary = classes;
    r.data = {base::blob_ref_of(parts.blob()), parts.value_bytes, parts.labels.size(), validation};
    return r;
}

/// The values of example 0, read by the view.
std::vector<float> first_values(const example_parts& parts) {
    const auto blob = parts.blob();
    const auto view = dataset_view::open(blob, recipe_on(parts, 2));
    BOOST_REQUIRE_MESSAGE(view, view.error().message());
    std::vector<float> values(parts.shifts.size());
    BOOST_TEST(view->read_example(0, values) == parts.labels[0]);
    return values;
}

std::string refusal(const example_parts& parts, std::uint64_t classes = 2) {
    const auto blob = parts.blob();
    const auto view = dataset_view::open(blob, recipe_on(parts, classes));
    BOOST_REQUIRE(!view);
    BOOST_TEST(view.error().is(errc::bad_data));
    return view.error().message();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(example_view_test)

BOOST_AUTO_TEST_CASE(bytes_are_shifted_and_scaled) {
    const example_parts parts{1, {0, 128, 255}, {1, 0.5F, 0x1p-8F}, {1, 0}, {7, 255, 0, 1, 2, 3}};
    BOOST_TEST(first_values(parts) == (std::vector<float>{7, 63.5F, -255 * 0x1p-8F}));
}

BOOST_AUTO_TEST_CASE(what_is_smaller_than_an_operand_may_be_counts_as_zero) {
    const float tiny = 0x1p-127F;
    const float normal = 0x1p-126F;
    const float least = 0x1p-48F;
    struct row {
        float value, shift, factor, seen;
    };
    const row rows[] = {
        {least, 0, 1, least},                // the smallest that counts
        {tiny, 0, 0x1p100F, 0},              // a value
        {1, tiny, 1, 1},                     // a shift
        {1, 0, tiny, 0},                     // a factor
        {normal, 0, 0x1p78F, least},         // a value of a small unit counts
        {0x1.8p-126F, normal, 0x1p100F, 0},  // a difference
        {0x1p-70F, 0, 0x1p-70F, 0},          // a product far below,
        {0x1p-24F, 0, 0x1p-24F, least},      // at the border,
        // and one that is below it until it is rounded.
        {0x1.fffffcp-1F, 0, 0x1.000002p-48F, 0},
        {-0.0F, 0, 1, 0},
        {3, 3, -1, 0},
        {5, 7, 0.1F, -2 * 0.1F},
    };
    example_parts parts{4, {}, {}, {0}, {}};
    for (const auto& r : rows) {
        parts.values.push_back(r.value);
        parts.shifts.push_back(r.shift);
        parts.factors.push_back(r.factor);
    }
    const auto seen = first_values(parts);
    for (std::size_t j = 0; j < seen.size(); ++j) {
        BOOST_TEST(
            std::bit_cast<std::uint32_t>(seen[j]) == std::bit_cast<std::uint32_t>(rows[j].seen),
            "row " << j << ": " << seen[j]);
    }
}

BOOST_AUTO_TEST_CASE(labels_are_below_the_number_of_classes) {
    const example_parts parts{1, {0}, {1}, {2, 0, 3}, {1, 2, 3}};
    BOOST_TEST(refusal(parts, 3) == "data: the label of example 2 is 3, the model has 3 classes");
    const auto blob = parts.blob();
    BOOST_TEST(dataset_view::open(blob, recipe_on(parts, 4)).has_value());
}

BOOST_AUTO_TEST_CASE(values_and_scales_that_are_not_finite_are_refused) {
    const float nan = std::nanf("");
    for (const float bad : {infinity, -infinity, nan}) {
        BOOST_TEST(refusal({1, {0, bad}, {1, 1}, {0}, {1, 2}})
                       .starts_with("data: the scale of value 1 is not a finite number"));
        BOOST_TEST(refusal({1, {0, 0}, {1, bad}, {0}, {1, 2}})
                       .starts_with("data: the scale of value 1 is not a finite number"));
        BOOST_TEST(refusal({4, {0, 0}, {1, 1}, {0, 1}, {1, 2, 3, bad}})
                       .starts_with("data: value 1 of example 1 is not a finite number"));
    }
    // Finite alone, not when scaled.
    BOOST_TEST(refusal({1, {0}, {0x1p127F}, {0}, {1}}).starts_with("data: the scale of value 0"));
    BOOST_TEST(refusal({4, {-0x1p127F}, {1}, {0}, {0x1p127F}}).starts_with("data: value 0 of"));
    BOOST_TEST(refusal({4, {0}, {0x1p64F}, {0}, {0x1p64F}}).starts_with("data: value 0 of"));
}

BOOST_AUTO_TEST_CASE(a_blob_of_another_length_is_refused) {
    const auto parts = bumps(1, 10, 4, 3);
    const auto r = recipe_on(parts, 3);
    auto blob = parts.blob();
    blob.pop_back();
    const auto view = dataset_view::open(blob, r);
    BOOST_REQUIRE(!view);
    BOOST_TEST(view.error().message() == "data: found 111 bytes of examples, the recipe says 112");
    BOOST_TEST(dataset_view::open({}, r).error().is(errc::bad_data));
    // A recipe whose own numbers do not fit its blob never gets here.
    auto other = r;
    other.model.inputs = recipe_limits::inputs;
    BOOST_TEST(dataset_view::open(parts.blob(), other).error().is(errc::bad_recipe));
}

BOOST_AUTO_TEST_CASE(validation_examples_are_the_last_ones_up_to_a_limit) {
    const auto parts = bumps(1, 50, 4, 3);
    const auto blob = parts.blob();
    const auto r = recipe_on(parts, 3, 12);
    const auto view = *dataset_view::open(blob, r);
    BOOST_TEST(view.holds_examples());
    BOOST_TEST(view.training_tokens() == 38U);
    BOOST_TEST(view.validation_windows() == 12U);
    for (std::uint64_t i = 0; i < 12; ++i) BOOST_TEST(view.validation_start(i) == 38 + i);
    auto many = r;
    many.data.validation_tokens = 20000;
    BOOST_TEST(validation_windows_of(many) == validation_examples_max);
    many.data.validation_tokens = 0;
    BOOST_TEST(validation_windows_of(many) == 0U);
}

BOOST_AUTO_TEST_CASE(training_draws_every_example_of_the_training_part_and_no_other) {
    const auto parts = bumps(1, 50, 4, 3);
    const auto blob = parts.blob();
    const auto view = *dataset_view::open(blob, recipe_on(parts, 3, 12));
    std::vector<int> seen(38);
    for (std::uint64_t step = 0; step < 40; ++step) {
        for (std::uint64_t index = 0; index < 50; ++index) {
            const auto example = view.training_start({0}, {0}, step, index);
            BOOST_REQUIRE(example < 38U);
            ++seen[example];
        }
    }
    // 2,000 draws, about 53 each.
    for (const int n : seen) BOOST_TEST((n > 20 && n < 100));
}

BOOST_AUTO_TEST_SUITE_END()
