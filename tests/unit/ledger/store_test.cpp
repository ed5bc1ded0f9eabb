#include "ledger/store.hpp"

#include <sqlite3.h>

#include <boost/test/unit_test.hpp>
#include <fstream>

#include "ledger/verify.hpp"
#include "tests/unit/ledger/fixture.hpp"

using namespace tequio;
using namespace tequio::ledger;
using namespace tequio::ledger::testing;

namespace {

std::unique_ptr<store> open_store(const std::string& path, const identity& who = alice) {
    auto opened = store::open(path, who.owner(), noon);
    BOOST_REQUIRE_MESSAGE(opened, opened.error().message());
    return std::move(*opened);
}

append_note append_receipt(std::uint64_t lane) {
    return {signed_receipt(lane_facts(alice, bob, 0, lane), alice, bob).encode()};
}

std::vector<write_outcome> must_commit(store& s, std::vector<store_write> writes) {
    auto out = s.commit(writes);
    BOOST_REQUIRE_MESSAGE(out, out.error().message());
    return std::move(*out);
}

/// Runs SQL as an outsider would; the message on failure.
std::string run_sql(const std::string& path, const std::string& sql) {
    sqlite3* db = nullptr;
    sqlite3_open(path.c_str(), &db);
    char* message = nullptr;
    sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &message);
    const std::string out = message ? message : "";
    sqlite3_free(message);
    sqlite3_close(db);
    return out;
}

template <class T>
std::string why(const base::result<T>& r) {
    return r ? "no failure" : r.error().message();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ledger_store)

BOOST_AUTO_TEST_CASE(keeps_what_it_acknowledged_when_opened_again) {
    const scratch_folder folder;
    const auto path = folder.file("ledger.db");
    {
        auto s = open_store(path);
        BOOST_TEST(s->size() == 1);
        const auto out = must_commit(*s, {append_receipt(0), append_receipt(1)});
        BOOST_TEST(out.at(1).index->value == 2);
        must_commit(*s, {append_receipt(2)});
    }
    auto s = open_store(path);
    BOOST_TEST(s->size() == 4);
    must_commit(*s, {append_receipt(3)});
    auto reader = store_reader::open(path);
    BOOST_REQUIRE(reader);
    const auto entries = (*reader)->entries({});
    BOOST_REQUIRE(entries);
    BOOST_REQUIRE_EQUAL(entries->size(), 5);
    base::digest prev;
    for (const auto& e : *entries) {
        BOOST_TEST((e.prev == prev));
        prev = base::sha256(e.bytes());
    }
    BOOST_TEST(entries->at(4).note == append_receipt(3).note);
    const auto report = verify_store(path);
    BOOST_REQUIRE(report);
    BOOST_TEST(report->ok());
    BOOST_TEST(report->receipts == 4);
    BOOST_TEST((report->node == alice.node));
}

BOOST_AUTO_TEST_CASE(head_is_a_checkpoint_over_all_entries_in_both_places) {
    const scratch_folder folder;
    const auto path = folder.file("ledger.db");
    auto s = open_store(path);
    must_commit(*s, {append_receipt(0), append_receipt(1)});
    const auto note = base::parse_signed_note(s->head());
    BOOST_REQUIRE(note);
    BOOST_TEST(note->verify({checkpoint_origin(alice.node), alice.log->public_part()}).has_value());
    const auto head = parse_checkpoint(note->text);
    BOOST_REQUIRE(head);
    BOOST_TEST(head->size == 3);
    auto reader = store_reader::open(path);
    std::vector<base::digest> leaves;
    for (const auto& e : *(*reader)->entries({})) {
        leaves.push_back(base::merkle_leaf(base::as_bytes(e.bytes())));
    }
    BOOST_TEST((head->root == base::merkle_root(leaves)));
    BOOST_TEST(*(*reader)->head() == s->head());
    BOOST_TEST(*(*reader)->head_file() == s->head());
}

BOOST_AUTO_TEST_CASE(one_statement_stands_once) {
    const scratch_folder folder;
    auto s = open_store(folder.file("ledger.db"));
    auto other = lane_facts(alice, bob, 0, 0);
    other.verdict = receipt_verdict::refuted;
    const auto second = signed_receipt(other, alice, bob).encode();
    const auto out = must_commit(*s, {append_receipt(0), append_receipt(0), append_note{second}});
    BOOST_TEST((out[0].what == write_outcome::kind::written));
    BOOST_TEST((out[1].what == write_outcome::kind::existed));
    BOOST_TEST(out[1].standing == append_receipt(0).note);
    BOOST_TEST((out[2].what == write_outcome::kind::existed));
    BOOST_TEST(out[2].standing == append_receipt(0).note);
    BOOST_TEST(s->size() == 2);
}

