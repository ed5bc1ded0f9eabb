#include "training/recipe.hpp"

#include <boost/test/unit_test.hpp>
#include <functional>
#include <limits>
#include <set>
#include <vector>

#include "tests/unit/training/round_fixture.hpp"
#include "training/errc.hpp"

using namespace tequio;
using namespace tequio::training;

BOOST_AUTO_TEST_SUITE(recipe_test)

BOOST_AUTO_TEST_CASE(canonical_text_reads_back_to_the_same_recipe) {
    const auto r = example_recipe();
    const auto back = parse_recipe(recipe_text(r));
    BOOST_REQUIRE_MESSAGE(back, back.error().message());
    BOOST_TEST((*back == r));
    BOOST_TEST(recipe_id_of(*back).hex() == recipe_id_of(r).hex());
}

// A golden vector: what is hashed must never change under our hands.
BOOST_AUTO_TEST_CASE(canonical_text_and_id_are_as_they_always_were) {
    BOOST_TEST(recipe_text(example_recipe()) == read_vector("job_files/example_recipe.txt"));
    BOOST_TEST(recipe_id_of(example_recipe()).hex() ==
               base::sha256(read_vector("job_files/example_recipe.txt")).hex());
}

BOOST_AUTO_TEST_CASE(every_field_enters_the_id) {
    const std::vector<std::function<void(recipe&)>> edits{
        [](recipe& r) { r.model.layers = 5; },
        [](recipe& r) { r.model.heads = 12; },
        [](recipe& r) { r.model.width = 192; },
        [](recipe& r) { r.model.context = 128; },
        [](recipe& r) { r.model.vocabulary = 257; },
        [](recipe& r) { r.data.tokens.root.bytes[0] ^= 1; },
        [](recipe& r) { r.data.validation_tokens = 0; },
        [](recipe& r) { r.train.lanes = 9; },
        [](recipe& r) { r.train.rounds = 41; },
        [](recipe& r) { r.train.inner_steps = 51; },
        [](recipe& r) { r.train.batch = 16; },
        [](recipe& r) { r.train.micro_batch = 4; },
        [](recipe& r) { r.train.window = -41; },
        [](recipe& r) { r.train.inner.lr = 1e6; },
        [](recipe& r) { r.train.inner.beta1 = 0.8; },
        [](recipe& r) { r.train.inner.beta2 = 0.99; },
        [](recipe& r) { r.train.inner.epsilon = 1e-7; },
        [](recipe& r) { r.train.inner.weight_decay = 0; },
        [](recipe& r) { r.train.inner.clip = 0; },
        [](recipe& r) { r.train.inner.ramp_steps = 0; },
        [](recipe& r) { r.train.outer.lr = 1; },
        [](recipe& r) { r.train.outer.momentum = 0; },
        [](recipe& r) { r.train.schedule.warmup = 0; },
        [](recipe& r) { r.train.schedule.decay = "linear"; },
        [](recipe& r) { r.train.schedule.final_share = 1; },
        [](recipe& r) { r.train.seed = 2; },
    };
    std::set<base::recipe_id> ids{recipe_id_of(example_recipe())};
    for (const auto& edit : edits) {
        auto r = example_recipe();
        edit(r);
        BOOST_TEST(ids.insert(recipe_id_of(r)).second);
        const auto back = parse_recipe(recipe_text(r));
        BOOST_REQUIRE_MESSAGE(back, back.error().message());
        BOOST_TEST((*back == r));
    }
}

