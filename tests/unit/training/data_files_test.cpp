#include <boost/test/unit_test.hpp>

#include "tests/unit/training/round_fixture.hpp"
#include "tests/unit/training/tokenizer_fixture.hpp"
#include "training/dataset.hpp"
#include "training/errc.hpp"

using namespace tequio;
using namespace tequio::training;
using tests::tokenizer_json;

namespace {

struct named {
    const char* name;
    std::string text;
};

base::result<tokenised_data> made(const std::vector<named>& files, tokenise_options options = {}) {
    std::vector<source_file> sources;
    for (const auto& f : files) sources.push_back({f.name, base::as_bytes(f.text)});
    if (options.context == 0) options.context = 1;
    return tokenise(sources, options);
}

std::string text_of(const base::result<tokenised_data>& data) {
    BOOST_REQUIRE_MESSAGE(data, data.error().message());
    return std::string(base::as_text(data->tokens));
}

void refuses(const std::vector<named>& files, std::string_view words, tokenise_options options = {},
             errc code = errc::bad_data) {
    const auto data = made(files, std::move(options));
    BOOST_REQUIRE_MESSAGE(!data, "accepted, wanted: " << words);
    BOOST_TEST(data.error().message().find(words) != std::string::npos,
               data.error().message() << "; wanted: " << words);
    BOOST_TEST(data.error().is(code));
}

tokenise_options with(const tokenizer_json& file) {
    tokenise_options out;
    out.words = tokenizer::from_json(base::as_bytes(file.text())).value();
    return out;
}

tokenise_options with_vocabulary(std::uint64_t n) {
    tokenise_options out;
    out.vocabulary = n;
    return out;
}

std::string words16(std::initializer_list<std::uint16_t> tokens) {
    base::byte_vector out;
    base::byte_writer writer(out);
    for (const auto t : tokens) writer.u16(t);
    return std::string(base::as_text(out));
}

/// A header of llm.c's.
std::string header(std::uint32_t magic, std::uint32_t version, std::uint32_t count) {
    base::byte_vector out;
    base::byte_writer writer(out);
    writer.u32(magic);
    writer.u32(version);
    writer.u32(count);
    out.resize(1024);
    return std::string(base::as_text(out));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(data_files_test)

BOOST_AUTO_TEST_CASE(names_say_what_files_hold) {
    BOOST_TEST((file_kind_of("a.txt") == file_kind::text));
    BOOST_TEST((file_kind_of("bin") == file_kind::text));
    BOOST_TEST((file_kind_of("a.jsonl") == file_kind::jsonl));
    BOOST_TEST((file_kind_of("a/train.bin") == file_kind::tokens));
    BOOST_TEST((file_kind_of("train-images-idx3-ubyte") == file_kind::idx));
    BOOST_TEST((file_kind_of("train-labels.idx1-ubyte") == file_kind::idx));
    BOOST_TEST((file_kind_of("a.idx") == file_kind::idx));
    BOOST_TEST((file_kind_of("iris.csv") == file_kind::csv));
}

BOOST_AUTO_TEST_CASE(lines_of_jsonl_are_documents) {
    BOOST_TEST(text_of(made({{"d.jsonl",
                              "{\"text\": \"one\", \"id\": [1]}\r\n\n"
                              "{\"id\": 2, \"text\": \"two\\n\\u00fc\"}\n"
                              "{\"text\": \"\"}\n{\"text\": \"three\"}"}})) ==
               "one\ntwo\nü\nthree");
    BOOST_TEST(text_of(made({{"d.jsonl", "\xef\xbb\xbf{\"text\": \"one\"}"}, {"e.txt", "two"}})) ==
               "one\ntwo");
}

BOOST_AUTO_TEST_CASE(faults_of_jsonl_name_file_and_line) {
    const std::string good = "{\"text\": \"good\"}\n\n";
    refuses({{"d.jsonl", good + "{\"text\": \"bad}"}}, "d.jsonl:3: not JSON (");
    refuses({{"d.jsonl", good + "{\"text\": \"bad\"} {}"}}, "d.jsonl:3: not JSON (");
    refuses({{"d.jsonl", good + "{\"text\": \"\xff\"}"}}, "d.jsonl:3: not JSON (");
    refuses({{"d.jsonl", good + "{\"text\": \"\\ud800\"}"}}, "d.jsonl:3: not JSON (");
    refuses({{"d.jsonl", good + "[\"text\"]"}},
            "d.jsonl:3: found an array, allowed: an object with the field \"text\"");
    refuses({{"d.jsonl", good + "{\"body\": \"x\"}"}},
            "d.jsonl:3: field \"text\": found nothing, allowed: a string");
    refuses({{"d.jsonl", good + "{\"text\": 5}"}},
            "d.jsonl:3: field \"text\": found the number 5, allowed: a string");
    refuses({{"d.jsonl", good + std::string(100000, '[')}}, "d.jsonl:3: not JSON (");
    refuses({{"d.jsonl", "\n\n"}}, "\"d.jsonl\" has no document");
    // After a fault the next file is read as if nothing had been.
    BOOST_TEST(made({{"d.jsonl", good}}).has_value());
}

BOOST_AUTO_TEST_CASE(documents_are_divided_by_the_end_of_text) {
    const auto options = with({.merges = {{"o", "n"}}, .special = {"<|endoftext|>"}});
    const auto data =
        made({{"a.txt", "on"}, {"b.jsonl", "{\"text\": \"x\"}\n{\"text\": \"on\"}"}}, options);
    BOOST_REQUIRE_MESSAGE(data, data.error().message());
    BOOST_TEST(text_of(data) == words16({256, 257, 'x', 257, 256}));
    BOOST_TEST(data->config.token_bytes == 2);
    BOOST_TEST(data->config.token_count == 5);
    BOOST_TEST(data->vocabulary == 258);
    // Without one, by a newline.
    BOOST_TEST(text_of(made({{"a.txt", "on"}, {"b.txt", "x"}}, with({.merges = {{"o", "n"}}}))) ==
               words16({256, '\n', 'x'}));
}

BOOST_AUTO_TEST_CASE(a_larger_vocabulary_may_be_asked_for) {
    auto options = with_vocabulary(70000);
    const auto data = made({{"a.txt", "xy"}}, options);
    BOOST_REQUIRE(data);
    BOOST_TEST(data->vocabulary == 70000);
    BOOST_TEST(data->config.token_bytes == 4);
    BOOST_TEST(data->tokens.size() == 8);
    refuses({{"a.txt", "xy"}}, "data.vocabulary: found 255, allowed: at least the tokenizer's 256",
            with_vocabulary(255));
}

BOOST_AUTO_TEST_CASE(token_files_of_nanogpt_are_read) {
    const auto data =
        made({{"t.bin", words16({1, 50256, 3})}, {"v.bin", words16({7})}}, with_vocabulary(50257));
    BOOST_TEST(text_of(data) == words16({1, 50256, 3, 7}));
    BOOST_TEST(data->config.token_bytes == 2);
    BOOST_TEST(data->vocabulary == 50257);
    // A small vocabulary takes a byte a token.
    BOOST_TEST(text_of(made({{"t.bin", words16({1, 64, 3})}}, with_vocabulary(65))) == "\x01@\x03");
}

BOOST_AUTO_TEST_CASE(token_files_of_llm_c_are_read) {
    const auto old = header(20240520, 1, 3) + words16({1, 50256, 3});
    BOOST_TEST(text_of(made({{"t.bin", old}}, with_vocabulary(50257))) == words16({1, 50256, 3}));
    const auto wide = header(20240801, 7, 2) + words16({0x1234, 1, 5, 0});
    const auto data = made({{"t.bin", wide}}, with_vocabulary(128256));
    BOOST_TEST(text_of(data) == words16({0x1234, 1, 5, 0}));
    BOOST_TEST(data->config.token_bytes == 4);
    BOOST_TEST(data->config.token_count == 2);
    // The tokens of a tokenizer.json give the vocabulary.
    const auto named = made({{"t.bin", words16({1, 256})}}, with({.merges = {{"o", "n"}}}));
    BOOST_TEST(named->vocabulary == 257);
}

BOOST_AUTO_TEST_CASE(token_files_that_lie_are_refused) {
    const auto options = with_vocabulary(50257);
    refuses({{"t.bin", "abc"}}, "t.bin: found 3 bytes without a header", options);
    refuses({{"t.bin", words16({1, 50257})}}, "t.bin: token 1 is 50257, the vocabulary has 50257",
            options);
    refuses({{"t.bin", words16({1, 2})}}, "data.vocabulary: found nothing");
    const auto tokens = words16({1, 2, 3});
    refuses({{"t.bin", header(20240520, 1, 4) + tokens}},
            "t.bin: found a header that says 4 tokens of 2 bytes before 6 bytes", options);
    refuses({{"t.bin", header(20240520, 1, 0xffffffff) + tokens}}, "says 4294967295 tokens",
            options);
    refuses({{"t.bin", header(20240801, 7, 0x80000000) + tokens}}, "says 2147483648 tokens of 4",
            options);
    refuses({{"t.bin", header(20240520, 1, 0)}}, "says 0 tokens", options);
    refuses({{"t.bin", header(20240520, 2, 3) + tokens}}, "found version 2", options);
    refuses({{"t.bin", header(20240801, 1, 3) + tokens}}, "allowed: version 7", options);
    refuses({{"t.bin", header(20240520, 1, 3).substr(0, 100)}}, "100 bytes in all", options);
    refuses({{"t.bin", header(20240522, 1, 3) + tokens}}, "not in this version", options,
            errc::not_in_version);
}

BOOST_AUTO_TEST_CASE(kinds_are_not_mixed) {
    refuses({{"a.txt", "ab"}, {"b.bin", words16({1, 2})}},
            "data: \"b.bin\" holds tokens and \"a.txt\" text: one job trains on one kind");
    refuses({{"b.bin", words16({1, 2})}, {"a.jsonl", "{}"}},
            "data: \"a.jsonl\" holds JSONL and \"b.bin\" tokens", with_vocabulary(5));
    refuses({{"a.csv", "1,2"}}, "data: \"a.csv\" holds CSV");
}

BOOST_AUTO_TEST_CASE(progress_goes_to_the_end_and_can_stop) {
    const std::string text(200000, 'x');
    const std::vector<named> files{{"a.txt", text}, {"b.jsonl", "{\"text\": \"abc\"}"}};
    tokenise_options options;
    std::uint64_t last = 0;
    std::uint64_t all = 0;
    options.progress = [&](std::uint64_t done, std::uint64_t total) {
        BOOST_TEST(done >= last);
        BOOST_TEST(done <= total);
        last = done;
        all = total;
        return true;
    };
    BOOST_TEST(made(files, options).has_value());
    BOOST_TEST(last == all);
    BOOST_TEST(all == text.size() + files[1].text.size());
    options.progress = [](std::uint64_t, std::uint64_t) { return false; };
    refuses(files, "stopped", options, errc::stopped);
}

BOOST_AUTO_TEST_CASE(recipes_of_token_jobs_hold_and_their_data_opens) {
    std::string text;
    for (int i = 0; i < 400; ++i) text += "on and on ";
    auto options = with({.merges = {{"o", "n"}, {" ", "on"}}, .special = {"</s>"}});
    options.context = 8;
    options.validation_share = 0.1;
    const auto data = made({{"a.txt", text}}, options);
    BOOST_REQUIRE_MESSAGE(data, data.error().message());
    auto r = small_recipe();
    r.model.context = 8;
    r.model.vocabulary = data->vocabulary;
    r.data = data->config;
    const auto view = dataset_view::open(data->tokens, r);
    BOOST_REQUIRE_MESSAGE(view, view.error().message());
    std::vector<std::uint32_t> tokens(data->config.token_count);
    view->read(0, tokens);
    BOOST_TEST(base::as_text(options.words.decode(tokens)) == text);
}

BOOST_AUTO_TEST_SUITE_END()