BOOST_AUTO_TEST_CASE(offers_survive_until_answered_or_given_up) {
    const scratch_folder folder;
    const auto path = folder.file("ledger.db");
    const auto text = [](std::uint64_t lane) {
        return receipt_text(receipt_of(lane_facts(bob, alice, 0, lane), bob, alice));
    };
    {
        auto s = open_store(path);
        must_commit(
            *s, {keep_offer{text(0), {1, 2}}, keep_offer{text(1), {}}, keep_offer{text(2), {}}});
    }
    auto s = open_store(path);
    BOOST_TEST(s->open_offers()->size() == 3);
    const auto done = signed_receipt(lane_facts(bob, alice, 0, 0), bob, alice).encode();
    const auto silent = signed_unanswered(lane_facts(bob, alice, 0, 1), bob, alice).encode();
    must_commit(*s, {append_note{done}, append_note{silent}});
    const auto left = s->open_offers();
    BOOST_REQUIRE_EQUAL(left->size(), 1);
    BOOST_TEST(left->at(0).text == text(2));
    // Neither of the two may be offered again; the late receipt may still follow its silence.
    const auto late = signed_receipt(lane_facts(bob, alice, 0, 1), bob, alice).encode();
    const auto again = signed_unanswered(lane_facts(bob, alice, 0, 0), bob, alice).encode();
    const auto out = must_commit(*s, {keep_offer{text(0), {}}, keep_offer{text(1), {}},
                                      append_note{again}, append_note{late}});
    BOOST_TEST((out[0].what == write_outcome::kind::existed));
    BOOST_TEST((out[1].what == write_outcome::kind::existed));
    BOOST_TEST((out[2].what == write_outcome::kind::existed));
    BOOST_TEST((out[3].what == write_outcome::kind::written));
    BOOST_TEST(verify_store(path)->ok());
}

BOOST_AUTO_TEST_CASE(a_bad_note_leaves_the_whole_batch_unwritten) {
    const scratch_folder folder;
    auto s = open_store(folder.file("ledger.db"));
    const identity carol(3), dave(4);
    const auto foreign = signed_receipt(lane_facts(carol, dave), carol, dave).encode();
    for (const auto& bad : {std::string("nonsense"), foreign}) {
        const std::vector<store_write> writes{append_receipt(0), append_note{bad}};
        const auto out = s->commit(writes);
        BOOST_REQUIRE(!out);
        BOOST_TEST(out.error().is(errc::bad_receipt));
        BOOST_TEST(s->size() == 1);
    }
    must_commit(*s, {append_receipt(0)});
    BOOST_TEST(s->size() == 2);
}

BOOST_AUTO_TEST_CASE(entries_cannot_be_changed_or_deleted_by_plain_sql) {
    const scratch_folder folder;
    const auto path = folder.file("ledger.db");
    must_commit(*open_store(path), {append_receipt(0)});
    BOOST_TEST(run_sql(path, "UPDATE entry SET note = 'x'") == "entries never change");
    BOOST_TEST(run_sql(path, "DELETE FROM entry") == "entries are never deleted");
}

BOOST_AUTO_TEST_CASE(one_writer_at_a_time_and_readers_beside_it) {
    const scratch_folder folder;
    const auto path = folder.file("ledger.db");
    auto s = open_store(path);
    const auto second = store::open(path, alice.owner(), noon);
    BOOST_REQUIRE(!second);
    BOOST_TEST(second.error().is(errc::locked));
    auto reader = store_reader::open(path);
    BOOST_REQUIRE_MESSAGE(reader, why(reader));
    BOOST_TEST(*(*reader)->size() == 1);
    must_commit(*s, {append_receipt(0)});
    BOOST_TEST(*(*reader)->size() == 2);
    s.reset();
    BOOST_TEST(*(*reader)->size() == 2);
    BOOST_TEST(store::open(path, alice.owner(), noon).has_value());
}