BOOST_AUTO_TEST_CASE(values_out_of_bounds_are_refused_by_key) {
    constexpr auto huge = std::numeric_limits<std::uint64_t>::max();
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    constexpr double infinity = std::numeric_limits<double>::infinity();
    struct row {
        const char* key;
        std::function<void(recipe&)> edit;
    };
    const std::vector<row> rows{
        {"model.layers", [](recipe& r) { r.model.layers = 0; }},
        {"model.layers", [](recipe& r) { r.model.layers = huge; }},
        {"model.heads", [](recipe& r) { r.model.heads = 0; }},
        {"model.heads", [](recipe& r) { r.model.heads = 5; }},
        {"model.heads", [](recipe& r) { r.model.heads = 1; }},  // head size 384
        {"model.width", [](recipe& r) { r.model.width = huge; }},
        {"model.context", [](recipe& r) { r.model.context = 65537; }},
        {"model.vocabulary", [](recipe& r) { r.model.vocabulary = 1; }},
        {"model.layers", [](recipe& r) { r.model = {"gpt2", 1024, 256, 65536, 256, 256}; }},
        {"data.tokens", [](recipe& r) { r.data.tokens.size = huge; }},
        {"data.token_bytes", [](recipe& r) { r.data.token_bytes = 0; }},
        {"data.token_bytes",
         [](recipe& r) {
             r.data.token_bytes = 3;
             r.data.tokens.size = 300000;
         }},
        {"data.token_count", [](recipe& r) { r.data.token_count = 99999; }},
        {"data.token_count", [](recipe& r) { r.data.validation_tokens = 99999; }},
        {"data.token_count", [](recipe& r) { r.data.validation_tokens = 100001; }},
        {"data.validation_tokens", [](recipe& r) { r.data.validation_tokens = 256; }},
        {"train.lanes", [](recipe& r) { r.train.lanes = 65537; }},
        {"train.rounds", [](recipe& r) { r.train.rounds = 0; }},
        {"train.inner_steps", [](recipe& r) { r.train.inner_steps = huge; }},
        {"train.inner_steps",
         [](recipe& r) {
             r.model = {"gpt2", 300, 64, 2048, 256, 256};
             r.train.inner_steps = 1 << 20;
             r.train.batch = r.train.micro_batch = 65536;
         }},
        {"train.batch", [](recipe& r) { r.train.batch = r.train.micro_batch = 65537; }},
        {"train.micro_batch", [](recipe& r) { r.train.micro_batch = 0; }},
        {"train.micro_batch", [](recipe& r) { r.train.micro_batch = 3; }},
        {"train.micro_batch", [](recipe& r) { r.train.micro_batch = 16; }},
        {"train.window", [](recipe& r) { r.train.window = 1; }},
        {"train.window", [](recipe& r) { r.train.window = -81; }},
        {"train.inner.lr", [](recipe& r) { r.train.inner.lr = 0; }},
        {"train.inner.lr", [](recipe& r) { r.train.inner.lr = nan; }},
        {"train.inner.lr", [](recipe& r) { r.train.inner.lr = infinity; }},
        {"train.inner.lr", [](recipe& r) { r.train.inner.lr = -1; }},
        {"train.inner.lr", [](recipe& r) { r.train.inner.lr = 5e-324; }},
        {"train.inner.beta1", [](recipe& r) { r.train.inner.beta1 = 1; }},
        {"train.inner.beta2", [](recipe& r) { r.train.inner.beta2 = -0.0; }},
        {"train.inner.epsilon", [](recipe& r) { r.train.inner.epsilon = 0; }},
        {"train.inner.weight_decay", [](recipe& r) { r.train.inner.weight_decay = 1001; }},
        {"train.inner.clip", [](recipe& r) { r.train.inner.clip = -1; }},
        {"train.outer.lr", [](recipe& r) { r.train.outer.lr = 1001; }},
        {"train.outer.momentum", [](recipe& r) { r.train.outer.momentum = 1; }},
        {"train.schedule.warmup", [](recipe& r) { r.train.schedule.warmup = huge; }},
        {"train.schedule.decay", [](recipe& r) { r.train.schedule.decay = "step"; }},
        {"train.schedule.final_share", [](recipe& r) { r.train.schedule.final_share = 1.5; }},
        {"train.numerics", [](recipe& r) { r.train.numerics = "fast"; }},
        {"train.seed", [](recipe& r) { r.train.seed = huge; }},
    };
    for (const auto& row : rows) {
        auto r = example_recipe();
        row.edit(r);
        const auto checked = check_recipe(r);
        BOOST_REQUIRE_MESSAGE(!checked, row.key);
        BOOST_TEST(checked.error().is(errc::bad_recipe));
        BOOST_TEST_CONTEXT(checked.error().message()) {
            BOOST_TEST(checked.error().message().starts_with("recipe " + std::string(row.key) +
                                                             ": found "));
        }
        BOOST_TEST(!parse_recipe(recipe_text(r)), row.key);
    }
}

