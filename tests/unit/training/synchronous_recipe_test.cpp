// Recipes, job files, states and costs of method synchronous.

#include <boost/test/unit_test.hpp>
#include <cstring>

#include "base/blob.hpp"
#include "base/merkle.hpp"
#include "tests/unit/training/round_fixture.hpp"
#include "training/cost.hpp"
#include "training/errc.hpp"
#include "training/job_file.hpp"
#include "training/merge.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

recipe synchronous_recipe() {
    auto r = example_recipe();
    r.train.method = method_synchronous;
    r.train.inner_steps = 1;
    r.train.inner.ramp_steps = 0;
    r.train.window = -46;
    return r;
}

/// The example's job file with method synchronous.
std::string synchronous_file() {
    auto text = read_vector("job_files/example.toml");
    text = replaced(text, "method = \"diloco\"", "method = \"synchronous\"");
    text = replaced(text, "inner_steps = 50", "inner_steps = 1");
    text = replaced(text, ", ramp_steps = 10", "");
    const auto at = text.find("outer = ");
    return text.erase(at, text.find('\n', at) + 1 - at);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(synchronous_recipe_test)

BOOST_AUTO_TEST_CASE(the_text_has_what_the_method_has_and_reads_back) {
    const auto r = synchronous_recipe();
    BOOST_REQUIRE(check_recipe(r));
    const auto text = recipe_text(r);
    BOOST_TEST(text.find("method synchronous\n") != text.npos);
    BOOST_TEST(text.find("inner_steps 1\n") != text.npos);
    BOOST_TEST(text.find("outer") == text.npos);
    BOOST_TEST(text.find("ramp_steps") == text.npos);
    const auto back = parse_recipe(text);
    BOOST_REQUIRE_MESSAGE(back, back.error().message());
    BOOST_TEST((*back == r));
    for (std::size_t n = 0; n < text.size(); ++n) BOOST_TEST(!parse_recipe(text.substr(0, n)));
    const std::pair<const char*, const char*> edits[] = {
        {"inner_steps 1\n", "inner_steps 2\n"},
        {"inner.clip 1\n", "inner.clip 1\ninner.ramp_steps 0\n"},
        {"schedule.warmup",
         "outer.optimizer nesterov\nouter.lr 0.7\nouter.momentum 0.9\nschedule.warmup"},
        {"method synchronous", "method diloco"},
        {"method synchronous", "method Synchronous"},
    };
    for (const auto& [from, to] : edits) {
        const auto edited = replaced(text, from, to);
        BOOST_REQUIRE(edited != text);
        BOOST_TEST(!parse_recipe(edited), from << " -> " << to);
    }
}

BOOST_AUTO_TEST_CASE(more_than_one_step_a_round_is_refused_with_the_place) {
    auto r = synchronous_recipe();
    r.train.inner_steps = 2;
    const auto checked = check_recipe(r);
    BOOST_REQUIRE(!checked);
    BOOST_TEST(checked.error().is(errc::bad_recipe));
    BOOST_TEST(checked.error().message() ==
               "recipe train.inner_steps: found 2, allowed: 1 with method synchronous: each round "
               "is one step of all lanes together");
}

BOOST_AUTO_TEST_CASE(a_job_file_is_read_with_its_own_defaults) {
    auto text = synchronous_file();
    text = replaced(text, "inner_steps = 1\n", "# inner_steps = 1\n");
    const auto at = text.find("window = ");
    text.erase(at, text.find('\n', at) + 1 - at);
    const auto job = parse_job_file(text, "job.toml");
    BOOST_REQUIRE_MESSAGE(job, job.error().message());
    const auto r = make_recipe(*job, example_recipe().data);
    BOOST_REQUIRE_MESSAGE(r, r.error().message());
    BOOST_TEST((*r == synchronous_recipe()));
}

BOOST_AUTO_TEST_CASE(what_belongs_to_diloco_is_refused_with_line_found_and_allowed) {
    struct row {
        const char* from;
        const char* to;
        const char* said;
    };
    const row rows[] = {
        {"inner_steps = 1\n", "inner_steps = 2\n",
         "job.toml:24 train.inner_steps: found 2, allowed: 1 with method synchronous: each round "
         "is "
         "one step of all lanes together"},
        {"inner_steps = 1\n", "inner_steps = 0\n",
         "job.toml:24 train.inner_steps: found 0, allowed: an integer from 1 to 1048576"},
        {"schedule = ",
         "outer = { optimizer = \"nesterov\", lr = 0.7, momentum = 0.9 }\nschedule = ",
         "job.toml:29 train.outer: found a table, allowed: no such key with method synchronous (it "
         "belongs to diloco)"},
        {"schedule = ", "outer = 1\nschedule = ",
         "job.toml:29 train.outer: found 1, allowed: no such key with method synchronous (it "
         "belongs to diloco)"},
        {"clip = 1.0", "clip = 1.0, ramp_steps = 10",
         "job.toml:28 train.inner.ramp_steps: found 10, allowed: no such key with method "
         "synchronous (it belongs to diloco)"},
        {"lanes = 8", "lanes = 0",
         "job.toml:22 train.lanes: found 0, allowed: an integer from 1 to 65536"},
        {"lanes = 8", "lanes = 65537",
         "job.toml:22 train.lanes: found 65537, allowed: an integer from 1 to 65536"},
        {"method = \"synchronous\"", "method = \"asynchronous\"",
         "job.toml:21 train.method: found \"asynchronous\", allowed: diloco, synchronous"},
    };
    for (const auto& row : rows) {
        const auto text = replaced(synchronous_file(), row.from, row.to);
        BOOST_REQUIRE(text != synchronous_file());
        const auto job = parse_job_file(text, "job.toml");
        BOOST_REQUIRE_MESSAGE(!job, row.to);
        BOOST_TEST(job.error().is(errc::bad_job_file));
        BOOST_TEST(job.error().message().find(row.said) != std::string::npos,
                   "wanted " << row.said << "; got\n"
                             << job.error().message());
    }
    // Both faults at once are told at once.
    const auto both =
        replaced(replaced(synchronous_file(), "inner_steps = 1\n", "inner_steps = 7\n"),
                 "schedule = ", "outer = {}\nschedule = ");
    const auto job = parse_job_file(both, "job.toml");
    BOOST_REQUIRE(!job);
    BOOST_TEST(job.error().message().find("train.inner_steps: found 7") != std::string::npos);
    BOOST_TEST(job.error().message().find("train.outer: found a table") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_template_is_accepted) {
    job_template_options options;
    options.method = method_synchronous;
    options.rounds = 400;
    for (const auto* example : {"text", "digits"}) {
        options.example = example;
        const auto text = job_template(options);
        BOOST_REQUIRE_MESSAGE(text, text.error().message());
        BOOST_TEST(text->find('@') == std::string::npos);
        const auto job = parse_job_file(*text, "job.toml");
        BOOST_REQUIRE_MESSAGE(job, job.error().message());
        BOOST_TEST(job->train.synchronous());
        BOOST_TEST(job->train.rounds == 400);
        BOOST_TEST(job->train.window == -46);
        BOOST_TEST(job->train.schedule.warmup == 20);
    }
    options.method = "gossip";
    BOOST_TEST(job_template(options).error().message() ==
               "--method: found \"gossip\", allowed: diloco, synchronous");
}

BOOST_AUTO_TEST_CASE(states_have_two_moments) {
    const auto r = synchronous_recipe();
    BOOST_TEST(cost_of(r).state_bytes == 12 * layout_of(r.model).padded_size);
    BOOST_TEST(cost_of(r).lane_tokens == r.train.batch * r.model.context);
    BOOST_TEST(cost_of(r).contribution_bytes == cost_of(example_recipe()).contribution_bytes);
}

BOOST_AUTO_TEST_CASE(digest_is_the_merkle_root_over_first_then_second_moments_then_parameters) {
    const auto layout = layout_of({"gpt2", 1, 1, 4, 3, 5});
    std::vector<float> flat[3];  // first, second, parameters
    for (int k = 0; k < 3; ++k) {
        for (std::size_t i = 0; i < layout.padded_size; ++i) {
            flat[k].push_back(static_cast<float>(k + 1) * static_cast<float>(i));
        }
    }
    const char* const prefixes[] = {"first_moment/", "second_moment/", ""};
    std::vector<base::digest> leaves;
    for (int k = 0; k < 3; ++k) {
        for (const auto& t : layout.tensors) {
            base::byte_vector data;
            for (std::uint64_t i = 0; i < t.size; ++i) {
                std::uint32_t bits = 0;
                std::memcpy(&bits, &flat[k][t.offset + i], 4);
                base::byte_writer(data).u32(bits);
            }
            base::byte_vector leaf;
            base::byte_writer out(leaf);
            out.raw(base::as_bytes(prefixes[k] + t.name));
            out.u8(0);
            out.raw(base::blob_ref_of(data).root.view());
            leaves.push_back(base::merkle_leaf(leaf));
        }
    }
    BOOST_TEST(state_digest(layout, {flat[2], flat[0], flat[1]}).hex() ==
               base::merkle_root(leaves).hex());
    BOOST_TEST(state_digest(layout, {flat[2], flat[0]}).hex() != base::merkle_root(leaves).hex());
}

BOOST_AUTO_TEST_CASE(only_a_canonical_mean_is_applied) {
    auto r = small_recipe(1);
    r.train.method = method_synchronous;
    r.train.inner_steps = 1;
    const auto layout = layout_of(r.model);
    std::vector<float> parameters(layout.padded_size), first(parameters), second(parameters);
    const std::vector<float> gradient(layout.padded_size);
    auto mean =
        *encode_contribution(contribution_kind::mean, r, layout, gradient, 1, lane_tokens(r));
    mean.back() = 0x80;
    const auto refused = apply_mean(r, layout, {0}, mean, {parameters, first, second});
    BOOST_TEST(refused.error().is(errc::bad_contribution));
    for (const auto* flat : {&parameters, &first, &second}) {
        for (const float x : *flat) BOOST_REQUIRE(x == 0.0F);
    }
}

BOOST_AUTO_TEST_SUITE_END()
