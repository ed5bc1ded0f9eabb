#include "base/bytes.hpp"

#include <boost/test/unit_test.hpp>

#include "base/ids.hpp"

using namespace tequio::base;

BOOST_AUTO_TEST_SUITE(bytes)

BOOST_AUTO_TEST_CASE(hex_is_lower_case_and_strict) {
    const byte_vector some{0x00, 0x0f, 0xa5, 0xff};
    BOOST_TEST(to_hex(some) == "000fa5ff");
    BOOST_TEST(*from_hex("000fa5ff") == some, boost::test_tools::per_element());
    BOOST_TEST(from_hex("")->empty());
    for (const auto* bad : {"0", "0F", "0g", " 0", "0x00", "00 "}) {
        const auto r = from_hex(bad);
        BOOST_REQUIRE_MESSAGE(!r, bad);
        BOOST_TEST(r.error().is(errc::bad_encoding));
    }
}

BOOST_AUTO_TEST_CASE(base64_gives_the_vectors_of_rfc_4648) {
    const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                           {"f", "Zg=="},
                                                           {"fo", "Zm8="},
                                                           {"foo", "Zm9v"},
                                                           {"foob", "Zm9vYg=="},
                                                           {"fooba", "Zm9vYmE="},
                                                           {"foobar", "Zm9vYmFy"}};
    for (const auto& [plain, coded] : vectors) {
        BOOST_TEST(to_base64(as_bytes(plain)) == coded);
        const auto back = from_base64(coded);
        BOOST_REQUIRE(back);
        BOOST_TEST(as_text(*back) == plain);
    }
}

BOOST_AUTO_TEST_CASE(base64_refuses_what_is_not_canonical) {
    // no padding, too much, set bits behind the end, foreign alphabet, spaces
    for (const auto* bad : {"Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm-v", "Zm9v\n", " Zm9v",
                            "Zm 9v", "=", "====", "Zg==Zg=="}) {
        const auto r = from_base64(bad);
        BOOST_REQUIRE_MESSAGE(!r, bad);
        BOOST_TEST(r.error().is(errc::bad_encoding));
    }
}

BOOST_AUTO_TEST_CASE(writer_is_little_endian_and_reader_reads_it_back) {
    byte_vector out;
    byte_writer w(out);
    w.u8(1);
    w.u16(0x0302);
    w.u32(0x07060504);
    w.u64(0x0f0e0d0c0b0a0908);
    w.f64(-2.5);
    w.raw(as_bytes("xy"));
    BOOST_TEST(to_hex(out) == "0102030405060708090a0b0c0d0e0f00000000000004c07879");
    byte_reader r(out);
    BOOST_TEST(r.u8() == 1);
    BOOST_TEST(r.u16() == 0x0302);
    BOOST_TEST(r.u32() == 0x07060504u);
    BOOST_TEST(r.u64() == 0x0f0e0d0c0b0a0908u);
    BOOST_TEST(r.f64() == -2.5);
    BOOST_TEST(as_text(r.raw(2)) == "xy");
    BOOST_TEST(r.at_end());
    BOOST_TEST(!r.failed());
}

BOOST_AUTO_TEST_CASE(reader_reports_a_read_past_the_end_and_gives_zero) {
    const byte_vector three{1, 2, 3};
    byte_reader r(three);
    BOOST_TEST(r.u32() == 0u);
    BOOST_TEST(r.failed());
    BOOST_TEST(r.u8() == 0);
    byte_reader huge(three);
    BOOST_TEST(huge.raw(~std::size_t{0}).empty());
    BOOST_TEST(huge.failed());
}

BOOST_AUTO_TEST_CASE(ids_are_parsed_whole_or_not_at_all) {
    const std::string hex(64, 'a');
    const auto id = parse_id<digest>(hex);
    BOOST_REQUIRE(id);
    BOOST_TEST(id->hex() == hex);
    BOOST_TEST(id->brief() == "aaaaaaaa");
    BOOST_TEST(!id->is_zero());
    BOOST_TEST(digest{}.is_zero());
    BOOST_TEST(!parse_id<digest>(hex.substr(2)));
    BOOST_TEST(!parse_id<digest>(hex + "aa"));
    BOOST_TEST(!parse_id<digest>(std::string(64, 'A')));
    BOOST_TEST(!id_from_bytes<digest>(byte_vector(31)));
    BOOST_TEST(id_from_bytes<digest>(byte_vector(32)).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
