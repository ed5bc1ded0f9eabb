#include "training/data/json_walk.hpp"

#include <boost/test/unit_test.hpp>
#include <vector>

#include "training/errc.hpp"

namespace tequio::training {
namespace {

/// Writes down what it is told.
struct notebook final : json_visitor {
    std::string notes;
    std::string refuses;
    base::result<void> value(std::span<const std::string> path, json_kind kind,
                             std::string_view text) override {
        static constexpr const char* names[] = {"null", "bool", "number", "text", "[", "{"};
        for (const auto& key : path) notes += key + ".";
        notes += std::string(names[static_cast<int>(kind)]) + std::string(text) + " ";
        if (!refuses.empty() && text == refuses) return fail(errc::bad_data, "refused");
        return {};
    }
};

std::string notes_of(const std::string& text) {
    notebook book;
    const auto done = walk_json(text, {}, book);
    return done ? book.notes : "error";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(json_walk)

BOOST_AUTO_TEST_CASE(values_come_in_order_with_their_paths) {
    BOOST_TEST(notes_of(R"( {"a": [1, -2.5e3, "x\ny"], "b": {"c": {}, "d": null}, "e": true} )") ==
               "{ a.[ a.number1 a.number-2.5e3 a.textx\ny b.{ b.c.{ b.d.null e.booltrue ");
    BOOST_TEST(notes_of("18446744073709551616") == "number18446744073709551616 ");
    BOOST_TEST(notes_of("[[],[[3]]]") == "[ [ [ [ number3 ");
    BOOST_TEST(notes_of(R"({"a":{"x":1},"b":{"x":2}})") == "{ a.{ a.x.number1 b.{ b.x.number2 ");
}

BOOST_AUTO_TEST_CASE(what_is_no_json_or_has_a_key_twice_is_refused) {
    for (const std::string text :
         {"", " ", "{", "[1,]", "{\"a\"}", "1 2", "nul", "NaN", "// x\n1", "\"\xff\"", "\"\x01\"",
          "{\"a\":1,\"a\":2}", "[{\"a\":1,\"b\":{\"a\":1},\"a\":2}]"}) {
        BOOST_TEST(notes_of(text) == "error", text);
    }
}

BOOST_AUTO_TEST_CASE(limits_hold) {
    const auto walks = [](const std::string& text, const json_limits& limits) {
        notebook book;
        return walk_json(text, limits, book).has_value();
    };
    BOOST_TEST(walks("[[[1]]]", {.depth = 3}));
    BOOST_TEST(!walks("[[[[1]]]]", {.depth = 3}));
    BOOST_TEST(!walks(std::string(1000000, '['), {}));
    BOOST_TEST(!walks(std::string(1000000, '{'), {}));
    BOOST_TEST(walks(R"({"a":{"b":1}})", {.members = 2}));
    BOOST_TEST(!walks(R"({"a":{"b":1}})", {.members = 1}));
    BOOST_TEST(walks(R"({"abc":1})", {.key_bytes = 3}));
    BOOST_TEST(!walks(R"({"abcd":1})", {.key_bytes = 3}));
    BOOST_TEST(walks(R"(["abc", 123])", {.text_bytes = 3}));
    BOOST_TEST(!walks(R"(["abcd"])", {.text_bytes = 3}));
    BOOST_TEST(!walks("[1234]", {.text_bytes = 3}));
}

BOOST_AUTO_TEST_CASE(a_visitor_ends_the_walk_with_its_own_error) {
    notebook book;
    book.refuses = "2";
    const auto done = walk_json("[1,2,3]", {}, book);
    BOOST_REQUIRE(!done);
    BOOST_TEST(done.error().is(errc::bad_data));
    BOOST_TEST(book.notes == "[ number1 number2 ");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
