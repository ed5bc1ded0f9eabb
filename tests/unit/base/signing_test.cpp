#include "base/signing.hpp"

#include <boost/test/unit_test.hpp>

#include "base/sha256.hpp"

using namespace tequio::base;

namespace {

signing_key key_from(std::string_view hex) {
    return signing_key::from_seed(parse_id<digest>(hex)->bytes);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(signatures)

BOOST_AUTO_TEST_CASE(are_those_of_rfc_8032) {
    struct vector {
        const char *seed, *key, *message, *signature;
    };
    const vector vectors[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
         "c"
         "f9b46bd25bf5f0595bbe24655141438e7a100b"},
        {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d"
         "0"
         "f11d8c387b2eaeb4302aeeb00d291612bb0c00"}};
    for (const auto& v : vectors) {
        const auto key = key_from(v.seed);
        BOOST_TEST(key.public_part().hex() == v.key);
        const auto message = *from_hex(v.message);
        const auto s = key.sign(message);
        BOOST_TEST(to_hex(s) == v.signature);
        BOOST_TEST(signature_verifies(key.public_part(), message, s));
    }
}

BOOST_AUTO_TEST_CASE(verify_for_their_key_message_and_bytes_only) {
    const auto key = key_from(sha256("one").hex()), other = key_from(sha256("two").hex());
    const auto message = as_bytes("words");
    const auto s = key.sign(message);
    BOOST_TEST(!signature_verifies(other.public_part(), message, s));
    BOOST_TEST(!signature_verifies(key.public_part(), as_bytes("wordz"), s));
    for (std::size_t i = 0; i < s.size(); ++i) {
        auto bad = s;
        bad[i] ^= 1;
        BOOST_TEST(!signature_verifies(key.public_part(), message, bad));
    }
    // The all-zero key is of low order: anything would verify under it.
    BOOST_TEST(!signature_verifies(public_key{}, message, signature{}));
}

BOOST_AUTO_TEST_CASE(each_role_has_a_key_of_its_own_that_follows_from_the_seed) {
    const auto root = key_from(sha256("root").hex());
    const auto log = root.derive("log");
    BOOST_TEST((log.public_part() == root.derive("log").public_part()));
    BOOST_TEST((log.public_part() != root.derive("message").public_part()));
    BOOST_TEST((log.public_part() != root.public_part()));
    // What the header says the seed is.
    const std::string zero(1, '\0');
    const auto seed =
        sha256("tequio/role/v1" + zero + "log" + zero + std::string(as_text(root.seed())));
    BOOST_TEST((signing_key::from_seed(seed.bytes).public_part() == log.public_part()));
}

BOOST_AUTO_TEST_CASE(moved_keys_still_sign_and_fresh_keys_differ) {
    auto key = signing_key::generate();
    const auto name = key.public_part();
    const auto moved = std::move(key);
    BOOST_TEST(signature_verifies(name, as_bytes("m"), moved.sign(as_bytes("m"))));
    BOOST_TEST((signing_key::generate().public_part() != name));
    BOOST_TEST(!signature_from_bytes(byte_vector(63)).has_value());
    BOOST_TEST(!signature_from_bytes(byte_vector(65)).has_value());
    BOOST_TEST(signature_from_bytes(byte_vector(64)).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