BOOST_AUTO_TEST_CASE(a_learning_rate_of_a_million_is_allowed) {
    auto r = example_recipe();
    r.train.inner.lr = 1e6;
    BOOST_TEST(check_recipe(r).has_value());
}

BOOST_AUTO_TEST_CASE(words_outside_the_closed_sets_are_refused_by_name) {
    struct row {
        const char* from;
        const char* to;
        const char* said;
    };
    const row rows[] = {
        {"family gpt2", "family mamba",
         R"(model.family: found "mamba", allowed: gpt2, llama, mlp)"},
        {"codec mxint8", "codec fp8", R"(train.codec: found "fp8", allowed: f32, mxint8, mxfp4)"},
        {"numerics exact/1", "numerics fast", R"(train.numerics: found "fast", allowed: exact/1)"},
        {"activations f32", "activations mxfp4",
         R"(slices.activations: found "mxfp4", allowed: f32, bf16, mxint8)"},
    };
    for (const auto& r : rows) {
        const auto parsed = parse_recipe(replaced(recipe_text(example_recipe()), r.from, r.to));
        BOOST_REQUIRE_MESSAGE(!parsed, r.to);
        BOOST_TEST(parsed.error().message().find(r.said) != std::string::npos,
                   parsed.error().message());
    }
}

BOOST_AUTO_TEST_CASE(cuts_and_their_rounding_are_part_of_the_recipe) {
    auto r = example_recipe();
    const auto whole = recipe_text(r);
    BOOST_TEST(whole.ends_with("[slices]\ncuts none\nactivations f32\n"));
    r.slices.cuts = {2, 5};
    for (const char* format : {"f32", "bf16", "mxint8"}) {
        r.slices.activations = format;
        const auto text = recipe_text(r);
        BOOST_TEST(text.ends_with(std::string("[slices]\ncuts 2,5\nactivations ") + format + "\n"));
        const auto parsed = parse_recipe(text);
        BOOST_REQUIRE(parsed.has_value());
        BOOST_TEST((*parsed == r));
        BOOST_TEST((recipe_id_of(r) != base::id_of<base::recipe_id>(base::as_bytes(whole))));
    }
}

BOOST_AUTO_TEST_CASE(a_cut_lies_between_two_layers_and_in_order) {
    struct row {
        std::vector<std::uint64_t> cuts;
        const char* activations;
        const char* said;
    };
    const row rows[] = {
        {{0},
         "f32",
         "recipe slices.cuts: found [0], allowed: layers from 1 to 5, each above the "
         "one before"},
        {{6},
         "f32",
         "recipe slices.cuts: found [6], allowed: layers from 1 to 5, each above the "
         "one before"},
        {{3, 3},
         "bf16",
         "recipe slices.cuts: found [3,3], allowed: layers from 1 to 5, each above "
         "the one before"},
        {{4, 2},
         "bf16",
         "recipe slices.cuts: found [4,2], allowed: layers from 1 to 5, each above "
         "the one before"},
        {{}, "bf16", "recipe slices.activations: found \"bf16\", allowed: f32 without cuts"},
        {{2}, "fp8", "recipe slices.activations: found \"fp8\", allowed: f32, bf16, mxint8"},
    };
    for (const auto& [cuts, activations, said] : rows) {
        auto r = example_recipe();
        r.slices = {cuts, activations};
        const auto checked = check_recipe(r);
        BOOST_REQUIRE(!checked);
        BOOST_TEST(checked.error().message() == said);
        BOOST_TEST(!parse_recipe(recipe_text(r)));
    }
    auto r = example_recipe();
    r.slices.cuts.assign(4000, 1);
    BOOST_TEST(check_recipe(r).error().message().size() < 200U);
    r.model.layers = 1;
    r.slices.cuts = {1};
    BOOST_TEST(check_recipe(r).error().message() ==
               "recipe slices.cuts: found [1], allowed: none: one layer is not divided");
}

