#include "training/task.hpp"

#include <boost/test/unit_test.hpp>
#include <functional>
#include <vector>

#include "tests/unit/training/round_fixture.hpp"
#include "training/errc.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

const auto submitter = example_key();

base::signed_note note_of(std::string text, const base::signing_key& key = submitter) {
    base::signed_note note{std::move(text), {}};
    note.sign(submitter_name, key);
    return note;
}

task_circumstances circumstances_of(const task& t) {
    return {{t.created.seconds + 60}, t.swarm, t.exactness, false};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(task_test)

BOOST_AUTO_TEST_CASE(signed_task_reads_back_and_keeps_its_id) {
    const auto t = example_task(submitter);
    const auto note = sign_task(t, submitter);
    BOOST_REQUIRE_MESSAGE(note, note.error().message());
    const auto back = parse_task(note->encode());
    BOOST_REQUIRE_MESSAGE(back, back.error().message());
    BOOST_TEST((*back == t));
    BOOST_TEST(task_id_of(*note).hex() == task_id_of(t).hex());
    BOOST_TEST(task_id_of(t).hex() == base::sha256(task_text(t)).hex());
}

BOOST_AUTO_TEST_CASE(recipe_stands_in_the_text_verbatim_below_its_id) {
    const auto t = example_task(submitter);
    BOOST_TEST(task_text(t).ends_with("recipe " + recipe_id_of(t.work).hex() + "\n" +
                                      recipe_text(t.work)));
}

BOOST_AUTO_TEST_CASE(text_is_as_it_always_was) {
    // The head of a golden task; the recipe below it has a vector of its own.
    const auto text = task_text(example_task(submitter));
    BOOST_TEST(text.substr(0, text.find("tequio/recipe/v1")) ==
               read_vector("job_files/example_task_head.txt"));
}

BOOST_AUTO_TEST_CASE(companion_is_one_of_the_tasks_blobs_and_changes_no_recipe) {
    auto t = example_task(submitter);
    const auto recipe = recipe_id_of(t.work);
    BOOST_TEST((task_blobs(t) == std::vector{t.work.data.tokens}));
    t.companion = {base::sha256("a tokenizer"), task_companion_size_max_bytes};
    t.work.model.init = {base::sha256("weights"), 4 * *parameter_count(t.work.model)};
    t.base_license = "MIT";
    BOOST_TEST(
        (task_blobs(t) == std::vector{t.work.data.tokens, *t.work.model.init, *t.companion}));
    BOOST_TEST(task_blob_bytes(t) ==
               100000 + 4 * *parameter_count(t.work.model) + task_companion_size_max_bytes);
    const auto note = sign_task(t, submitter);
    BOOST_REQUIRE_MESSAGE(note, note.error().message());
    const auto back = parse_task(note->encode());
    BOOST_REQUIRE_MESSAGE(back, back.error().message());
    BOOST_TEST((*back == t));
    t.work.model.init.reset();
    BOOST_TEST(recipe_id_of(t.work).hex() == recipe.hex());
}

BOOST_AUTO_TEST_CASE(signatures_of_others_change_neither_id_nor_validity) {
    auto note = *sign_task(example_task(submitter), submitter);
    const auto id = task_id_of(note);
    note.sign("somebody", example_key(9));
    note.sign(submitter_name, example_key(9));
    BOOST_TEST(parse_task(note).has_value());
    BOOST_TEST(task_id_of(note).hex() == id.hex());
}

BOOST_AUTO_TEST_CASE(unsigned_and_forged_tasks_are_refused) {
    const auto t = example_task(submitter);
    BOOST_TEST(parse_task(note_of(task_text(t), example_key(9))).error().is(errc::task_unsigned));
    BOOST_TEST(parse_task(base::signed_note{task_text(t), {}}).error().is(errc::task_unsigned));
    // Signed under another name, although by the right key.
    base::signed_note other_name{task_text(t), {}};
    other_name.sign("tequio/node", submitter);
    BOOST_TEST(parse_task(other_name).error().is(errc::task_unsigned));
    auto changed = *sign_task(t, submitter);
    changed.text = replaced(changed.text, "settle 3", "settle 4");
    BOOST_TEST(parse_task(changed).error().is(errc::task_unsigned));
    auto spoiled = *sign_task(t, submitter);
    spoiled.signatures.front().blob[5] ^= 1;
    BOOST_TEST(parse_task(spoiled).error().is(errc::task_unsigned));
}

BOOST_AUTO_TEST_CASE(other_forms_are_refused_even_when_signed) {
    const auto text = task_text(example_task(submitter));
    const auto recipe_hash = recipe_id_of(example_recipe()).hex();
    const std::vector<std::pair<std::string, std::string>> edits{
        {"tequio/task/v1", "tequio/task/v2"},
        {"readers swarm\n", "readers swarm\ncommand rm\n"},
        {"readers swarm\n", ""},
        {"readers swarm\nswarm", "swarm"},
        {"readers swarm", "readers nobody"},
        {"name webster", "name "},
        {"name webster", "name  webster"},
        {"name webster", "name \xff"},
        {"name webster",
         "name \xe2\x80\xae"
         "retsbew"},  // right-to-left override
        {"name webster", "name " + std::string(65, 'x')},
        {"purpose ", "purpose " + std::string(1024, 'x')},
        {"data_license GPL-2.0-or-later", "data_license <script>"},
        {"deadline 2026-11-30", "deadline 2026-11-23"},
        {"deadline 2026-11-30", "deadline 2028-11-30"},
        {"deadline 2026-11-30T", "deadline 2026-11-30 "},
        {"created 2026", "created 1926"},
        {"nonce 0011", "nonce 001"},
        {"nonce 0011", "nonce 00AA"},
        {"exactness exact/1:", "exactness exact/2:"},
        {"exactness exact/1:", "exactness exact/1"},
        {"base_license none", "base_license MIT"},
        {"base_license none", "base_license "},
        {"base_license none\n", ""},
        {"companion none\n", ""},
        {"companion none", "companion "},
        {"companion none", "companion " + std::string(64, 'a') + ":0"},
        {"companion none", "companion " + std::string(64, 'a') + ":67108865"},
        {"companion none", "companion " + std::string(64, 'A') + ":5"},
        {"companion none", "companion tokenizer.json"},
        {"trust.check 0.05", "trust.check 0.049"},
        {"trust.check 0.05", "trust.check 5e-2"},
        {"trust.check 0.05", "trust.check nan"},
        {"trust.settle 3", "trust.settle 0"},
        {"trust.settle 3", "trust.settle 18446744073709551616"},
        {"trust.crew_min 1", "trust.crew_min 65"},
        {"trust.accept swarm", "trust.accept all"},
        {"trust.accept swarm", "trust.accept "},
        {"trust.accept swarm", "trust.accept " + std::string(64, 'b') + "," + std::string(64, 'a')},
        {"trust.accept swarm", "trust.accept " + std::string(64, 'b') + "," + std::string(64, 'b')},
        {"keep.copies 3", "keep.copies 65"},
        {"keep.days 30", "keep.days 99999"},
        {"recipe " + recipe_hash, "recipe " + std::string(64, '0')},
        {"lanes 8", "lanes 7"},
        {"seed 1\n", "seed 1\n\n"},
        {"submitter tequio/submitter", "submitter tequio/somebody"},
    };
    for (const auto& [from, to] : edits) {
        const auto edited = replaced(text, from, to);
        BOOST_REQUIRE_MESSAGE(edited != text, from);
        const auto parsed = parse_task(note_of(edited));
        BOOST_REQUIRE_MESSAGE(!parsed, from << " -> " << to);
        BOOST_TEST((parsed.error().is(errc::bad_task) || parsed.error().is(errc::bad_recipe)),
                   from << " -> " << to << ": " << parsed.error().message());
        BOOST_TEST(!parsed.error().detail().empty());
    }
    BOOST_TEST(!parse_task(note_of(text + "more x\n")));
    for (std::size_t n = 1; n < text.size(); n += 11) {
        if (text[n] == '\n' && n + 1 == text.size()) break;
        BOOST_TEST(!parse_task(note_of(text.substr(0, n) + "\n")), n);
    }
}

BOOST_AUTO_TEST_CASE(absurd_sizes_are_refused_before_they_are_read) {
    const std::string big(task_size_max_bytes, 'x');
    BOOST_TEST(parse_task(big + "x").error().is(errc::task_too_large));
    BOOST_TEST(parse_task(base::signed_note{big + "\n", {}}).error().is(errc::task_too_large));
    BOOST_TEST(parse_task(big).error().is(errc::bad_task));
}

BOOST_AUTO_TEST_CASE(invalid_tasks_are_not_signed) {
    auto t = example_task(submitter);
    t.name = "two\nlines";
    BOOST_TEST(sign_task(t, submitter).error().is(errc::bad_task));
    t = example_task(submitter);
    t.work.train.codec = "mxfp6";
    BOOST_TEST(sign_task(t, submitter).error().is(errc::bad_recipe));
    t = example_task(submitter);
    t.trust.crew_min = 4;
    t.trust.crew_max = 3;
    BOOST_TEST(sign_task(t, submitter).error().is(errc::bad_task));
    // Beyond 64 a crew is in groups, for which a model with cuts has no teams.
    t.trust.crew_max = 1025;
    BOOST_TEST(sign_task(t, submitter).error().is(errc::bad_task));
    t.trust.crew_max = 1024;
    BOOST_TEST(sign_task(t, submitter).has_value());
    t.work.slices.cuts = {1};
    BOOST_TEST(sign_task(t, submitter).error().is(errc::bad_task));
    t.trust.crew_max = 64;
    BOOST_TEST(sign_task(t, submitter).has_value());
}

BOOST_AUTO_TEST_CASE(longest_list_of_accepted_nodes_fits) {
    auto t = example_task(submitter);
    for (std::size_t i = 0; i < task_accept_max; ++i) {
        base::node_id node;
        node.bytes[0] = static_cast<std::uint8_t>(i);
        t.trust.accept.push_back(node);
    }
    const auto note = sign_task(t, submitter);
    BOOST_REQUIRE(note);
    const auto back = parse_task(note->encode());
    BOOST_REQUIRE_MESSAGE(back, back.error().message());
    BOOST_TEST((*back == t));
    t.trust.accept.push_back(t.trust.accept.back());
    BOOST_TEST(!sign_task(t, submitter));
}

BOOST_AUTO_TEST_CASE(acceptable_here_and_now) {
    const auto t = example_task(submitter);
    BOOST_TEST(task_acceptable(t, circumstances_of(t), {}).has_value());
}

BOOST_AUTO_TEST_CASE(circumstances_refuse_by_name) {
    const auto t = example_task(submitter);
    struct row {
        errc code;
        std::function<void(task_circumstances&)> edit;
    };
    const std::vector<row> rows{
        {errc::task_wrong_swarm, [](auto& c) { c.swarm = {}; }},
        {errc::task_expired, [&](auto& c) { c.now = t.deadline; }},
        {errc::task_expired, [&](auto& c) { c.now.seconds = t.deadline.seconds + 1; }},
        {errc::task_from_future, [&](auto& c) { c.now.seconds = t.created.seconds - 901; }},
        {errc::task_replayed, [](auto& c) { c.known = true; }},
        {errc::task_exactness, [](auto& c) { c.exactness = "exact/1:0"; }},
    };
    for (const auto& row : rows) {
        auto here = circumstances_of(t);
        row.edit(here);
        const auto answer = task_acceptable(t, here, {});
        BOOST_REQUIRE(!answer);
        BOOST_TEST(answer.error().is(row.code), answer.error().message());
        BOOST_TEST(!answer.error().detail().empty());
    }
    auto here = circumstances_of(t);
    here.now.seconds = t.created.seconds - 900;
    BOOST_TEST(task_acceptable(t, here, {}).has_value());
}

BOOST_AUTO_TEST_CASE(policy_of_the_owner_refuses) {
    const auto t = example_task(submitter);
    const auto here = circumstances_of(t);
    const auto other = example_key(9).public_part();
    const auto parameters = parameter_count(t.work.model).value();
    struct row {
        bool accepted;
        std::function<void(task_policy&)> edit;
    };
    const std::vector<row> rows{
        {false,
         [&](task_policy& p) {
             p.blocked = {other, t.submitter};
         }},
        {true, [&](task_policy& p) { p.blocked = {other}; }},
        {false, [&](task_policy& p) { p.submitters = {other}; }},
        {true,
         [&](task_policy& p) {
             p.submitters = {other, t.submitter};
         }},
        {false, [](task_policy& p) { p.licenses = {"GPL-2.0-or-later"}; }},
        {true,
         [](task_policy& p) {
             p.licenses = {"MIT OR Apache-2.0", "GPL-2.0-or-later"};
         }},
        {false, [&](task_policy& p) { p.max_parameters = parameters - 1; }},
        {true, [&](task_policy& p) { p.max_parameters = parameters; }},
        {false, [](task_policy& p) { p.max_data_bytes = 99999; }},
        {true, [](task_policy& p) { p.max_data_bytes = 100000; }},
    };
    for (std::size_t i = 0; i < rows.size(); ++i) {
        task_policy policy;
        rows[i].edit(policy);
        const auto answer = task_acceptable(t, here, policy);
        BOOST_TEST(answer.has_value() == rows[i].accepted, "row " << i);
        if (!answer) BOOST_TEST(answer.error().is(errc::refused_by_policy));
    }
}

BOOST_AUTO_TEST_CASE(owner_counts_all_blobs_of_a_task) {
    auto t = example_task(submitter);
    t.companion = {base::sha256("a tokenizer"), 500};
    task_policy policy;
    policy.max_data_bytes = 100499;
    BOOST_TEST(task_acceptable(t, circumstances_of(t), policy).error().is(errc::refused_by_policy));
    policy.max_data_bytes = 100500;
    BOOST_TEST(task_acceptable(t, circumstances_of(t), policy).has_value());
}

BOOST_AUTO_TEST_CASE(cancellation_counts_from_the_submitter_alone) {
    const auto t = example_task(submitter);
    const cancellation c{task_id_of(t), submitter.public_part(), t.created, "changed my mind"};
    const auto back = parse_cancellation(sign_cancellation(c, submitter));
    BOOST_REQUIRE_MESSAGE(back, back.error().message());
    BOOST_TEST((*back == c));
    BOOST_TEST(cancels(*back, t).has_value());
    const auto stranger = example_key(9);
    const cancellation forged{c.task, stranger.public_part(), c.created, ""};
    const auto read = parse_cancellation(sign_cancellation(forged, stranger));
    BOOST_REQUIRE(read);
    BOOST_TEST(cancels(*read, t).error().is(errc::task_unsigned));
    auto other = t;
    other.nonce = std::string(32, 'f');
    BOOST_TEST(!cancels(c, other));
}

BOOST_AUTO_TEST_CASE(malformed_cancellations_are_refused) {
    const auto t = example_task(submitter);
    const cancellation c{task_id_of(t), submitter.public_part(), t.created, "why"};
    const auto text = cancellation_text(c);
    BOOST_TEST(parse_cancellation(note_of(text, example_key(9))).error().is(errc::task_unsigned));
    BOOST_TEST(!parse_cancellation(note_of(text + "x\n")));
    BOOST_TEST(!parse_cancellation(note_of(replaced(text, "cancel/v1", "task/v1"))));
    BOOST_TEST(!parse_cancellation(note_of(replaced(text, "reason why", "reason \xff"))));
    BOOST_TEST(!parse_cancellation(note_of(replaced(text, "created 2026", "created 20x6"))));
    // A task can never be taken for a cancellation, nor the other way round.
    BOOST_TEST(!parse_cancellation(*sign_task(t, submitter)));
    BOOST_TEST(!parse_task(sign_cancellation(c, submitter)));
}

BOOST_AUTO_TEST_SUITE_END()
