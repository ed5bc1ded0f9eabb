#include <boost/test/unit_test.hpp>

#include "base/blob.hpp"
#include "base/sha256.hpp"

using namespace tequio::base;

namespace {

/// The eight leaves of the classic RFC 6962 vectors.
std::vector<digest> classic_leaves() {
    std::vector<digest> out;
    for (const auto* hex : {"", "00", "10", "2021", "3031", "40414243", "5051525354555657",
                            "606162636465666768696a6b6c6d6e6f"}) {
        out.push_back(merkle_leaf(*from_hex(hex)));
    }
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hashes)

BOOST_AUTO_TEST_CASE(sha256_gives_the_vectors_of_fips_180) {
    BOOST_TEST(sha256(std::string_view()).hex() ==
               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    BOOST_TEST(sha256("abc").hex() ==
               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_stream stream;
    for (int i = 0; i < 1000; ++i) stream.add(std::string(1000, 'a'));
    BOOST_TEST(stream.finish().hex() ==
               "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

BOOST_AUTO_TEST_CASE(merkle_roots_are_those_of_rfc_6962) {
    const auto leaves = classic_leaves();
    const char* starts[] = {"6e340b9c", "fac54203", "aeb6bcfe", "d37ee418",
                            "4e3bbb1f", "76e67dad", "ddb89be4", "5dc9da79"};
    for (std::size_t n = 1; n <= 8; ++n) {
        BOOST_TEST(merkle_root(std::span(leaves).first(n)).brief() == starts[n - 1]);
    }
    BOOST_TEST((merkle_root({}) == sha256(std::string_view())));
}

BOOST_AUTO_TEST_CASE(blobs_are_named_by_the_tree_over_their_pieces) {
    BOOST_TEST((blob_ref_of(byte_view()).root == merkle_leaf(byte_view())));
    BOOST_TEST(blob_ref_of(byte_view()).pieces() == 1);
    byte_vector bytes(piece_size_bytes + 1, 7);
    const auto ref = blob_ref_of(bytes);
    BOOST_TEST(ref.pieces() == 2);
    BOOST_TEST(ref.piece_size(0) == piece_size_bytes);
    BOOST_TEST(ref.piece_size(1) == 1);
    const byte_view view(bytes);
    BOOST_TEST((ref.root == merkle_node(merkle_leaf(view.first(piece_size_bytes)),
                                        merkle_leaf(view.subspan(piece_size_bytes)))));
    bytes.resize(piece_size_bytes);
    BOOST_TEST(blob_ref_of(bytes).pieces() == 1);
}

BOOST_AUTO_TEST_CASE(a_piece_verifies_only_in_its_place) {
    byte_vector bytes(3 * piece_size_bytes - 5);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i % 251);
    const auto leaves = blob_leaves(bytes);
    const auto ref = blob_ref_of(bytes);
    for (std::uint64_t i = 0; i < ref.pieces(); ++i) {
        const auto part = byte_view(bytes).subspan(i * piece_size_bytes, ref.piece_size(i));
        blob_piece piece{i, {part.begin(), part.end()}, merkle_path(leaves, i)};
        BOOST_TEST(piece_verifies(ref, piece));
        auto moved = piece;
        moved.index = (i + 1) % 3;
        BOOST_TEST(!piece_verifies(ref, moved));
        moved.index = ~std::uint64_t{0};
        BOOST_TEST(!piece_verifies(ref, moved));
        auto changed = piece;
        changed.bytes[0] ^= 1;
        BOOST_TEST(!piece_verifies(ref, changed));
        auto shorter = piece;
        shorter.bytes.pop_back();
        BOOST_TEST(!piece_verifies(ref, shorter));
        auto longer = piece;
        longer.path.push_back(digest{});
        BOOST_TEST(!piece_verifies(ref, longer));
    }
}

BOOST_AUTO_TEST_CASE(blob_names_have_one_text) {
    const auto ref = blob_ref_of(as_bytes("hello"));
    BOOST_TEST(ref.text() == ref.root.hex() + ":5");
    BOOST_TEST((*parse_blob_ref(ref.text()) == ref));
    const auto hex = ref.root.hex();
    for (const auto& bad : {hex, hex + ":", hex + ":05", hex + ":-1", hex.substr(1) + ":5",
                            hex + ":5:", std::string(":5"), std::string()}) {
        BOOST_TEST(!parse_blob_ref(bad).has_value(), bad);
    }
    const auto huge = parse_blob_ref(hex + ":1099511627777");
    BOOST_REQUIRE(!huge);
    BOOST_TEST(huge.error().is(errc::too_large));
}

BOOST_AUTO_TEST_SUITE_END()