BOOST_AUTO_TEST_CASE(each_direction_has_any_of_three_codecs) {
    auto r = example_recipe();
    for (const char* up : {"f32", "mxint8", "mxfp4"}) {
        for (const char* down : {"f32", "mxint8", "mxfp4"}) {
            r.train.codec = up;
            r.train.codec_down = down;
            const auto parsed = parse_recipe(recipe_text(r));
            BOOST_REQUIRE(parsed.has_value());
            BOOST_TEST((*parsed == r));
        }
    }
    r.train.codec = "mxfp6";
    BOOST_TEST(check_recipe(r).error().message() ==
               "recipe train.codec: found \"mxfp6\", allowed: f32, mxint8, mxfp4");
}

BOOST_AUTO_TEST_CASE(a_mean_in_f32_asks_for_a_window_below_its_limit) {
    auto r = example_recipe();
    r.train.codec_down = "f32";
    r.train.window = -23;
    BOOST_TEST(check_recipe(r).has_value());
    r.train.window = -22;
    const auto checked = check_recipe(r);
    BOOST_REQUIRE(!checked);
    BOOST_TEST(checked.error().message() ==
               "recipe train.window: found -22, allowed: at most -23 with codec \"mxint8\" and "
               "codec_down \"f32\"");
    r.train.codec = "f32";
    BOOST_TEST(check_recipe(r).has_value());
}

BOOST_AUTO_TEST_CASE(other_forms_of_the_same_recipe_are_refused) {
    const auto text = recipe_text(example_recipe());
    const std::vector<std::pair<const char*, const char*>> edits{
        {"layers 6", "layers 06"},
        {"layers 6", "layers +6"},
        {"layers 6", "layers  6"},
        {"layers 6", "layers 6 "},
        {"layers 6", "layers\t6"},
        {"layers 6\n", ""},
        {"layers 6\nheads 6", "heads 6\nlayers 6"},
        {"layers 6\n", "layers 6\nlayers 6\n"},
        {"inner.lr 4e-04", "inner.lr 0.0004"},
        {"inner.lr 4e-04", "inner.lr 4e-4"},
        {"outer.lr 0.7", "outer.lr 0.70"},
        {"inner.clip 1\n", "inner.clip 1.0\n"},
        {"window -40", "window -040"},
        {"cuts none", "cuts 02"},
        {"cuts none", "cuts 2,"},
        {"cuts none", "cuts 2, 4"},
        {"cuts none", "cuts 2;4"},
        {"cuts none", "cuts []"},
        {"cuts none", "cuts 18446744073709551616"},
        {"activations f32", "activations bf16"},
        {"[slices]", "[slice]"},
        {"tequio/recipe/v1", "tequio/recipe/v2"},
        {"\n", "\r\n"},
        {"seed 1", "seed 18446744073709551617"},
    };
    for (const auto& [from, to] : edits) {
        const auto edited = replaced(text, from, to);
        BOOST_REQUIRE(edited != text);
        BOOST_TEST(!parse_recipe(edited), from << " -> " << to);
    }
    BOOST_TEST(!parse_recipe(text + "\n"));
    BOOST_TEST(!parse_recipe(""));
    for (std::size_t n = 0; n < text.size(); ++n) BOOST_TEST(!parse_recipe(text.substr(0, n)));
    BOOST_TEST(!parse_recipe(std::string(recipe_limits::text_bytes + 1, 'x')));
}

BOOST_AUTO_TEST_CASE(parameters_are_those_of_the_layout) {
    for (const auto& model : {example_recipe().model, small_recipe().model,
                              model_config{"gpt2", 12, 12, 768, 512, 50257}}) {
        BOOST_TEST(parameter_count(model).value() == layout_of(model).parameters);
    }
    // 124,439,808 at the published context of 1024 (Radford et al. 2019: "117M", counted anew).
    BOOST_TEST(parameter_count({"gpt2", 12, 12, 768, 1024, 50257}).value() == 124439808);
    BOOST_TEST(!parameter_count({"perceptron", 1, 1, 8, 8, 8}));
    constexpr auto huge = std::numeric_limits<std::uint64_t>::max();
    BOOST_TEST(!parameter_count({"gpt2", huge, 1, huge, huge, huge}));
}

BOOST_AUTO_TEST_SUITE_END()
