#include "training/tokenizer.hpp"

#include <boost/test/unit_test.hpp>
#include <numeric>

#include "tests/unit/training/tokenizer_fixture.hpp"
#include "training/data/split_pattern.hpp"
#include "training/errc.hpp"

using namespace tequio;
using namespace tequio::training;
using tests::tokenizer_json;

namespace {

tokenizer made(const tokenizer_json& file) {
    auto out = tokenizer::from_json(base::as_bytes(file.text()));
    BOOST_REQUIRE_MESSAGE(out, out.error().message());
    return *out;
}

/// The tokens of `text`, each as its bytes, divided by '|'.
std::string shown(const tokenizer& words, std::string_view text) {
    const auto tokens = words.encode(base::as_bytes(text));
    BOOST_REQUIRE_MESSAGE(tokens, tokens.error().message());
    std::string out;
    for (const auto token : *tokens) {
        if (!out.empty()) out += '|';
        out += base::as_text(words.bytes_of(token));
    }
    return out;
}

/// The pieces that a pattern cuts `text` into, divided by '|'.
std::string pieces(std::string_view pattern, std::string_view text) {
    const auto compiled = split_pattern::compile(pattern);
    BOOST_REQUIRE_MESSAGE(compiled, compiled.error().message());
    split_run run(*compiled);
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const auto found = run.find(text, at).value();
        const auto end = found.end == found.begin ? text.size() : found.end;
        if (!out.empty()) out += '|';
        out += text.substr(at, end - at);
        at = end;
    }
    return out;
}

void refuses(const tokenizer_json& file, errc code, std::string_view words) {
    const auto out = tokenizer::from_json(base::as_bytes(file.text()));
    BOOST_REQUIRE_MESSAGE(!out, "accepted, wanted: " << words);
    const auto message = out.error().message();
    BOOST_TEST(message.find(words) != std::string::npos, message << "; wanted: " << words);
    BOOST_TEST(message.starts_with("tokenizer.json: "), message);
    BOOST_TEST(out.error().is(code), message);
}

constexpr std::string_view llama3_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

std::string sequence_of(std::string_view steps) {
    return R"({"type": "Sequence", "pretokenizers": [)" + std::string(steps) + "]}";
}

/// A sequence of a Split, with these members, and a ByteLevel.
std::string split_with(std::string_view members) {
    return sequence_of(R"({"type": "Split", )" + std::string(members) +
                       R"(}, {"type": "ByteLevel", "add_prefix_space": false})");
}

