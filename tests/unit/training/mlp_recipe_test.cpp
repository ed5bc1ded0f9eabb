// What an mlp's recipe, cost and job file say.

#include <boost/test/unit_test.hpp>
#include <functional>
#include <set>

#include "tests/unit/training/examples_fixture.hpp"
#include "training/cost.hpp"
#include "training/errc.hpp"
#include "training/job_file.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

/// 1,200 training and 300 validation examples of 30 bytes; 2 hidden layers of 40; 5 classes.
recipe mlp_example() {
    return small_examples().r;
}

constexpr std::string_view job_text = R"([job]
name = "digits"
[model]
family = "mlp"
layers = 2
width = 128
[data]
files = ["a.csv"]
[train]
lanes = 4
rounds = 10
inner_steps = 20
batch = 256
)";

/// The message of a job file whose [model] has one more line.
std::string fault_of(const std::string& section, const std::string& line) {
    std::string text(job_text);
    const auto at = text.find("[" + section + "]\n") + section.size() + 3;
    text.insert(at, line + "\n");
    const auto parsed = parse_job_file(text, "job.toml");
    BOOST_REQUIRE_MESSAGE(!parsed, "accepted: " << line);
    BOOST_TEST(parsed.error().is(errc::bad_job_file));
    return parsed.error().message();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(mlp_recipe_test)

BOOST_AUTO_TEST_CASE(an_mlp_has_no_cuts) {
    auto r = mlp_example();
    r.slices.cuts = {1};
    BOOST_TEST(check_recipe(r).error().message() ==
               "recipe slices.cuts: found [1], allowed: none: an mlp is not divided");
    const auto job = std::string(job_text) + "[slices]\ncuts = [1]\n";
    BOOST_TEST(parse_job_file(job, "job.toml").error().message() ==
               "job.toml:15 slices.cuts: found [1], allowed: none: an mlp is not divided");
}

BOOST_AUTO_TEST_CASE(canonical_text_has_the_fields_of_an_mlp_and_reads_back) {
    const auto r = mlp_example();
    const auto text = recipe_text(r);
    const auto model =
        "[model]\nfamily mlp\ninputs 30\nlayers 2\nwidth 40\nclasses 5\ninit "
        "random\n[data]\nexamples " +
        r.data.tokens.text() +
        "\nvalue_bytes 1\nexample_count 1500\nvalidation_examples 300\n[train]\n";
    BOOST_TEST(text.find(model) != std::string::npos, text);
    const auto back = parse_recipe(text);
    BOOST_REQUIRE_MESSAGE(back, back.error().message());
    BOOST_TEST((*back == r));
}

BOOST_AUTO_TEST_CASE(every_field_of_an_mlp_enters_the_id) {
    std::set<base::recipe_id> ids{recipe_id_of(mlp_example())};
    const std::function<void(recipe&)> edits[] = {
        [](recipe& r) { r.model.layers = 3; },
        [](recipe& r) { r.model.width = 41; },
        [](recipe& r) { r.model.vocabulary = 6; },
        [](recipe& r) { r.data.tokens.root.bytes[0] ^= 1; },
        [](recipe& r) { r.data.validation_tokens = 299; },
        [](recipe& r) {
            r.model.inputs = 31;
            r.data.tokens.size = data_blob_bytes(r.model, r.data);
        },
        [](recipe& r) {
            r.data.token_bytes = 4;
            r.data.tokens.size = data_blob_bytes(r.model, r.data);
        },
        [](recipe& r) {
            r.data.token_count = 1501;
            r.data.tokens.size = data_blob_bytes(r.model, r.data);
        },
    };
    for (const auto& edit : edits) {
        auto r = mlp_example();
        edit(r);
        BOOST_TEST(ids.insert(recipe_id_of(r)).second);
        const auto back = parse_recipe(recipe_text(r));
        BOOST_REQUIRE_MESSAGE(back, back.error().message());
        BOOST_TEST((*back == r));
    }
}

BOOST_AUTO_TEST_CASE(values_out_of_bounds_are_refused_by_key) {
    struct row {
        const char* key;
        std::function<void(recipe&)> edit;
    };
    const auto sized = [](recipe& r) { r.data.tokens.size = data_blob_bytes(r.model, r.data); };
    const row rows[] = {
        {"model.inputs", [](recipe& r) { r.model.inputs = 0; }},
        {"model.inputs", [](recipe& r) { r.model.inputs = recipe_limits::inputs + 1; }},
        {"model.layers", [](recipe& r) { r.model.layers = 0; }},
        {"model.width", [](recipe& r) { r.model.width = 65537; }},
        {"model.classes", [](recipe& r) { r.model.vocabulary = 1; }},
        {"model.layers",
         [](recipe& r) {
             r.model.width = 65536;
             r.model.layers = 5;
         }},
        {"data.value_bytes",
         [&](recipe& r) {
             r.data.token_bytes = 2;
             sized(r);
         }},
        {"data.value_bytes",
         [&](recipe& r) {
             r.data.token_bytes = 3;
             sized(r);
         }},
        {"data.example_count", [](recipe& r) { r.data.token_count = 1499; }},
        {"data.example_count", [](recipe& r) { r.data.tokens.size += 1; }},
        {"data.example_count", [](recipe& r) { r.data.validation_tokens = 1500; }},
        {"data.example_count", [](recipe& r) { r.data.validation_tokens = 1501; }},
        {"train.batch",
         [](recipe& r) { r.train.batch = r.train.micro_batch = recipe_limits::step_tokens + 1; }},
        {"train.micro_batch", [](recipe& r) { r.train.micro_batch = 100; }},
    };
    for (const auto& row : rows) {
        auto r = mlp_example();
        row.edit(r);
        const auto checked = check_recipe(r);
        BOOST_REQUIRE_MESSAGE(!checked, row.key);
        BOOST_TEST(checked.error().is(errc::bad_recipe));
        BOOST_TEST(
            checked.error().message().starts_with("recipe " + std::string(row.key) + ": found "),
            checked.error().message());
        BOOST_TEST(!parse_recipe(recipe_text(r)));
    }
}

BOOST_AUTO_TEST_CASE(counts_by_hand) {
    const auto r = mlp_example();
    const auto cost = cost_of(r);
    constexpr std::uint64_t parameters = 30 * 40 + 40 + 40 * 40 + 40 + 40 * 5 + 5;
    BOOST_TEST(cost.parameters == parameters);
    BOOST_TEST(cost.lane_tokens == 4U * 512U);
    BOOST_TEST(token_flops(r.model) == 6 * parameters);  // no attention
    BOOST_TEST(cost.lane_flops == 6 * parameters * 2048);
    BOOST_TEST(cost.validation_tokens == 300U);
    BOOST_TEST(cost.validation_flops == 2 * parameters * 300);
    BOOST_TEST(cost.data_bytes == 2U * 4 * 30 + 1500 * (4 + 30));
}

BOOST_AUTO_TEST_CASE(job_file_of_an_mlp_is_read) {
    const auto job = parse_job_file(job_text, "job.toml");
    BOOST_REQUIRE_MESSAGE(job, job.error().message());
    BOOST_TEST(job->model.family == "mlp");
    BOOST_TEST(job->model.layers == 2U);
    BOOST_TEST(job->model.width == 128U);
    BOOST_TEST(job->model.context == 1U);
    BOOST_TEST(job->model.heads == 0U);
}

BOOST_AUTO_TEST_CASE(keys_that_an_mlp_does_not_have_are_refused_by_line) {
    BOOST_TEST(
        fault_of("model", "heads = 4")
            .starts_with(
                "job.toml:4 model.heads: found an unknown key, allowed: init_from, family, layers, "
                "width"));
    BOOST_TEST(fault_of("model", "context = 1").starts_with("job.toml:4 model.context: found an"));
    BOOST_TEST(fault_of("model", "inputs = 784").starts_with("job.toml:4 model.inputs: found an"));
    BOOST_TEST(fault_of("model", "classes = 10").starts_with("job.toml:4 model.classes: found"));
    BOOST_TEST(
        fault_of("data", "tokenizer = \"bytes\"")
            .starts_with("job.toml:8 data.tokenizer: found \"bytes\", allowed: no such key"));
    BOOST_TEST(fault_of("train", "micro_batch = 100").find("a divisor of batch (256)") !=
               std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
