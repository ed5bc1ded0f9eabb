#include "training/examples.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <limits>

#include "training/errc.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

struct named_file {
    const char* name;
    std::string text;
};

base::result<example_data> made_examples(const std::vector<named_file>& files,
                                         const example_options& options = {}) {
    std::vector<source_file> sources;
    for (const auto& f : files) sources.push_back({f.name, base::as_bytes(f.text)});
    return read_examples(sources, options);
}

void refuses_examples(const std::vector<named_file>& files, std::string_view words,
                      const example_options& options = {}, errc code = errc::bad_data) {
    const auto data = made_examples(files, options);
    BOOST_REQUIRE_MESSAGE(!data, "accepted, wanted: " << words);
    BOOST_TEST(data.error().message().find(words) != std::string::npos,
               data.error().message() << "; wanted: " << words);
    BOOST_TEST(data.error().is(code), data.error().message());
}

std::string idx(std::initializer_list<std::uint32_t> dimensions, std::string_view bytes,
                std::uint8_t type = 8) {
    std::string out("\0\0", 2);
    out += static_cast<char>(type);
    out += static_cast<char>(dimensions.size());
    for (const auto d : dimensions) {
        for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(d >> shift);
    }
    return out += bytes;
}

/// A blob taken apart.
struct parts {
    std::vector<float> shifts, factors, values;
    std::vector<std::uint32_t> labels;
};

parts parts_of(const example_data& data) {
    parts out;
    base::byte_reader in(data.blob);
    const auto real = [&] { return std::bit_cast<float>(in.u32()); };
    for (std::uint64_t i = 0; i < data.inputs; ++i) out.shifts.push_back(real());
    for (std::uint64_t i = 0; i < data.inputs; ++i) out.factors.push_back(real());
    for (std::uint64_t e = 0; e < data.examples; ++e) {
        out.labels.push_back(in.u32());
        for (std::uint64_t i = 0; i < data.inputs; ++i) {
            out.values.push_back(data.value_bytes == 1 ? static_cast<float>(in.u8()) : real());
        }
    }
    BOOST_TEST(!in.failed());
    BOOST_TEST(in.at_end());
    return out;
}

