// Round trips, naive twins, and decoders under spoiled input. rapidcheck prints its seed; repeat a
// run with RC_PARAMS="seed=N".

#include <rapidcheck.h>

#include <boost/test/unit_test.hpp>
#include <map>

#include "base/blob.hpp"
#include "base/rng.hpp"
#include "base/sha256.hpp"
#include "base/signed_note.hpp"
#include "base/text.hpp"

using namespace tequio::base;

namespace {

std::vector<digest> some_leaves(std::size_t n) {
    std::vector<digest> out;
    for (std::size_t i = 0; i < n; ++i) out.push_back(sha256("leaf " + std::to_string(i)));
    return out;
}

/// RFC 6962 section 2.1, level by level instead of by recursion.
digest root_by_levels(std::vector<digest> level) {
    if (level.empty()) return sha256(std::string_view());
    while (level.size() > 1) {
        std::vector<digest> above;
        for (std::size_t i = 0; i < level.size(); i += 2) {
            above.push_back(i + 1 < level.size() ? merkle_node(level[i], level[i + 1]) : level[i]);
        }
        level = std::move(above);
    }
    return level[0];
}

std::string spoil(std::string text) {
    const auto n = *rc::gen::inRange(1, 4);
    for (int i = 0; i < n && !text.empty(); ++i) {
        const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
        switch (*rc::gen::inRange(0, 3)) {
            case 0:
                text[at] = static_cast<char>(*rc::gen::inRange(0, 256));
                break;
            case 1:
                text.erase(at, 1);
                break;
            default:
                text.insert(at, 1, static_cast<char>(*rc::gen::inRange(0, 128)));
        }
    }
    return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_leaf_of_every_small_tree_has_a_path_and_no_other_leaf_fits) {
    for (std::size_t n = 1; n <= 70; ++n) {
        const auto leaves = some_leaves(n);
        const auto root = merkle_root(leaves);
        BOOST_REQUIRE((root == root_by_levels(leaves)));
        for (std::size_t i = 0; i < n; ++i) {
            auto path = merkle_path(leaves, i);
            BOOST_REQUIRE(merkle_path_verifies(root, leaves[i], i, n, path));
            // Another index fits only when the tree does not tell them apart: never.
            for (std::size_t j = 0; j < n; ++j) {
                if (j != i) BOOST_REQUIRE(!merkle_path_verifies(root, leaves[i], j, n, path));
            }
            BOOST_REQUIRE(!merkle_path_verifies(root, sha256("other"), i, n, path));
            BOOST_REQUIRE(!merkle_path_verifies(root, leaves[i], n, n, path));
            path.push_back(digest{});
            BOOST_REQUIRE(!merkle_path_verifies(root, leaves[i], i, n, path));
            path.resize(path.size() - 1);
            if (!path.empty()) {
                path.pop_back();
                BOOST_REQUIRE(!merkle_path_verifies(root, leaves[i], i, n, path));
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(hex_and_base64_come_back) {
    BOOST_TEST(rc::check("hex and base64 come back", [](const byte_vector& bytes) {
        RC_ASSERT(*from_hex(to_hex(bytes)) == bytes);
        RC_ASSERT(*from_base64(to_base64(bytes)) == bytes);
        const auto other = spoil(to_base64(bytes));
        if (const auto decoded = from_base64(other)) RC_ASSERT(to_base64(*decoded) == other);
        const auto hex = spoil(to_hex(bytes));
        if (const auto decoded = from_hex(hex)) RC_ASSERT(to_hex(*decoded) == hex);
    }));
}

BOOST_AUTO_TEST_CASE(integers_have_one_text) {
    BOOST_TEST(rc::check("integers", [] {
        const auto u = *rc::gen::arbitrary<std::uint64_t>() >> *rc::gen::inRange(0, 64);
        RC_ASSERT(*parse_u64(std::to_string(u)) == u);
        const auto i = static_cast<std::int64_t>(u);
        RC_ASSERT(*parse_i64(std::to_string(i)) == i);
        const auto text = spoil(std::to_string(i));
        if (const auto v = parse_i64(text)) RC_ASSERT(std::to_string(*v) == text);
        if (const auto v = parse_u64(text)) RC_ASSERT(std::to_string(*v) == text);
    }));
}

BOOST_AUTO_TEST_CASE(reals_come_back_to_the_bit) {
    BOOST_TEST(rc::check("reals", [](std::uint64_t bits) {
        const auto v = std::bit_cast<double>(bits);
        if (v - v != 0) return;  // not finite
        const auto back = parse_real(shortest(v));
        RC_ASSERT(back.has_value());
        RC_ASSERT(std::bit_cast<std::uint64_t>(*back) == bits);
    }));
}

BOOST_AUTO_TEST_CASE(times_have_one_text) {
    BOOST_TEST(rc::check("times", [] {
        const unix_time t{*rc::gen::inRange<std::int64_t>(0, 253402300800)};
        RC_ASSERT(*from_rfc3339(to_rfc3339(t)) == t);
        const auto text = spoil(to_rfc3339(t));
        if (const auto v = from_rfc3339(text)) RC_ASSERT(to_rfc3339(*v) == text);
    }));
}

BOOST_AUTO_TEST_CASE(layout_comes_back_and_short_input_is_reported) {
    BOOST_TEST(rc::check("layout", [](std::uint8_t a, std::uint16_t b, std::uint32_t c,
                                      std::uint64_t d, const byte_vector& e) {
        byte_vector out;
        byte_writer w(out);
        w.u8(a), w.u16(b), w.u32(c), w.u64(d), w.raw(e);
        RC_ASSERT(out.size() == 15 + e.size());
        byte_reader r(out);
        RC_ASSERT(r.u8() == a && r.u16() == b && r.u32() == c && r.u64() == d);
        const auto rest = r.raw(e.size());
        RC_ASSERT(byte_vector(rest.begin(), rest.end()) == e);
        RC_ASSERT(r.at_end() && !r.failed());
        byte_reader cut(byte_view(out).first(*rc::gen::inRange<std::size_t>(0, 15)));
        cut.u8(), cut.u16(), cut.u32(), cut.u64();
        RC_ASSERT(cut.failed());
    }));
}

BOOST_AUTO_TEST_CASE(signed_notes_come_back_and_spoiled_ones_do_not_verify) {
    BOOST_TEST(rc::check("signed notes", [](const std::vector<std::string>& lines) {
        signed_note note;
        for (const auto& line : lines) {
            for (const char c : line) note.text += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
            note.text += "\n";
        }
        note.text += "end\n";
        const auto key = signing_key::from_seed(sha256("key").bytes);
        note.sign("signer", key);
        const note_key verifier{"signer", key.public_part()};
        const auto encoded = note.encode();
        const auto back = parse_signed_note(encoded);
        RC_ASSERT(back.has_value());
        RC_ASSERT(back->text == note.text && back->encode() == encoded);
        RC_ASSERT(back->verify(verifier).has_value());
        const auto other = spoil(encoded);
        if (const auto p = parse_signed_note(other); p && other != encoded) {
            // The whole is what it was only if text and signature are.
            if (p->verify(verifier)) RC_ASSERT(p->text == note.text);
        }
    }));
}

BOOST_AUTO_TEST_CASE(blob_names_come_back) {
    BOOST_TEST(rc::check("blob names", [](const byte_vector& bytes) {
        const auto ref = blob_ref_of(bytes);
        RC_ASSERT(*parse_blob_ref(ref.text()) == ref);
        const auto text = spoil(ref.text());
        if (const auto v = parse_blob_ref(text)) RC_ASSERT(v->text() == text);
    }));
}

BOOST_AUTO_TEST_CASE(streams_split_by_name_are_uniform_and_uncorrelated) {
    rng root(20261123);
    constexpr int names = 64, n = 4096;
    std::vector<rng> streams;
    for (int i = 0; i < names; ++i) streams.push_back(root.split("component " + std::to_string(i)));
    // Bits of neighbouring streams agree half of the time; 6 sigma of 262,144 fair coins.
    for (int i = 0; i + 1 < names; ++i) {
        int agree = 0;
        for (int k = 0; k < n; ++k) {
            agree += 64 - std::popcount(streams[static_cast<std::size_t>(i)].next() ^
                                        streams[static_cast<std::size_t>(i + 1)].next());
        }
        BOOST_TEST(std::abs(agree - n * 32) < 6 * 256, "streams " << i << " and " << i + 1);
    }
    std::map<std::uint64_t, int> counts;
    for (int k = 0; k < 60000; ++k) ++counts[root.below(6)];
    for (const auto& [value, count] : counts) BOOST_TEST(std::abs(count - 10000) < 600);
}
