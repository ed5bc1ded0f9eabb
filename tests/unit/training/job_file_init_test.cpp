// Job files that start from trained weights.
#include <boost/test/unit_test.hpp>

#include "tests/unit/training/round_fixture.hpp"
#include "training/errc.hpp"
#include "training/job_file.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

const auto fine_tuning = read_vector("job_files/fine_tune.toml");
const model_config folder_model{"gpt2", 2, 4, 32, 16, 300};

base::result<job_file> parse(const std::string& text, const model_config& folder = folder_model) {
    return parse_job_file(text, "job.toml",
                          [&](const std::string& path) -> base::result<model_config> {
                              if (path == "bases/small") return folder;
                              return fail(errc::bad_state, path + "/config.json: n_layer: found 0");
                          });
}

std::string with(const std::string& from, const std::string& to) {
    BOOST_REQUIRE(fine_tuning.find(from) != std::string::npos);
    return replaced(fine_tuning, from, to);
}

void refused(const std::string& text, errc code, std::initializer_list<const char*> words,
             const model_config& folder = folder_model) {
    const auto job = parse(text, folder);
    BOOST_REQUIRE(!job);
    BOOST_TEST(job.error().is(code), job.error().message());
    for (const auto* word : words) {
        BOOST_TEST(job.error().message().find(word) != std::string::npos,
                   word << " in " << job.error().message());
    }
    // One fault, one line: what follows from it is not said as well.
    BOOST_TEST(job.error().message().find('\n') == std::string::npos, job.error().message());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(job_file_init_test)

BOOST_AUTO_TEST_CASE(shape_comes_from_the_folder) {
    const auto job = parse(fine_tuning);
    BOOST_REQUIRE_MESSAGE(job, job.error().message());
    BOOST_TEST((job->model == folder_model));
    BOOST_TEST(job->init_from == "bases/small");
    BOOST_TEST(job->base_license == "MIT");
}

BOOST_AUTO_TEST_CASE(shape_keys_that_are_given_must_agree) {
    const auto given = [](const std::string& keys) {
        return with("init_from = \"bases/small\"", "init_from = \"bases/small\"\n" + keys);
    };
    const auto same =
        parse(given("family = \"gpt2\"\nlayers = 2\nheads = 4\nwidth = 32\ncontext = 16"));
    BOOST_REQUIRE_MESSAGE(same, same.error().message());
    BOOST_TEST((same->model == folder_model));
    refused(given("layers = 3"), errc::bad_job_file,
            {"job.toml:8 model.layers: found 3, allowed: 2", "bases/small/config.json"});
    refused(given("context = 8"), errc::bad_job_file, {"job.toml:8 model.context: found 8"});
    refused(given("width = 0"), errc::bad_job_file, {"an integer from 1 to"});
    refused(given("vocabulary = 300"), errc::bad_job_file, {"model.vocabulary", "unknown key"});
}

BOOST_AUTO_TEST_CASE(without_a_reader_no_folder_can_be_named) {
    const auto job = parse_job_file(fine_tuning, "job.toml");
    BOOST_REQUIRE(!job);
    BOOST_TEST(job.error().message().find("model.init_from") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_folder_that_cannot_be_read_is_one_fault_at_its_line) {
    refused(
        with("bases/small", "bases/none"), errc::bad_job_file,
        {"job.toml:7 model.init_from: found \"bases/none\"", "bases/none/config.json: n_layer"});
    refused(with("\"bases/small\"", "5"), errc::bad_job_file, {"model.init_from: found 5"});
}

BOOST_AUTO_TEST_CASE(weights_that_somebody_made_come_with_their_licence) {
    refused(with("base_license = \"MIT\"\n", ""), errc::bad_job_file,
            {"job.toml:2 job.base_license: found nothing", "SPDX"});
    refused(with("\"MIT\"", "\"none\""), errc::bad_job_file,
            {"job.toml:4 job.base_license: found \"none\""});
    refused(with("\"MIT\"", "\"<b>\""), errc::bad_job_file, {"job.base_license"});
    refused(with("\"MIT\"", "[\"MIT\"]"), errc::bad_job_file, {"job.base_license"});
    const auto drawn = replaced(read_vector("job_files/minimal.toml"),
                                "name = ", "base_license = \"MIT\", name = ");
    refused(drawn, errc::bad_job_file, {"job.base_license: found \"MIT\"", "without init_from"});
}

BOOST_AUTO_TEST_CASE(a_tokenizer_needs_room_in_the_vocabulary) {
    const model_config few{"gpt2", 2, 4, 32, 16, 255};
    refused(with("\"a.txt\"]", "\"a.txt\"]\ntokenizer = \"bytes\""), errc::bad_job_file,
            {"data.tokenizer: found \"bytes\"", "at most 255 tokens"}, few);
    BOOST_TEST(parse(fine_tuning, {"gpt2", 2, 4, 32, 16, 256}).has_value());
}

BOOST_AUTO_TEST_CASE(task_and_recipe_name_the_weights) {
    auto job = *parse(fine_tuning);
    const auto parameters = *parameter_count(folder_model);
    job.model.init = {base::sha256("weights"), 4 * parameters};
    const auto work = make_recipe(job, {{base::sha256("data"), 500}, 1, 500, 0});
    BOOST_REQUIRE_MESSAGE(work, work.error().message());
    BOOST_TEST(recipe_text(*work).find("init " + job.model.init->text() + "\n") !=
               std::string::npos);
    const auto key = example_key();
    const task_seal seal{{1795415280},
                         {},
                         key.public_part(),
                         std::string(32, '0'),
                         "exact/1:" + std::string(64, '0'),
                         {{base::sha256("tokenizer"), 77}}};
    const auto t = make_task(job, *work, seal);
    BOOST_REQUIRE_MESSAGE(t, t.error().message());
    BOOST_TEST(task_text(*t).find("\nbase_license MIT\n") != std::string::npos);
    BOOST_TEST(task_text(*t).find("\ncompanion " + base::sha256("tokenizer").hex() + ":77\n") !=
               std::string::npos);
    const auto back = parse_task(sign_task(*t, key)->encode());
    BOOST_REQUIRE_MESSAGE(back, back.error().message());
    BOOST_TEST((*back == *t));

    // Licence and weights come together or not at all.
    auto other = *t;
    other.base_license.clear();
    BOOST_TEST(check_task(other).error().is(errc::bad_task));
    other.base_license = "none";
    BOOST_TEST(check_task(other).error().is(errc::bad_task));
    other.base_license = "MIT";
    other.work.model.init.reset();
    BOOST_TEST(check_task(other).error().is(errc::bad_task));
    // An owner's list of licences holds for it too.
    task_policy policy;
    policy.licenses = {"NOASSERTION"};
    const task_circumstances here{{1795415300}, {}, t->exactness, false};
    BOOST_TEST(task_acceptable(*t, here, policy).error().is(errc::refused_by_policy));
    policy.licenses = {"MIT", "NOASSERTION"};
    BOOST_TEST(task_acceptable(*t, here, policy).has_value());
}

BOOST_AUTO_TEST_CASE(weights_of_another_size_are_refused) {
    auto job = *parse(fine_tuning);
    job.model.init = {base::sha256("weights"), 4 * *parameter_count(folder_model) - 4};
    const auto work = make_recipe(job, {{base::sha256("data"), 500}, 1, 500, 0});
    BOOST_REQUIRE(!work);
    BOOST_TEST(work.error().message().find("model.init") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
