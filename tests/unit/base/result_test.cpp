#include "base/result.hpp"

#include <boost/test/unit_test.hpp>

using namespace tequio::base;

namespace {

result<int> half(int n) {
    if (n % 2 != 0) return fail(errc::bad_encoding, std::to_string(n) + " is odd");
    return n / 2;
}

result<int> quarter(int n) {
    TEQUIO_TRY(const int h, half(n));
    TEQUIO_TRY(const int q, half(h));
    return q;
}

result<void> must_be_even(int n) {
    TEQUIO_CHECK([&]() -> result<void> {
        TEQUIO_TRY(const int h, half(n));
        (void)h;
        return {};
    }());
    return {};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(results)

BOOST_AUTO_TEST_CASE(carry_the_first_error_upwards) {
    BOOST_TEST(*quarter(12) == 3);
    const auto r = quarter(6);
    BOOST_REQUIRE(!r);
    BOOST_TEST(r.error().message() == "3 is odd");
    BOOST_TEST(r.error().is(errc::bad_encoding));
    BOOST_TEST(!r.error().is(errc::too_large));
    BOOST_TEST(must_be_even(4).has_value());
    BOOST_TEST(!must_be_even(5).has_value());
}

BOOST_AUTO_TEST_CASE(errors_say_where_and_fall_back_to_the_codes_message) {
    const auto e = fail(errc::too_large, "70 lanes");
    BOOST_TEST(e.at("job.toml:31").message() == "job.toml:31: 70 lanes");
    BOOST_TEST(e.at("job.toml:31").is(errc::too_large));
    BOOST_TEST(fail(errc::bad_signature, "").message() == "bad signature");
    BOOST_TEST(fail(errc::io_failure, "").at("x").message() == "x: input or output failed");
    BOOST_TEST(e.code().category().name() == "tequio.base");
}

BOOST_AUTO_TEST_SUITE_END()