example_options ordered(double validation = 0) {
    example_options out;
    out.shuffle = false;
    out.validation_share = validation;
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(examples_test)

BOOST_AUTO_TEST_CASE(idx_pairs_are_read_in_either_order) {
    const auto images = idx({3, 1, 2}, "\x01\x02\x03\x04\x05\xff");
    const auto labels = idx({3}, std::string("\x02\0\x01", 3));
    const auto data = made_examples(
        {{"i-ubyte", images}, {"l-ubyte", labels}, {"l.idx", labels}, {"i.idx", images}},
        ordered(0.4));
    BOOST_REQUIRE_MESSAGE(data, data.error().message());
    BOOST_TEST(data->examples == 6);
    BOOST_TEST(data->validation == 2);
    BOOST_TEST(data->inputs == 2);
    BOOST_TEST(data->classes == 3);
    BOOST_TEST(data->value_bytes == 1);
    BOOST_TEST((data->class_names == std::vector<std::string>{"0", "1", "2"}));
    BOOST_TEST((data->ref == base::blob_ref_of(data->blob)));
    BOOST_TEST(data->blob.size() == example_head_bytes(2) + 6 * example_bytes(2, 1));
    BOOST_TEST((config_of(*data) == data_config{data->ref, 1, 6, 2}));
    const auto p = parts_of(*data);
    BOOST_TEST((p.shifts == std::vector<float>{0, 0}));
    BOOST_TEST((p.factors == std::vector<float>{1.0F / 255.0F, 1.0F / 255.0F}));
    BOOST_TEST((p.labels == std::vector<std::uint32_t>{2, 0, 1, 2, 0, 1}));
    BOOST_TEST((p.values == std::vector<float>{1, 2, 3, 4, 5, 255, 1, 2, 3, 4, 5, 255}));
}

BOOST_AUTO_TEST_CASE(idx_files_that_lie_are_refused) {
    const auto images = idx({2, 1, 2}, "abcd");
    const auto labels = idx({2}, std::string("\0\x01", 2));
    const auto with_images = [&](const std::string& bytes, std::string_view words,
                                 errc code = errc::bad_data) {
        refuses_examples({{"i.idx", bytes}, {"l.idx", labels}}, words, {}, code);
    };
    with_images(idx({3, 1, 2}, "abcd"), "i.idx: found a header that says 3 times 2 bytes before 4");
    with_images(idx({2, 1, 2}, "abcde"), "before 5");
    with_images(idx({0, 1, 2}, ""), "says 0 times 2");
    with_images(idx({0xffffffff, 0xffff, 0xffff}, "abcd"), "i.idx: found examples of 4294836225");
    with_images(idx({0xffffffff, 1, 1}, "abcd"), "says 4294967295 times 1");
    with_images(idx({2, 0, 2}, "abcd"), "found examples of 0 values");
    with_images(idx({2, 65536, 65536, 65536}, ""), "values or more, allowed: 1 to 65536");
    with_images(std::string("\0\0\x08\xff", 4) + "abc", "255 dimensions in 7 bytes");
    with_images(std::string("\0\0\x08\0", 4), "0 dimensions");
    with_images(std::string("\0\0", 2), "another start");
    with_images("text", "another start");
    with_images("\x1f\x8b\x08 packed", "a gzip file, allowed: an idx file; unpack it with `gunzip");
    with_images(idx({2, 1, 2}, "abcd", 0x0d), "found floats, allowed: unsigned bytes",
                errc::not_in_version);
    with_images(idx({3, 1, 2}, "abcdef"), "l.idx: found 2 labels for the 3 examples of \"i.idx\"");
    refuses_examples({{"i.idx", images}, {"j.idx", images}},
                     "j.idx: found examples beside the examples");
    refuses_examples({{"l.idx", labels}, {"m.idx", labels}},
                     "m.idx: found labels beside the labels");
    refuses_examples({{"i.idx", images}}, "found 1 idx files, allowed: pairs");
    refuses_examples(
        {{"i.idx", images}, {"l.idx", labels}, {"j.idx", idx({2, 1}, "ab")}, {"m.idx", labels}},
        "j.idx: found examples of 1 values, allowed: 2, as in the files before");
    refuses_examples({{"i.idx", images}, {"l.idx", idx({2}, std::string(2, '\0'))}},
                     "found one class");
    refuses_examples({{"i.idx", images}, {"l.csv", "1,2"}}, "one job trains on one kind");
    refuses_examples({{"i.idx", ""}, {"l.idx", labels}}, "\"i.idx\" is empty");
    refuses_examples({}, "no file");
}

BOOST_AUTO_TEST_CASE(csv_is_read_as_rfc_4180_has_it) {
    const auto data = made_examples({{"d.csv",
                                      "\xef\xbb\xbfwidth,\"the \"\"height\"\"\",kind\r\n"
                                      "1,-2.5,b\r\n\r\n\" 3 \",4e0,\"a\nb, ok\"\r\n +5 ,6,b"}},
                                    ordered());
    // A label with a line end is no class; the same file without it is.
    BOOST_REQUIRE(!data);
    BOOST_TEST(data.error().message().starts_with("d.csv:4:3: found \"a?b, ok\""),
               data.error().message());
    const auto good = made_examples({{"d.csv",
                                      "width,\"the \"\"height\"\"\",kind\r\n"
                                      "1,-2.5,b\r\n\r\n\" 3 \",4e0,\"a, ok\"\r\n +5 ,6,b\r"}},
                                    ordered());
    BOOST_REQUIRE_MESSAGE(good, good.error().message());
    BOOST_TEST((good->input_names == std::vector<std::string>{"width", "the \"height\""}));
    BOOST_TEST((good->class_names == std::vector<std::string>{"a, ok", "b"}));
    const auto p = parts_of(*good);
    BOOST_TEST((p.values == std::vector<float>{1, -2.5, 3, 4, 5, 6}));
    BOOST_TEST((p.labels == std::vector<std::uint32_t>{1, 0, 1}));
    BOOST_TEST(good->value_bytes == 4);
    BOOST_TEST(good->blob.size() == example_head_bytes(2) + 3 * example_bytes(2, 4));
}

BOOST_AUTO_TEST_CASE(csv_headers_are_found_or_declared) {
    auto options = ordered();
    // A label is no number, yet this is an example.
    BOOST_TEST(made_examples({{"d.csv", "1,2,a\n3,4,b\n"}}, options)->examples == 2);
    BOOST_TEST(made_examples({{"d.csv", "x,y,kind\n3,4,b\n5,6,a\n"}}, options)->examples == 2);
    options.header = true;
    BOOST_TEST(made_examples({{"d.csv", "1,2,a\n3,4,b\n5,6,c\n"}}, options)->examples == 2);
    options.header = false;
    refuses_examples({{"d.csv", "x,y,kind\n3,4,b\n"}}, "d.csv:1:1: found \"x\", allowed: a number",
                     options);
    options.header.reset();
    options.label = "kind";
    const auto data = made_examples({{"d.csv", "x, kind ,y\n3,b,4\n5,a,6\n"}}, options);
    BOOST_REQUIRE_MESSAGE(data, data.error().message());
    BOOST_TEST((parts_of(*data).values == std::vector<float>{3, 4, 5, 6}));
    BOOST_TEST((data->input_names == std::vector<std::string>{"x", "y"}));
    refuses_examples({{"d.csv", "x,y\n3,b\n"}}, "d.csv:1: found no column named \"kind\"", options);
}

BOOST_AUTO_TEST_CASE(csv_files_of_one_job_have_the_same_columns) {
    const auto data = made_examples(
        {{"a.csv", "x,y,k\n1,2,a\n"}, {"b.csv", "x,y,k\n3,4,b\n"}, {"c.csv", "5,6,a\n"}},
        ordered());
    BOOST_REQUIRE_MESSAGE(data, data.error().message());
    BOOST_TEST(data->examples == 3);
    refuses_examples({{"a.csv", "x,y,k\n1,2,a\n"}, {"b.csv", "y,x,k\n3,4,b\n"}},
                     "b.csv:1: found other columns");
    refuses_examples({{"a.csv", "x,y,k\n1,2,a\n"}, {"b.csv", "x,k\n3,b\n"}},
                     "b.csv:1: found other columns");
    refuses_examples({{"a.csv", "x,y,k\n1,2,a\n"}, {"b.csv", "x,y,k\n"}},
                     "b.csv: found no example");
}

BOOST_AUTO_TEST_CASE(csv_classes_are_sorted_by_value_or_by_bytes) {
    const auto classes = [](const std::string& text) {
        return made_examples({{"d.csv", text}}, ordered())->class_names;
    };
    BOOST_TEST((classes("1,10\n1,9\n1,-3\n1,9\n") == std::vector<std::string>{"-3", "9", "10"}));
    BOOST_TEST((classes("1,10\n1,9\n1,x\n") == std::vector<std::string>{"10", "9", "x"}));
}

BOOST_AUTO_TEST_CASE(csv_faults_name_file_line_and_column) {
    const std::string good = "x,y,k\n1,2,a\n";
    const auto bad = [&](const std::string& more, std::string_view words) {
        refuses_examples({{"d.csv", good + more}}, words);
    };
    bad("1,two,a\n", "d.csv:3:2: found \"two\" in \"y\", allowed: a number");
    bad("\n\n1,,a\n", "d.csv:5:2: found nothing in \"y\"");
    bad("1,2,\n", "d.csv:3:3: found nothing, allowed: a label");
    bad("1,nan,a\n", "d.csv:3:2: found \"nan\"");
    bad("1,inf,a\n", "d.csv:3:2: found \"inf\"");
    bad("1,1e39,a\n", "d.csv:3:2: found \"1e39\"");
    bad("1,0x10,a\n", "d.csv:3:2: found \"0x10\"");
    bad("1,2\n", "d.csv:3: found 2 fields, allowed: 3");
    bad("1,2,3,4\n", "d.csv:3: found 4 fields, allowed: 3");
    bad("1,\"2,a\n", "d.csv:3:2: found a quote without its end");
    bad("1,\"2\"2,a\n", "d.csv:3:2: found text after a field in quotes");
    bad("1,2\"2,a\n", "d.csv:3:2: found a quote inside a field");
    bad("1,\"\n\n2\",a\n1,x,a\n", "d.csv:3:2: found \"??2\"");
    bad("1,2,\"a\xff\"\n", "d.csv:3:3: found \"a?\"");
    bad("1,2," + std::string(257, 'a') + "\n", "d.csv:3:3:");
    refuses_examples({{"d.csv", "x;y;k\n1;2;a\n"}}, "divided by commas (not by ';' or tabs)");
    refuses_examples({{"d.csv", "\n\n"}}, "d.csv: found no example");
    refuses_examples({{"d.csv", "1,a\n2,a\n"}}, "found one class");
    std::string many;
    for (int i = 0; i < 5000; ++i) many += "1," + std::to_string(i) + "\n";
    refuses_examples({{"d.csv", many}}, "d.csv:4097:2: found \"4096\", one more than 4096 labels");
    refuses_examples({{"d.csv", std::string(70000, ',')}},
                     "d.csv:1:65538: found more than 65537 fields");
}

BOOST_AUTO_TEST_CASE(columns_are_brought_to_mean_0_and_deviation_1_of_the_training_part) {
    // The last of five is for validation and does not count.
    const auto data =
        made_examples({{"d.csv", "1,7,a\n2,7,b\n3,7,a\n6,7,b\n1000,8,a\n"}}, ordered(0.2));
    BOOST_REQUIRE_MESSAGE(data, data.error().message());
    BOOST_TEST(data->validation == 1);
    const auto p = parts_of(*data);
    BOOST_TEST((p.shifts == std::vector<float>{3, 7}));
    const double deviation = std::sqrt((4.0 + 1 + 0 + 9) / 4);
    BOOST_TEST((p.factors == std::vector<float>{static_cast<float>(1 / deviation), 1}));
    BOOST_TEST(p.values.back() == 8.0F);
}

BOOST_AUTO_TEST_CASE(values_are_float32_without_subnormals_and_minus_zero) {
    const auto data = made_examples({{"d.csv", "0.1,1e-40,a\n-0,2,b\n"}}, ordered());
    BOOST_REQUIRE(data);
    const auto p = parts_of(*data);
    BOOST_TEST(p.values[0] == 0.1F);
    BOOST_TEST(std::bit_cast<std::uint32_t>(p.values[1]) == 0U);
    BOOST_TEST(std::bit_cast<std::uint32_t>(p.values[2]) == 0U);
}

BOOST_AUTO_TEST_CASE(columns_that_leave_float32_are_refused) {
    refuses_examples({{"d.csv", "x,k\n-3e38,a\n3e38,b\n"}},
                     "number column 1 \"x\": found values that leave");
    refuses_examples({{"d.csv", "1e-38,a\n2e-38,b\n1e30,a\n"}}, "number column 1: found values",
                     ordered(0.34));
    BOOST_TEST(made_examples({{"d.csv", "1e30,a\n2e30,b\n"}}, ordered()).has_value());
}

BOOST_AUTO_TEST_CASE(shuffling_depends_on_the_data_alone_and_loses_nothing) {
    std::string text;
    for (int i = 0; i < 200; ++i) text += std::to_string(i) + "," + (i < 100 ? "a" : "b") + "\n";
    example_options options;
    options.validation_share = 0.25;
    const auto one = made_examples({{"d.csv", text}}, options);
    BOOST_REQUIRE(one);
    BOOST_TEST((one->blob == made_examples({{"other.csv", text}}, options)->blob));
    const auto p = parts_of(*one);
    auto sorted = p.values;
    std::sort(sorted.begin(), sorted.end());
    for (int i = 0; i < 200; ++i)
        BOOST_TEST(sorted[static_cast<std::size_t>(i)] == static_cast<float>(i));
    for (std::size_t i = 0; i < 200; ++i) BOOST_TEST(p.labels[i] == (p.values[i] < 100 ? 0U : 1U));
    // Of the 50 for validation, some 25 are of each class; in the file's order all would be "b".
    const auto of_a = std::count(p.labels.begin() + 150, p.labels.end(), 0U);
    BOOST_TEST(of_a > 10);
    BOOST_TEST(of_a < 40);
    text += "200,b\n";
    BOOST_TEST((parts_of(*made_examples({{"d.csv", text}}, options)).values[0] != p.values[0]));
}

BOOST_AUTO_TEST_CASE(order_is_as_it_always_was) {
    const auto data = made_examples({{"d.csv", "0,a\n1,b\n2,a\n3,b\n4,a\n5,b\n6,a\n7,b\n"}});
    // From tests/vectors/job_files/data_order.py, which has a Philox of its own.
    BOOST_TEST((parts_of(*data).values == std::vector<float>{6, 5, 2, 3, 7, 0, 1, 4}));
}

BOOST_AUTO_TEST_CASE(parts_without_examples_are_refused) {
    refuses_examples({{"d.csv", "1,a\n2,b\n"}}, "the validation part of 2 examples has none",
                     ordered(0.3));
    BOOST_TEST(made_examples({{"d.csv", "1,a\n2,b\n"}}, ordered(0.9))->validation == 1);
    refuses_examples({{"d.csv", "1,a\n2,b\n"}}, "from 0 to below 1", ordered(1));
    refuses_examples({{"d.csv", "1,a\n2,b\n"}}, "from 0 to below 1", ordered(std::nan("")));
}

BOOST_AUTO_TEST_CASE(reading_can_be_stopped) {
    example_options options;
    options.progress = [](std::uint64_t, std::uint64_t) { return false; };
    refuses_examples({{"d.csv", "1,a\n2,b\n"}}, "stopped", options, errc::stopped);
}

BOOST_AUTO_TEST_SUITE_END()
