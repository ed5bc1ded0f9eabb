/// Recipes and job files of the llama family: fields, relations, defaults, parameters.

#include <boost/test/unit_test.hpp>
#include <functional>
#include <limits>

#include "tests/unit/training/round_fixture.hpp"
#include "training/errc.hpp"
#include "training/job_file.hpp"

namespace tequio::training {
namespace {

recipe llama_recipe() {
    auto r = example_recipe();
    r.model = {"llama", 6, 6, 384, 256, 256, 2, 1000};
    return r;
}

/// The example job file with other lines of its model.
base::result<job_file> job_of(const std::string& model) {
    auto text = read_vector("job_files/example.toml");
    const auto begin = text.find("family");
    const auto end = text.find("\n\n", begin);
    text.replace(begin, end - begin, model);
    return parse_job_file(text, "job.toml");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(llama_recipe_test)

BOOST_AUTO_TEST_CASE(the_text_has_all_fields_and_reads_back) {
    auto r = llama_recipe();
    r.model.rope_theta = 500000;
    r.model.norm_epsilon = 1e-6;
    r.model.tied = false;
    const auto text = recipe_text(r);
    BOOST_TEST(text.find("[model]\nfamily llama\nlayers 6\nheads 6\nwidth 384\ncontext 256\n"
                         "vocabulary 256\nkv_heads 2\nhidden 1000\nrope_theta 5e+05\n"
                         "norm_epsilon 1e-06\ntied false\ninit random\n[data]\n") !=
               std::string::npos);
    const auto back = parse_recipe(text);
    BOOST_REQUIRE_MESSAGE(back, back.error().message());
    BOOST_TEST((*back == r));
    for (const auto& [from, to] : {std::pair{"tied false", "tied no"},
                                   {"kv_heads 2\n", ""},
                                   {"norm_epsilon 1e-06", "norm_epsilon 0.000001"}}) {
        BOOST_TEST(!parse_recipe(replaced(text, from, to)), to);
    }
}

BOOST_AUTO_TEST_CASE(fields_and_relations_out_of_bounds_are_refused_by_key) {
    constexpr auto huge = std::numeric_limits<std::uint64_t>::max();
    struct row {
        const char* what;
        std::function<void(model_config&)> edit;
    };
    const std::vector<row> rows{
        {"model.kv_heads: found 0, allowed: an integer from 1 to 1024",
         [](model_config& m) { m.kv_heads = 0; }},
        {"model.kv_heads: found 4, allowed: a divisor of heads (6)",
         [](model_config& m) { m.kv_heads = 4; }},
        {"model.kv_heads: found 12, allowed: a divisor of heads (6)",
         [](model_config& m) { m.kv_heads = 12; }},
        {"model.kv_heads: found 18446744073709551615", [](model_config& m) { m.kv_heads = huge; }},
        {"model.width: found 390, allowed: an even multiple of heads (6)",
         [](model_config& m) { m.width = 390; }},
        {"model.heads: found 1, allowed: at least width / 256 (width is 384)",
         [](model_config& m) { m.heads = m.kv_heads = 1; }},
        {"model.heads: found 5, allowed: a divisor of width (width is 384)",
         [](model_config& m) { m.heads = m.kv_heads = 5; }},
        {"model.hidden: found 0, allowed: an integer from 1 to 262144",
         [](model_config& m) { m.hidden = 0; }},
        {"model.hidden: found 262145", [](model_config& m) { m.hidden = 262145; }},
        {"model.rope_theta: found 0.5, allowed: a real from 1 to",
         [](model_config& m) { m.rope_theta = 0.5; }},
        {"model.rope_theta: found inf",
         [](model_config& m) { m.rope_theta = std::numeric_limits<double>::infinity(); }},
        {"model.norm_epsilon: found 0, allowed: a real from 1e-15 to 1",
         [](model_config& m) { m.norm_epsilon = 0; }},
        {"model.norm_epsilon: found nan",
         [](model_config& m) { m.norm_epsilon = std::numeric_limits<double>::quiet_NaN(); }},
        {"model.layers: found 1024, allowed: a model of at most",
         [](model_config& m) { m = {"llama", 1024, 256, 65536, 256, 256, 256, 262144}; }},
    };
    for (const auto& row : rows) {
        auto r = llama_recipe();
        row.edit(r.model);
        const auto checked = check_recipe(r);
        BOOST_REQUIRE_MESSAGE(!checked, row.what);
        BOOST_TEST(checked.error().is(errc::bad_recipe));
        const auto message = checked.error().message();
        BOOST_TEST(message.starts_with("recipe " + std::string(row.what)), message);
        BOOST_TEST(!parse_recipe(recipe_text(r)), row.what);
    }
}

BOOST_AUTO_TEST_CASE(parameters_are_those_of_the_layout) {
    for (const std::uint64_t kv_heads : {1U, 2U, 3U, 6U}) {
        for (const bool tied : {true, false}) {
            model_config m{"llama", 3, 6, 36, 16, 100, kv_heads, 50};
            m.tied = tied;
            BOOST_TEST(parameter_count(m).value() == layout_of(m).parameters);
        }
    }
    // Llama 2 7B, as published with its model card, 6,738,415,616; TinyLlama 1.1B, 1,100,048,384.
    model_config seven{"llama", 32, 32, 4096, 4096, 32000, 32, 11008};
    seven.tied = false;
    BOOST_TEST(parameter_count(seven).value() == 6738415616);
    model_config tiny{"llama", 22, 32, 2048, 2048, 32000, 4, 5632};
    tiny.tied = false;
    BOOST_TEST(parameter_count(tiny).value() == 1100048384);
}

BOOST_AUTO_TEST_CASE(a_job_file_needs_no_more_than_gpt2s) {
    const auto job =
        job_of("family = \"llama\"\nlayers = 8\nheads = 8\nwidth = 512\ncontext = 512");
    BOOST_REQUIRE_MESSAGE(job, job.error().message());
    model_config expected{"llama", 8, 8, 512, 512, 256, 8, 1408};
    expected.rope_theta = 10000;
    expected.norm_epsilon = 1e-5;
    expected.tied = true;
    BOOST_TEST((job->model == expected));
    // int(8 * width / 3 + 63) // 64 * 64
    for (const auto& [width, hidden] :
         {std::pair{24U, 64U}, {28U, 128U}, {64U, 192U}, {96U, 256U}, {384U, 1024U}}) {
        const auto one =
            job_of("family = \"llama\"\nlayers = 1\nheads = 2\nwidth = " + std::to_string(width) +
                   "\ncontext = 8");
        BOOST_REQUIRE_MESSAGE(one, one.error().message());
        BOOST_TEST(one->model.hidden == hidden);
        BOOST_TEST(one->model.kv_heads == 2U);
    }
}

BOOST_AUTO_TEST_CASE(a_job_file_may_say_all_of_it) {
    const auto job = job_of(
        "family = \"llama\"\nlayers = 2\nheads = 8\nwidth = 128\ncontext = 64\nkv_heads = 2\n"
        "hidden = 300\nrope_theta = 500000\nnorm_epsilon = 1e-6\ntied = false");
    BOOST_REQUIRE_MESSAGE(job, job.error().message());
    model_config expected{"llama", 2, 8, 128, 64, 256, 2, 300};
    expected.rope_theta = 500000;
    expected.norm_epsilon = 1e-6;
    expected.tied = false;
    BOOST_TEST((job->model == expected));
    const auto r = make_recipe(*job, example_recipe().data);
    BOOST_REQUIRE_MESSAGE(r, r.error().message());
    BOOST_TEST((r->model == expected));
}

BOOST_AUTO_TEST_CASE(faults_of_a_job_file_name_their_line) {
    const std::string start =
        "family = \"llama\"\nlayers = 2\nheads = 8\nwidth = 128\ncontext = 64\n";
    const std::pair<const char*, const char*> rows[] = {
        {"kv_heads = 3", "job.toml:14 model.kv_heads: found 3, allowed: a divisor of heads (8)"},
        {"hidden = \"wide\"", "job.toml:14 model.hidden: found \"wide\", allowed: an integer from"},
        {"tied = 1", "job.toml:14 model.tied: found 1, allowed: true or false"},
        {"norm_epsilon = 2", "job.toml:14 model.norm_epsilon: found 2, allowed: a real from"},
        {"experts = 8",
         "job.toml:14 model.experts: found an unknown key, allowed: init_from, family"},
    };
    for (const auto& [line, expected] : rows) {
        const auto job = job_of(start + line);
        BOOST_REQUIRE_MESSAGE(!job, line);
        BOOST_TEST(job.error().message().starts_with(expected), job.error().message());
    }
    const auto gpt2 =
        job_of("family = \"gpt2\"\nlayers = 2\nheads = 8\nwidth = 128\ncontext = 64\nkv_heads = 8");
    BOOST_REQUIRE(!gpt2);
    BOOST_TEST(gpt2.error().message().starts_with("job.toml:14 model.kv_heads: found an unknown"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