std::string llama3_pre_tokenizer() {
    return R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": )" +
           tests::json_text(llama3_pattern) +
           R"(}, "behavior": "Isolated", "invert": false}, {"type": "ByteLevel", )"
           R"("add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(tokenizer_test)

BOOST_AUTO_TEST_CASE(alphabet_of_bytes_is_gpt2s) {
    BOOST_TEST(spelling_of_bytes(" ") == "Ġ");
    BOOST_TEST(spelling_of_bytes("\n") == "Ċ");
    BOOST_TEST(spelling_of_bytes("\t") == "ĉ");
    BOOST_TEST(spelling_of_bytes("az~!") == "az~!");
    BOOST_TEST(spelling_of_bytes("\xe5\xad\x97") == "å\xc5\x83Ĺ");
    BOOST_TEST(spelling_of_bytes("\xad") == "\xc5\x83");
    BOOST_TEST(spelling_of_bytes("\xff") == "ÿ");
    std::string all(256, '\0');
    std::iota(all.begin(), all.end(), '\0');
    BOOST_TEST(bytes_of_spelling(spelling_of_bytes(all)).value() == all);
    BOOST_TEST(!bytes_of_spelling("a b"));
    BOOST_TEST(!bytes_of_spelling("字"));
    BOOST_TEST(!bytes_of_spelling("\xc5"));
}

BOOST_AUTO_TEST_CASE(bytes_are_tokens) {
    const auto words = tokenizer::of_bytes();
    BOOST_TEST(words.vocabulary() == 256);
    BOOST_TEST(words.is_bytes());
    BOOST_TEST(!words.end_of_text());
    std::string all(256, '\0');
    std::iota(all.begin(), all.end(), '\0');
    const auto tokens = words.encode(base::as_bytes(all)).value();
    for (std::uint32_t i = 0; i < 256; ++i) BOOST_TEST(tokens[i] == i);
    BOOST_TEST(base::as_text(words.decode(tokens)) == all);
    BOOST_TEST(words.bytes_of(256).empty());
}

BOOST_AUTO_TEST_CASE(pair_of_lowest_rank_is_merged_first_of_equals_the_leftmost) {
    tokenizer_json file;
    file.merges = {{"b", "c"}, {"a", "b"}, {"a", "a"}, {"aa", "a"}};
    BOOST_TEST(shown(made(file), "abc") == "a|bc");
    BOOST_TEST(shown(made(file), "aaa") == "aaa");
    BOOST_TEST(shown(made(file), "aaaa") == "aa|aa");
    BOOST_TEST(shown(made(file), "aaaaa") == "aa|aaa");
    BOOST_TEST(shown(made(file), "aab") == "a|ab");
    // Ids follow the vocabulary, not the merges.
    BOOST_TEST(
        (made(file).encode(base::as_bytes("bc")).value() == std::vector<std::uint32_t>{256}));
}

BOOST_AUTO_TEST_CASE(both_spellings_of_merges_are_read) {
    tokenizer_json file;
    file.merges = {{"t", "h"}, {"th", "e"}, {" ", "the"}};
    const auto one = made(file);
    file.pairs = true;
    BOOST_TEST(shown(one, "the the") == "the| the");
    BOOST_TEST(shown(made(file), "the the") == "the| the");
}

BOOST_AUTO_TEST_CASE(ignore_merges_takes_whole_pieces) {
    tokenizer_json file;
    file.words = {"horse"};
    BOOST_TEST(shown(made(file), "horse horse") == "h|o|r|s|e| |h|o|r|s|e");
    file.model_extra = ", \"ignore_merges\": true";
    BOOST_TEST(shown(made(file), "horse horse") == "horse| |h|o|r|s|e");
}

BOOST_AUTO_TEST_CASE(special_tokens_in_text_are_text) {
    tokenizer_json file;
    file.special = {"<|endoftext|>", "<|pad|>"};
    file.added = {"  ", "    ", "<x>"};
    const auto words = made(file);
    BOOST_TEST(words.vocabulary() == 261);
    BOOST_TEST(words.end_of_text().value() == 256);
    BOOST_TEST(shown(words, "<|pad|>") == "<|||p|a|d|||>");
    // The leftmost, of several the longest; a merged token of the same bytes is another one.
    file.merges = {{" ", " "}};
    BOOST_TEST(made(file).vocabulary() == 262);
    BOOST_TEST(shown(words, "a     b<x>") == "a|    | |b|<x>");
    BOOST_TEST(base::as_text(words.decode(std::vector<std::uint32_t>{97, 256, 1 << 20})) ==
               "a<|endoftext|>");
}

BOOST_AUTO_TEST_CASE(tokens_that_are_not_normalized_are_cut_out_first) {
    tokenizer_json file;
    file.added = {"bc", "ab"};
    auto text = file.text();
    BOOST_TEST(shown(made(file), "abc") == "ab|c");
    const auto at = text.rfind("\"normalized\": false");  // of "ab"
    text.replace(at, 19, "\"normalized\": true ");
    const auto words = tokenizer::from_json(base::as_bytes(text));
    BOOST_REQUIRE(words);
    BOOST_TEST(shown(*words, "abc") == "a|bc");
}

BOOST_AUTO_TEST_CASE(invalid_utf8_is_kept_byte_by_byte) {
    tokenizer_json file;
    file.merges = {{"\xe5", "\xad"}, {"\xe5\xad", "\x97"}, {"\xff", "\xff"}, {"a", "b"}};
    const auto words = made(file);
    BOOST_TEST(shown(words, "字ab") == "字|ab");
    // Cut short, or never valid: tokens of single bytes, although merges would take them.
    BOOST_TEST(shown(words, "\xe5\xad") == "\xe5|\xad");
    BOOST_TEST(shown(words, "\xff\xff") == "\xff|\xff");
    BOOST_TEST(shown(words,
                     "a\xff"
                     "b") == "a|\xff|b");
    // Overlong, a surrogate, above U+10FFFF.
    BOOST_TEST(shown(words, "\xc0\xaf") == "\xc0|\xaf");
    BOOST_TEST(shown(words, "\xed\xa0\x80") == "\xed|\xa0|\x80");
    BOOST_TEST(shown(words, "\xf4\x90\x80\x80") == "\xf4|\x90|\x80|\x80");
}

BOOST_AUTO_TEST_CASE(gpt2_splits_as_it_always_did) {
    BOOST_TEST(pieces(gpt2_pattern, "It's 12345 o'clock!!  now\n\n x") ==
               "It|'s| 12345| o|'|clock|!!| | now|\n\n| x");
    BOOST_TEST(pieces(gpt2_pattern, "Über 学而 ३४ 🌱a") == "Über| 学而| ३४| 🌱|a");
    BOOST_TEST(pieces(gpt2_pattern, "I'LL   ") == "I|'|LL|   ");
}

BOOST_AUTO_TEST_CASE(llama3_splits_numbers_and_quotes_of_any_case) {
    BOOST_TEST(pieces(llama3_pattern, "It'S 12345 (ok)\r\n\r\n  x  ") ==
               "It|'S| |123|45| (|ok|)\r\n\r\n| | x|  ");
    tokenizer_json file;
    file.pre_tokenizer = llama3_pre_tokenizer();
    file.merges = {{"1", "2"}, {"12", "3"}, {"123", "4"}};
    BOOST_TEST(shown(made(file), "1234") == "123|4");
}

BOOST_AUTO_TEST_CASE(white_space_is_unicodes_not_pcre2s) {
    BOOST_TEST(pieces(R"(\s+|\S+)",
                      "a\u180e\u0085"
                      "b\ufeff\u3000") == "a\u180e|\u0085|b\ufeff|\u3000");
    BOOST_TEST(pieces(R"([\s]+|[^\s]+)",
                      "a \u00a0"
                      "b") == "a| \u00a0|b");
    BOOST_TEST(pieces(R"(\\s|.)", "\\s") == "\\s");  // an escaped backslash, then a letter
}

BOOST_AUTO_TEST_CASE(several_splits_are_applied_one_after_the_other) {
    tokenizer_json file;
    file.pre_tokenizer = split_with(R"("pattern": {"Regex": "[0-9]"}, "behavior": "Isolated")");
    file.merges = {{"1", "2"}, {"a", "b"}, {" ", "ab"}};
    BOOST_TEST(shown(made(file), "12 ab") == "1|2| ab");
}

BOOST_AUTO_TEST_CASE(prefix_space_stands_before_what_does_not_begin_with_one) {
    tokenizer_json file;
    file.pre_tokenizer = R"({"type": "ByteLevel"})";  // true by default
    file.merges = {{" ", "a"}};
    file.added = {"<x>"};
    const auto words = made(file);
    BOOST_TEST(shown(words, "a") == " a");
    BOOST_TEST(shown(words, " a") == " a");
    BOOST_TEST(shown(words, "a<x>a") == " a|<x>| a");
    BOOST_TEST(shown(words,
                     "\xff"
                     "a") == "\xff|a");
    BOOST_TEST(shown(words, "").empty());
}

BOOST_AUTO_TEST_CASE(end_of_text_is_found_by_name) {
    tokenizer_json file;
    file.special = {"<|begin_of_text|>", "<|end_of_text|>"};
    BOOST_TEST(made(file).end_of_text().value() == 257);
    file.special = {"<s>", "</s>"};
    BOOST_TEST(made(file).end_of_text().value() == 257);
    file.special = {"<s>"};
    BOOST_TEST(!made(file).end_of_text());
    file.words = {"<|endoftext|>"};  // in the vocabulary alone
    BOOST_TEST(made(file).end_of_text().value() == 256);
}

BOOST_AUTO_TEST_CASE(long_texts_come_in_blocks_and_can_be_stopped) {
    tokenizer_json file;
    file.merges = {{"a", "b"}};
    const auto words = made(file);
    std::string text;
    for (int i = 0; i < 100000; ++i) text += "ab\n";
    std::vector<std::size_t> sizes;
    std::uint64_t last = 0;
    BOOST_REQUIRE(words.encode(base::as_bytes(text), [&](auto block, std::uint64_t done) {
        BOOST_TEST(done > last);
        last = done;
        sizes.push_back(block.size());
        return true;
    }));
    BOOST_TEST(last == text.size());
    BOOST_TEST(std::accumulate(sizes.begin(), sizes.end(), std::size_t{0}) == 200000);
    BOOST_TEST(*std::max_element(sizes.begin(), sizes.end()) <= 65536);
    const auto stopped =
        words.encode(base::as_bytes(text), [](auto, std::uint64_t) { return false; });
    BOOST_TEST(stopped.error().is(errc::stopped));
}

BOOST_AUTO_TEST_CASE(one_encoder_serves_many_texts) {
    tokenizer_json file;
    file.merges = {{"a", "b"}, {" ", "ab"}};
    const auto words = made(file);
    text_encoder encoder(words, 100);
    for (const auto* text : {"ab ab", "", "b", "ab \xff ab"}) {
        std::vector<std::uint32_t> tokens;
        BOOST_REQUIRE(encoder.encode(base::as_bytes(text), [&](auto block, std::uint64_t) {
            tokens.insert(tokens.end(), block.begin(), block.end());
            return true;
        }));
        BOOST_TEST(tokens == words.encode(base::as_bytes(text)).value());
    }
}

BOOST_AUTO_TEST_CASE(what_this_version_lacks_is_refused_by_name) {
    const auto lacks = [](auto change, std::string_view words) {
        tokenizer_json file;
        change(file);
        refuses(file, errc::not_in_version, words);
    };
    lacks([](auto& f) { f.normalizer = R"({"type": "NFC"})"; },
          "normalizer: found \"NFC\", allowed: null (\"NFC\" is not in this version)");
    lacks([](auto& f) { f.model_extra = R"(, "dropout": 0.1)"; }, "model.dropout");
    lacks([](auto& f) { f.model_extra = R"(, "byte_fallback": true)"; }, "model.byte_fallback");
    lacks([](auto& f) { f.model_extra = R"(, "end_of_word_suffix": "</w>")"; },
          "model.end_of_word_suffix: found \"</w>\", allowed: null");
    lacks([](auto& f) { f.decoder = R"({"type": "Metaspace"})"; },
          "decoder.type: found \"Metaspace\"");
    lacks([](auto& f) { f.pre_tokenizer = "null"; }, "pre_tokenizer: found null");
    lacks([](auto& f) { f.pre_tokenizer = R"({"type": "Whitespace"})"; },
          "pre_tokenizer.type: found \"Whitespace\"");
    lacks(
        [](auto& f) {
            f.pre_tokenizer = sequence_of(R"({"type": "Digits"}, {"type": "ByteLevel"})");
        },
        "pre_tokenizer.pretokenizers[0].type: found \"Digits\"");
    lacks(
        [](auto& f) {
            f.pre_tokenizer = split_with(R"("pattern": {"String": " "}, "behavior": "Isolated")");
        },
        "pre_tokenizer.pretokenizers[0].pattern");
    lacks(
        [](auto& f) {
            f.pre_tokenizer = split_with(R"("pattern": {"Regex": " "}, "behavior": "Removed")");
        },
        "pre_tokenizer.pretokenizers[0].behavior: found \"Removed\", allowed: Isolated");
    auto unigram = tokenizer_json().text();
    unigram.replace(unigram.find("\"BPE\""), 5, "\"Unigram\"");
    const auto refused = tokenizer::from_json(base::as_bytes(unigram), "t/other.json");
    BOOST_REQUIRE(!refused);
    BOOST_TEST(refused.error().message() ==
               "t/other.json: model.type: found \"Unigram\", allowed: BPE over bytes (\"Unigram\" "
               "is not in this version)");
    auto stripping = tokenizer_json{.added = {"<x>"}}.text();
    stripping.replace(stripping.find("\"lstrip\": false"), 15, "\"lstrip\": true ");
    const auto strips = tokenizer::from_json(base::as_bytes(stripping));
    BOOST_REQUIRE(!strips);
    BOOST_TEST(strips.error().is(errc::not_in_version));
}

BOOST_AUTO_TEST_CASE(files_without_a_type_are_bpe_as_gpt2s_own) {
    auto text = tokenizer_json{.merges = {{"a", "b"}}}.text();
    text.replace(text.find("\"type\": \"BPE\""), 13, "\"unk_token\": null");
    const auto words = tokenizer::from_json(base::as_bytes(text));
    BOOST_REQUIRE_MESSAGE(words, words.error().message());
    BOOST_TEST(shown(*words, "ab") == "ab");
}

BOOST_AUTO_TEST_CASE(vocabularies_that_cannot_be_meant_are_refused) {
    const auto bad = [](std::string_view from, std::string_view to, std::string_view words) {
        auto text = tokenizer_json{.merges = {{"a", "b"}, {"ab", "c"}}, .special = {"<s>"}}.text();
        const auto at = text.find(from);
        BOOST_REQUIRE(at != std::string::npos);
        text.replace(at, from.size(), to);
        const auto out = tokenizer::from_json(base::as_bytes(text));
        BOOST_REQUIRE_MESSAGE(!out, "accepted: " << to);
        BOOST_TEST(out.error().message().find(words) != std::string::npos,
                   out.error().message() << "; wanted: " << words);
        BOOST_TEST(out.error().is(errc::bad_data), out.error().message());
    };
    bad("\"ab\": 256", "\"ab\": 97", "model.vocab \"ab\": found id 97, which \"a\" has");
    bad("\"ab\": 256", "\"ab\": 300", "model.vocab \"ab\": found id 300, allowed: ids from 0");
    bad("\"ab\": 256", "\"ab\": 2147483648", "model.vocab \"ab\": found the number 2147483648");
    bad("\"ab\": 256", "\"ab\": -1", "an id from 0 to 2147483647");
    bad("\"ab\": 256", "\"ab\": 1.5", "an id from 0 to 2147483647");
    bad("\"ab\": 256", "\"ab\": 258", "which \"ab\" has");
    bad("\"id\": 258", "\"id\": 259", "added_tokens \"<s>\": found id 259");
    bad("\"id\": 258", "\"id\": 97", "added_tokens \"<s>\": found id 97, which \"a\" has");
    bad("<s>", "abc", "added_tokens \"abc\": found id 258, allowed: its id in model.vocab, 257");
    bad("\"a b\"", "\"a q\"", "model.merges[0]: found \"aq\"");
    bad("\"a b\"", "\"a ", "no JSON");
    bad("\"a b\"", "\"ab\"", "model.merges[0]: found \"ab\", allowed: \"a b\" or [\"a\", \"b\"]");
    bad("\"a b\"", "\"a b c\"", "model.merges[0]");
    bad("\"a b\"", "[\"a\"]", "model.merges[0]: found an array");
    bad("\"ab c\"", "\"a b\"", "model.merges[1]: found the pair of model.merges[0]");
    bad("\"ab c\"", "\"ab zz\"", "model.merges[1]: found \"zz\"");
    bad("\"!\": 33", "\"!!\": 33", "no token for byte 33");
    bad("\"!\": 33, ", "", "ids from 0 without gaps");
    bad("\"merges\": [", "\"merges\": 3, \"x\": [", "model.merges: found the number 3");
    bad("\"model\": {", "\"model\": 3, \"x\": {", "model: found the number 3");
    bad("\"content\": \"<s>\"", "\"content\": \"\"", "added_tokens[0].content");
}

BOOST_AUTO_TEST_CASE(gaps_are_found_where_tokens_are_both_in_the_vocabulary_and_added) {
    auto text = tokenizer_json{.words = {"<s>"}, .special = {"<s>"}}.text();
    text.replace(text.find("\"id\": 257"), 9, "\"id\": 256");
    BOOST_TEST(tokenizer::from_json(base::as_bytes(text))->vocabulary() == 257);
    text.replace(text.find("\"!\": 33, "), 9, "");
    const auto out = tokenizer::from_json(base::as_bytes(text));
    BOOST_REQUIRE(!out);
    BOOST_TEST(out.error().message() ==
               "tokenizer.json: model.vocab: found no token with id 33, allowed: ids from 0 "
               "without gaps");
}

BOOST_AUTO_TEST_CASE(bad_patterns_are_refused_with_the_place) {
    const auto refused = [](const std::string& regex, std::string_view words) {
        const auto out = split_pattern::compile(regex);
        BOOST_REQUIRE(!out);
        BOOST_TEST(out.error().message().find(words) != std::string::npos, out.error().message());
    };
    refused("a(b", "byte 3 of it: missing closing parenthesis");
    refused("", "0 bytes");
    refused("\\C", "byte 2");
    refused(std::string(20000, 'a'), "1 to 16384 bytes");
    refused(std::string(200, '(') + "a" + std::string(200, ')'), "nested");
    refused("\xff", "UTF-8");
    refused("(?:(?:(?:(?:a{1,999}){1,999}){1,999}){1,999})", "too large");
}

BOOST_AUTO_TEST_CASE(patterns_that_never_end_are_stopped) {
    const auto compiled = split_pattern::compile("(a+)+$");
    BOOST_REQUIRE(compiled);
    split_run run(*compiled);
    const auto found = run.find(std::string(60, 'a') + "b", 0);
    BOOST_REQUIRE(!found);
    BOOST_TEST(found.error().message().find("match limit exceeded") != std::string::npos,
               found.error().message());
}

BOOST_AUTO_TEST_CASE(hostile_json_is_refused_without_harm) {
    const auto refused = [](std::string_view text) {
        const auto out = tokenizer::from_json(base::as_bytes(text));
        return !out && out.error().is(errc::bad_data);
    };
    BOOST_TEST(refused(""));
    BOOST_TEST(refused("[]"));
    BOOST_TEST(refused("{}"));
    BOOST_TEST(refused("null"));
    BOOST_TEST(refused(std::string(100000, '[')));
    std::string deep;
    for (int i = 0; i < 1000; ++i) deep += "{\"a\":";
    BOOST_TEST(refused(deep));
    BOOST_TEST(refused("{\"model\": {\"type\": \"BPE\", \"vocab\": {\"\xff\": 0}}}"));
    const auto many = tokenizer::from_json(base::as_bytes("[" + std::string(9000000, ',') + "]"));
    BOOST_REQUIRE(!many);
    BOOST_TEST(many.error().message().find("9000001 commas and brackets") != std::string::npos);
    const auto whole = tokenizer_json{.merges = {{"a", "b"}}, .special = {"<s>"}}.text();
    for (std::size_t n = 0; n < whole.size(); n += 13) BOOST_TEST(refused(whole.substr(0, n)));
}

BOOST_AUTO_TEST_SUITE_END()
