/// Identities, their certificates, and the files that hold them.

#include "p2p/identity.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "p2p/data_dir.hpp"
#include "tests/unit/p2p/temporary_folder.hpp"
#include "tests/unit/p2p/virtual_swarm.hpp"

using namespace tequio;
using namespace tequio::test;
namespace fs = std::filesystem;

namespace {

unsigned mode_of(const fs::path& file) {
    struct stat info {};
    BOOST_REQUIRE(::stat(file.c_str(), &info) == 0);
    return info.st_mode & 0777;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(identity)

BOOST_AUTO_TEST_CASE(every_role_has_a_key_of_its_own_certified_by_the_root) {
    const p2p::identity self(key_of(1));
    std::set<base::public_key> keys{self.root().public_part()};
    for (std::size_t i = 0; i < p2p::key_role_count; ++i) {
        const auto role = static_cast<p2p::key_role>(i);
        keys.insert(self.key(role).public_part());
        const auto read =
            p2p::verify_role_certificate(self.node(), role, self.certificate(role).encode());
        BOOST_REQUIRE(read);
        BOOST_TEST((read->key == self.key(role).public_part()));
    }
    BOOST_TEST(keys.size() == p2p::key_role_count + 1);
}

BOOST_AUTO_TEST_CASE(a_certificate_serves_one_node_and_one_role) {
    const p2p::identity self(key_of(1)), other(key_of(2));
    const auto encoded = self.certificate(p2p::key_role::session).encode();
    BOOST_TEST(encoded.size() == p2p::role_certificate_size);
    BOOST_TEST(!p2p::verify_role_certificate(other.node(), p2p::key_role::session, encoded));
    BOOST_TEST(!p2p::verify_role_certificate(self.node(), p2p::key_role::message, encoded));
    // The role's byte is not merely a label: it is signed.
    auto renamed = encoded;
    renamed[0] = static_cast<std::uint8_t>(p2p::key_role::message);
    BOOST_TEST(!p2p::verify_role_certificate(self.node(), p2p::key_role::message, renamed));
    for (std::size_t i = 0; i < encoded.size(); ++i) {
        auto changed = encoded;
        changed[i] ^= 0x10;
        const auto read =
            p2p::verify_role_certificate(self.node(), p2p::key_role::session, changed);
        BOOST_TEST(!read.has_value(), "byte " << i);
    }
}

BOOST_AUTO_TEST_CASE(is_made_once_and_kept) {
    temporary_folder folder;
    const auto data_dir = folder.path() / "new" / "data";
    const auto made = p2p::load_or_create_identity(data_dir);
    BOOST_REQUIRE(made);
    BOOST_TEST(mode_of(p2p::identity_file(data_dir)) == 0600u);
    BOOST_TEST(mode_of(data_dir) == 0700u);
    const auto again = p2p::load_or_create_identity(data_dir);
    BOOST_REQUIRE(again);
    BOOST_TEST(made->node().hex() == again->node().hex());
    // Nothing half-written is left.
    std::size_t files = 0;
    for (const auto& entry : fs::directory_iterator(data_dir)) files += entry.exists() ? 1 : 0;
    BOOST_TEST(files == 1u);
    temporary_folder elsewhere;
    BOOST_TEST(p2p::load_or_create_identity(elsewhere.path())->node().hex() != made->node().hex());
}

BOOST_AUTO_TEST_CASE(a_key_file_open_to_others_is_refused_with_what_to_type) {
    temporary_folder folder;
    BOOST_REQUIRE(p2p::load_or_create_identity(folder.path()));
    const auto file = p2p::identity_file(folder.path());
    for (const mode_t mode : {0640, 0604, 0620, 0666}) {
        BOOST_REQUIRE(::chmod(file.c_str(), mode) == 0);
        const auto read = p2p::load_or_create_identity(folder.path());
        BOOST_REQUIRE(!read);
        BOOST_TEST(read.error().is(p2p::errc::key_file_exposed));
        BOOST_TEST(read.error().message().find("chmod 600 '" + file.string() + "'") !=
                   std::string::npos);
    }
}

BOOST_AUTO_TEST_CASE(a_damaged_key_file_is_an_error_and_never_overwritten) {
    temporary_folder folder;
    BOOST_REQUIRE(p2p::load_or_create_identity(folder.path()));
    const auto file = p2p::identity_file(folder.path());
    const auto good = content_of(file);
    std::vector<std::string> damaged{"", "x", good + "x", good + "\n", "\n" + good};
    for (std::size_t n = 1; n < good.size(); n += 7) damaged.push_back(good.substr(0, n));
    for (std::size_t at : {5u, 25u, 60u, 100u, 150u}) {
        damaged.push_back(good);
        damaged.back()[at] ^= 1;
    }
    for (const auto& content : damaged) {
        write_file(file, content);
        const auto read = p2p::load_or_create_identity(folder.path());
        BOOST_REQUIRE(!read);
        BOOST_TEST(read.error().is(p2p::errc::bad_key_file));
        BOOST_TEST(read.error().message().find(file.string()) != std::string::npos);
        BOOST_TEST(content_of(file) == content);
    }
}

BOOST_AUTO_TEST_CASE(key_files_of_another_kind_are_refused) {
    temporary_folder folder;
    const auto file = folder.path() / "submitter.key";
    const auto made = p2p::load_or_create_key_file(file, "submitter");
    BOOST_REQUIRE(made);
    BOOST_TEST(p2p::load_key_file(file, "identity").error().is(p2p::errc::bad_key_file));
    BOOST_TEST(
        p2p::load_key_file(folder.path() / "none", "submitter").error().is(p2p::errc::not_found));
    BOOST_TEST(
        p2p::create_key_file(file, "submitter", key_of(3)).error().is(p2p::errc::bad_key_file));
    BOOST_TEST((p2p::load_key_file(file, "submitter")->public_part() == made->public_part()));
}

BOOST_AUTO_TEST_CASE(key_text_goes_out_and_comes_back) {
    const auto key = key_of(5);
    const auto text = p2p::key_text("identity", key);
    const auto read = p2p::parse_key_text(text, "identity");
    BOOST_REQUIRE(read);
    BOOST_TEST((read->public_part() == key.public_part()));
    BOOST_TEST(!p2p::parse_key_text(text, "submitter"));
}

BOOST_AUTO_TEST_CASE(one_process_holds_a_data_directory) {
    temporary_folder folder;
    const auto data_dir = folder.path() / "data";
    int ready[2], done[2];
    BOOST_REQUIRE(::pipe(ready) == 0 && ::pipe(done) == 0);
    const pid_t child = ::fork();
    BOOST_REQUIRE(child >= 0);
    char byte = 0;
    if (child == 0) {
        const auto lock = p2p::data_dir_lock::acquire(data_dir);
        byte = lock ? 'y' : 'n';
        (void)!::write(ready[1], &byte, 1);
        (void)!::read(done[0], &byte, 1);
        ::_exit(0);
    }
    BOOST_REQUIRE(::read(ready[0], &byte, 1) == 1);
    BOOST_TEST(byte == 'y');
    const auto second = p2p::data_dir_lock::acquire(data_dir);
    BOOST_REQUIRE(!second);
    BOOST_TEST(second.error().is(p2p::errc::data_dir_locked));
    const auto message = second.error().message();
    BOOST_TEST(message.find("process " + std::to_string(child)) != std::string::npos, message);
    BOOST_TEST(message.find(data_dir.string()) != std::string::npos, message);
    BOOST_REQUIRE(::write(done[1], "x", 1) == 1);
    BOOST_REQUIRE(::waitpid(child, nullptr, 0) == child);
    // The kernel let go of it.
    auto third = p2p::data_dir_lock::acquire(data_dir);
    BOOST_REQUIRE(third);
    const auto moved = std::move(*third);
    BOOST_TEST(!p2p::data_dir_lock::acquire(data_dir));
    for (const int fd : {ready[0], ready[1], done[0], done[1]}) ::close(fd);
}

BOOST_AUTO_TEST_SUITE_END()
