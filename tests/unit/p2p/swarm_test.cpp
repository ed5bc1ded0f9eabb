/// Founding notes, invites, membership proofs, and where they are kept.

#include "p2p/swarm.hpp"

#include <sys/stat.h>

#include "p2p/data_dir.hpp"
#include "tests/unit/p2p/temporary_folder.hpp"
#include "tests/unit/p2p/virtual_swarm.hpp"

using namespace tequio;
using namespace tequio::test;

namespace {

constexpr base::unix_time founded{1'700'000'000};
const std::vector<p2p::address> somewhere{{"10.0.0.1", 47100}, {"example.org", 47100}};

p2p::membership make(p2p::admission who = p2p::admission::invited, const char* name = "physics") {
    const p2p::identity founder(key_of(1));
    auto made = p2p::found_swarm(name, who, founder, founded, base::sha256("entropy"));
    BOOST_REQUIRE(made);
    return *made;
}

std::string invite_line(const p2p::membership& swarm,
                        std::optional<base::unix_time> expires = std::nullopt) {
    const auto line = p2p::make_invite(swarm, {somewhere, expires, std::nullopt});
    BOOST_REQUIRE(line);
    return *line;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(swarm)

BOOST_AUTO_TEST_CASE(a_founding_note_says_what_it_was_given) {
    for (const auto who : {p2p::admission::invited, p2p::admission::open}) {
        const auto swarm = make(who);
        const auto read = p2p::parse_swarm_note(swarm.note);
        BOOST_REQUIRE(read);
        BOOST_TEST(read->name == "physics");
        BOOST_CHECK(read->admission == who);
        BOOST_TEST(read->created.seconds == founded.seconds);
        BOOST_REQUIRE(read->admins.size() == 1u);
        BOOST_TEST(read->admins[0].node.hex() == p2p::identity(key_of(1)).node().hex());
        // The note itself does not let anybody in when invites do.
        BOOST_TEST(swarm.note.find(base::to_hex(swarm.secret)) == std::string::npos);
    }
    BOOST_TEST(make().id.hex() != make(p2p::admission::open).id.hex());
}

BOOST_AUTO_TEST_CASE(impossible_names_are_refused) {
    const p2p::identity founder(key_of(1));
    for (const std::string& name : {std::string(), std::string(65, 'a'), std::string("a\nb"),
                                    std::string(" a"), std::string("a "), std::string("a\x7f")}) {
        BOOST_TEST(
            !p2p::found_swarm(name, p2p::admission::open, founder, founded, base::sha256("x")));
    }
}

BOOST_AUTO_TEST_CASE(a_changed_note_is_no_note) {
    const auto good = make().note;
    std::size_t accepted = 0;
    for (std::size_t i = 0; i < good.size(); ++i) {
        auto changed = good;
        changed[i] ^= 1;
        accepted += p2p::parse_swarm_note(changed) ? 1 : 0;
    }
    BOOST_TEST(accepted == 0u);
    for (std::size_t n = 0; n < good.size(); ++n) {
        BOOST_TEST(!p2p::parse_swarm_note(good.substr(0, n)));
    }
}

BOOST_AUTO_TEST_CASE(an_invite_lets_in) {
    const auto swarm = make();
    const auto line = invite_line(swarm);
    BOOST_TEST(line.starts_with("tequio-invite:1:"));
    BOOST_TEST(line.find_first_of(" \n+/=") == std::string::npos);
    const auto read = p2p::parse_invite("  " + line + "\n", founded);
    BOOST_REQUIRE(read);
    BOOST_TEST(read->swarm.id.hex() == swarm.id.hex());
    BOOST_TEST((read->swarm.secret == swarm.secret));
    BOOST_TEST((read->swarm.seeds == somewhere));
    BOOST_TEST(!read->expires.has_value());
}

BOOST_AUTO_TEST_CASE(an_invite_expires) {
    const auto line = invite_line(make(), base::unix_time{founded.seconds + 60});
    BOOST_TEST(p2p::parse_invite(line, {founded.seconds + 60}).has_value());
    const auto late = p2p::parse_invite(line, {founded.seconds + 61});
    BOOST_REQUIRE(!late);
    BOOST_TEST(late.error().is(p2p::errc::invite_expired));
    BOOST_TEST(late.error().message().find("2023-11-14T22:14:20Z") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(counted_uses_are_not_in_this_version) {
    const auto line = p2p::make_invite(make(), {somewhere, std::nullopt, 3});
    BOOST_REQUIRE(!line);
    BOOST_TEST(line.error().is(p2p::errc::not_in_this_version));
    BOOST_TEST(line.error().message().find("--uses") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_invite_needs_an_address) {
    BOOST_TEST(p2p::make_invite(make(), {}).error().is(p2p::errc::bad_invite));
}

BOOST_AUTO_TEST_CASE(a_damaged_invite_is_refused) {
    const auto line = invite_line(make());
    for (std::size_t n = 0; n < line.size(); n += 3) {
        BOOST_TEST(!p2p::parse_invite(line.substr(0, n), founded));
    }
    for (std::size_t i = 0; i < line.size(); ++i) {
        auto changed = line;
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        BOOST_TEST(!p2p::parse_invite(changed, founded), "character " << i);
    }
}

BOOST_AUTO_TEST_CASE(a_note_with_another_secret_is_no_membership) {
    const auto swarm = make();
    auto wrong = swarm.secret;
    wrong[31] ^= 1;
    BOOST_TEST(p2p::membership_of(swarm.note, wrong).error().is(p2p::errc::bad_invite));
    BOOST_TEST(p2p::membership_of(swarm.note, swarm.secret).has_value());
}

BOOST_AUTO_TEST_CASE(a_proof_fits_one_connection_side_node_and_swarm) {
    const auto swarm = make();
    const auto other = make(p2p::admission::invited, "chemistry");
    const auto node = p2p::identity(key_of(2)).node();
    const auto exporter = bytes_of(1, 32);
    using p2p::session_side;
    const auto proof = p2p::membership_proof(swarm, session_side::initiator, exporter, node);
    auto fits = [&](const p2p::membership& m, session_side side, const base::byte_vector& e,
                    const base::node_id& n) {
        return p2p::membership_proof_verifies(m, side, e, n, proof.view());
    };
    BOOST_TEST(fits(swarm, session_side::initiator, exporter, node));
    BOOST_TEST(!fits(other, session_side::initiator, exporter, node));
    BOOST_TEST(!fits(swarm, session_side::responder, exporter, node));
    BOOST_TEST(!fits(swarm, session_side::initiator, bytes_of(2, 32), node));
    BOOST_TEST(!fits(swarm, session_side::initiator, exporter, p2p::identity(key_of(3)).node()));
    BOOST_TEST(!p2p::membership_proof_verifies(swarm, session_side::initiator, exporter, node, {}));
}

BOOST_AUTO_TEST_CASE(memberships_are_kept_in_private_files) {
    temporary_folder folder;
    BOOST_TEST(p2p::load_memberships(folder.path())->empty());
    const auto swarm = make();
    BOOST_REQUIRE(p2p::store_membership(folder.path(), swarm));
    BOOST_REQUIRE(p2p::store_membership(folder.path(), swarm));
    BOOST_TEST((*p2p::load_memberships(folder.path()))[0].seeds.empty());
    // Joined again by a fresh invite: its addresses replace those of the old one.
    for (const std::vector<p2p::address>& seeds : {somewhere, {{"10.1.2.3", 47100}}}) {
        const auto line = p2p::make_invite(swarm, {seeds, {}, {}});
        BOOST_REQUIRE(
            p2p::store_membership(folder.path(), p2p::parse_invite(*line, founded)->swarm));
        BOOST_TEST(((*p2p::load_memberships(folder.path()))[0].seeds == seeds));
    }
    BOOST_REQUIRE(p2p::store_membership(folder.path(), make(p2p::admission::open, "chess")));
    const auto read = p2p::load_memberships(folder.path());
    BOOST_REQUIRE(read);
    BOOST_REQUIRE(read->size() == 2u);
    BOOST_TEST(((*read)[0].id == swarm.id || (*read)[1].id == swarm.id));
    const auto secret = folder.path() / "swarm" / (swarm.id.hex() + ".secret");
    struct stat info {};
    BOOST_REQUIRE(::stat(secret.c_str(), &info) == 0);
    BOOST_TEST((info.st_mode & 0777) == 0600u);
    ::chmod(secret.c_str(), 0644);
    BOOST_TEST(p2p::load_memberships(folder.path()).error().is(p2p::errc::key_file_exposed));
    ::chmod(secret.c_str(), 0600);
    BOOST_REQUIRE(p2p::remove_membership(folder.path(), swarm.id));
    BOOST_TEST(p2p::load_memberships(folder.path())->size() == 1u);
    BOOST_TEST(p2p::remove_membership(folder.path(), swarm.id).error().is(p2p::errc::not_found));
}

BOOST_AUTO_TEST_SUITE_END()
