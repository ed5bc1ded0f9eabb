#include "base/signed_note.hpp"

#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/sha256.hpp"

using namespace tequio::base;

namespace {

const std::string dash = "\xE2\x80\x94 ";

// The worked example of the C2SP signed-note text and of Go's sumdb/note.
const std::string example_key =
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const std::string example_note =
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n\n" +
    dash +
    "PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6"
    "RyyBwJnAM=\n";

signing_key key_of(std::string_view name) {
    return signing_key::from_seed(sha256(name).bytes);
}

signed_note note_by(std::initializer_list<const char*> names) {
    signed_note note;
    note.text = "line one\n\nline two\n";
    for (const auto* name : names) note.sign(name, key_of(name));
    return note;
}

note_key verifier(const std::string& name) {
    return {name, key_of(name).public_part()};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(signed_notes)

BOOST_AUTO_TEST_CASE(the_specifications_example_verifies) {
    const auto key = parse_note_key(example_key);
    BOOST_REQUIRE_MESSAGE(key, key.error().message());
    BOOST_TEST(key->name == "PeterNeumann");
    BOOST_TEST(key->text() == example_key);
    const auto note = parse_signed_note(example_note);
    BOOST_REQUIRE(note);
    BOOST_TEST(note->verify(*key).has_value());
    BOOST_TEST(note->encode() == example_note);
}

BOOST_AUTO_TEST_CASE(the_last_empty_line_parts_text_from_signatures) {
    const auto note = note_by({"a", "b"});
    const auto back = parse_signed_note(note.encode());
    BOOST_REQUIRE(back);
    BOOST_TEST(back->text == "line one\n\nline two\n");
    BOOST_TEST((back->signatures == note.signatures));
    BOOST_TEST(back->verify(verifier("a")).has_value());
    BOOST_TEST(back->verify(verifier("b")).has_value());
}

BOOST_AUTO_TEST_CASE(unknown_signers_are_ignored_and_a_known_bad_one_rejects) {
    auto note = note_by({"a", "b"});
    BOOST_TEST(!note.verify(verifier("c")).has_value());
    BOOST_TEST(!note.has_signature_by(verifier("c")));
    note.signatures[1].blob[0] ^= 1;
    BOOST_TEST(note.verify(verifier("a")).has_value());
    BOOST_TEST(!note.verify(verifier("b")).has_value());
    // The same name with another key is an unknown signer.
    BOOST_TEST(!note.verify({"a", key_of("x").public_part()}).has_value());
    // A good and a bad line by one key: rejected.
    auto twice = note_by({"a", "a"});
    twice.signatures[1].blob[3] ^= 1;
    BOOST_TEST(!twice.verify(verifier("a")).has_value());
}

BOOST_AUTO_TEST_CASE(a_signature_of_a_type_we_do_not_know_is_carried_along) {
    auto note = note_by({"a"});
    // 76 bytes: an Ed25519 cosignature with its time.
    note.signatures.push_back({"witness", {1, 2, 3, 4}, byte_vector(72, 9)});
    const auto back = parse_signed_note(note.encode());
    BOOST_REQUIRE(back);
    BOOST_TEST(back->verify(verifier("a")).has_value());
    BOOST_TEST(back->encode() == note.encode());
}

BOOST_AUTO_TEST_CASE(at_least_sixteen_signatures_are_read_and_too_many_refused) {
    signed_note note;
    note.text = "t\n";
    for (int i = 0; i < 64; ++i) note.sign(std::string("n").append(std::to_string(i)), key_of("k"));
    BOOST_TEST(parse_signed_note(note.encode()).has_value());
    note.sign("n64", key_of("k"));
    const auto many = parse_signed_note(note.encode());
    BOOST_REQUIRE(!many);
    BOOST_TEST(many.error().is(errc::too_large));
}

BOOST_AUTO_TEST_CASE(malformed_notes_are_refused) {
    const auto good = note_by({"a"}).encode();
    const auto line = good.substr(good.find(dash));
    const auto refused = [](const std::string& text) {
        return !parse_signed_note(text).has_value();
    };
    BOOST_TEST(!refused("t\n\n" + line));
    BOOST_TEST(refused(""));
    BOOST_TEST(refused("t\n"));
    BOOST_TEST(refused("t\n\n"));
    BOOST_TEST(refused("\n\n" + line.substr(0, line.size() - 1)));  // no final newline
    BOOST_TEST(refused("t\n" + line));                              // no empty line
    BOOST_TEST(refused("t\x01\n\n" + line));
    BOOST_TEST(refused("t\r\n\n" + line));
    BOOST_TEST(refused("t\n\n" + line + "tail"));
    BOOST_TEST(refused("t\n\n- a " + line.substr(line.rfind(' ') + 1)));
    BOOST_TEST(refused("t\n\n" + dash + "a\n"));
    BOOST_TEST(refused("t\n\n" + dash + "a+b " + line.substr(line.rfind(' ') + 1)));
    BOOST_TEST(refused("t\n\n" + dash + "a AAAA\n"));
    BOOST_TEST(refused("t\n\n" + dash + "a AAAAAA\n"));
    // A name with a space of another script (U+2003).
    BOOST_TEST(refused("t\n\n" + dash + "a\xE2\x80\x83z " + line.substr(line.rfind(' ') + 1)));
    const auto large = parse_signed_note(std::string(note_size_max_bytes, 'x') + "\n\n" + line);
    BOOST_REQUIRE(!large);
    BOOST_TEST(large.error().is(errc::too_large));
}

BOOST_AUTO_TEST_CASE(verifier_keys_have_one_text) {
    const auto key = verifier("tequio/log");
    const auto text = key.text();
    BOOST_TEST((*parse_note_key(text) == key));
    auto wrong_id = text;
    wrong_id[11] = wrong_id[11] == '0' ? '1' : '0';
    for (const auto& bad : {wrong_id, text + "=", text.substr(1), std::string("a+b"),
                            std::string("+00000000+AAAA"), std::string()}) {
        BOOST_TEST(!parse_note_key(bad).has_value(), bad);
    }
}

BOOST_AUTO_TEST_CASE(a_note_with_two_texts_cannot_be_made_of_one_signature) {
    // Moving the border between text and signatures changes what is signed.
    const auto note = note_by({"a"});
    auto moved = *parse_signed_note(note.encode());
    moved.text = "line one\n";
    BOOST_TEST(!moved.verify(verifier("a")).has_value());
}

BOOST_AUTO_TEST_CASE(openssl_verifies_what_we_sign) {
    if (std::system("openssl version > /dev/null 2>&1") != 0) {
        BOOST_TEST_MESSAGE("skipped: no openssl program here");
        return;
    }
    namespace fs = std::filesystem;
    auto folder = (fs::temp_directory_path() / "tequio-note-XXXXXX").string();
    BOOST_REQUIRE(::mkdtemp(folder.data()) != nullptr);
    const auto write = [&](const char* name, std::string_view content) {
        std::ofstream(fs::path(folder) / name, std::ios::binary) << content;
    };
    const auto note = note_by({"a"});
    // SubjectPublicKeyInfo of an Ed25519 key (RFC 8410).
    auto der = *from_hex("302a300506032b6570032100");
    const auto key = verifier("a").key;
    der.insert(der.end(), key.bytes.begin(), key.bytes.end());
    write("key.pem",
          "-----BEGIN PUBLIC KEY-----\n" + to_base64(der) + "\n-----END PUBLIC KEY-----\n");
    write("text", note.text);
    write("signature", as_text(note.signatures[0].blob));
    const auto verify = "cd " + folder +
                        " && openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in text "
                        "-sigfile signature > /dev/null 2>&1";
    BOOST_TEST(std::system(verify.c_str()) == 0);
    write("text", note.text + "more\n");
    BOOST_TEST(std::system(verify.c_str()) != 0);
    fs::remove_all(folder);
}

BOOST_AUTO_TEST_SUITE_END()