BOOST_AUTO_TEST_CASE(refuses_newer_foreign_and_shortened_files_with_a_reason) {
    const scratch_folder folder;
    const auto path = folder.file("ledger.db");
    must_commit(*open_store(path), {append_receipt(0), append_receipt(1)});

    const auto stranger = store::open(path, bob.owner(), noon);
    BOOST_REQUIRE(!stranger);
    BOOST_TEST(stranger.error().is(errc::wrong_owner));

    BOOST_TEST(run_sql(path, "PRAGMA user_version = 2") == "");
    const auto newer = store::open(path, alice.owner(), noon);
    BOOST_REQUIRE(!newer);
    BOOST_TEST(newer.error().is(errc::newer_version));
    BOOST_TEST(why(newer).find("ledger format 2; this program reads up to 1") != std::string::npos);
    BOOST_TEST(!store_reader::open(path));
    BOOST_TEST(run_sql(path, "PRAGMA user_version = 1") == "");

    BOOST_TEST(run_sql(path, "DROP TRIGGER entry_never_goes; DELETE FROM entry WHERE idx = 2") ==
               "");
    const auto cut = store::open(path, alice.owner(), noon);
    BOOST_REQUIRE(!cut);
    BOOST_TEST(cut.error().is(errc::damaged));

    BOOST_TEST(store_reader::open(folder.file("nowhere.db")).error().is(errc::not_found));
}

BOOST_AUTO_TEST_CASE(refuses_to_go_on_from_an_old_backup) {
    namespace fs = std::filesystem;
    const scratch_folder folder;
    const auto path = folder.file("ledger.db");
    must_commit(*open_store(path), {append_receipt(0)});
    fs::copy_file(path, folder.file("backup"));
    must_commit(*open_store(path), {append_receipt(1)});
    fs::copy_file(folder.file("backup"), path, fs::copy_options::overwrite_existing);
    const auto old = store::open(path, alice.owner(), noon);
    BOOST_REQUIRE(!old);
    BOOST_TEST(old.error().is(errc::damaged));
    BOOST_TEST(why(old).find("it has 2 entries, but a head over 3 was signed") !=
               std::string::npos);
    fs::remove(path);
    const auto gone = store::open(path, alice.owner(), noon);
    BOOST_REQUIRE(!gone);
    BOOST_TEST(gone.error().is(errc::damaged));
}

BOOST_AUTO_TEST_CASE(goes_on_when_the_head_file_is_one_batch_behind) {
    const scratch_folder folder;
    const auto path = folder.file("ledger.db");
    must_commit(*open_store(path), {append_receipt(0)});
    std::filesystem::copy_file(path + ".head", folder.file("old"));
    must_commit(*open_store(path), {append_receipt(1)});
    std::filesystem::copy_file(folder.file("old"), path + ".head",
                               std::filesystem::copy_options::overwrite_existing);
    BOOST_TEST(verify_store(path)->ok());
    BOOST_TEST(open_store(path)->size() == 3);
}

BOOST_AUTO_TEST_CASE(reader_finds_by_task_round_and_lane_newest_last) {
    const scratch_folder folder;
    const auto path = folder.file("ledger.db");
    auto s = open_store(path);
    std::vector<store_write> writes;
    for (std::uint64_t round = 0; round < 3; ++round) {
        for (std::uint64_t lane = 0; lane < 4; ++lane) {
            writes.push_back(append_note{
                signed_receipt(lane_facts(alice, bob, round, lane), alice, bob).encode()});
        }
    }
    must_commit(*s, writes);
    auto reader = store_reader::open(path);
    const auto indices = [&](entry_query q) {
        std::vector<std::uint64_t> out;
        for (const auto& e : *(*reader)->entries(q)) out.push_back(e.index.value);
        return out;
    };
    entry_query q;
    q.task = lane_facts(alice, bob).task;
    BOOST_TEST(indices(q).size() == 12);
    q.round = base::round_index{1};
    BOOST_TEST(indices(q) == (std::vector<std::uint64_t>{5, 6, 7, 8}),
               boost::test_tools::per_element());
    q.lane = base::lane_index{2};
    BOOST_TEST(indices(q) == (std::vector<std::uint64_t>{7}), boost::test_tools::per_element());
    q = {};
    q.limit = 3;
    BOOST_TEST(indices(q) == (std::vector<std::uint64_t>{10, 11, 12}),
               boost::test_tools::per_element());
    q.task = base::task_id{};
    BOOST_TEST(indices(q).empty());
}

BOOST_AUTO_TEST_SUITE_END()
