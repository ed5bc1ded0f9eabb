// Tokenizers against a naive twin, and every reader of files against files that were spoilt by
// chance: no crash, no allocation that the file's own size does not justify.

#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "base/rng.hpp"
#include "tests/support/allocation_meter.hpp"
#include "tests/unit/training/tokenizer_fixture.hpp"
#include "training/examples.hpp"
#include "training/tokenizer.hpp"

using namespace tequio;
using namespace tequio::training;
using tests::tokenizer_json;

namespace {

/// The generator of one test case: fresh, or TEQUIO_TEST_SEED; printed with the command to repeat.
base::rng rng_for(const char* name) {
    const char* text = std::getenv("TEQUIO_TEST_SEED");
    const auto seed = text != nullptr ? std::strtoull(text, nullptr, 10)
                                      : static_cast<unsigned long long>(::getpid());
    std::printf("%s: seed %llu; repeat with TEQUIO_TEST_SEED=%llu property_training_data\n", name,
                seed, seed);
    return base::rng(seed).split(name);
}

/// Letters, white space, characters of two to four bytes, and bytes that are none.
const std::vector<std::string> atoms{
    "a", "b", "c",  "ab",     " ",    "  ",   "\n",       "1",  "'s",  "字",  "é",
    "🌱", "!", "<x", "\u3000", "\xff", "\x80", "\xe5\xad", "\t", "<x>", "abc", "\xed\xa0\x80"};

std::string random_text(base::rng& rng, std::size_t atoms_max) {
    std::string out;
    const auto n = rng.below(atoms_max + 1);
    for (std::uint64_t i = 0; i < n; ++i) {
        if (rng.chance(0.05)) {
            out += static_cast<char>(rng.below(256));
        } else {
            out += atoms[rng.below(atoms.size())];
        }
    }
    return out;
}

/// Merges of tokens that are there already, each making a new one.
std::vector<std::pair<std::string, std::string>> random_merges(base::rng& rng, std::size_t count) {
    std::vector<std::string> tokens;
    for (const auto* text :
         {"a", "b", "c", " ", "\n", "1", "!", "\xe5", "\xad", "\x97", "\xc3", "\xa9", "<", "x"}) {
        tokens.emplace_back(text);
    }
    std::vector<std::pair<std::string, std::string>> out;
    while (out.size() < count) {
        const auto left = tokens[rng.below(tokens.size())];
        const auto right = tokens[rng.below(tokens.size())];
        if (std::find(tokens.begin(), tokens.end(), left + right) != tokens.end()) continue;
        if (left.size() + right.size() > 12) continue;
        tokens.push_back(left + right);
        out.emplace_back(left, right);
    }
    return out;
}

/// Byte pair encoding as one would explain it, with strings for tokens. Splits into runs of ASCII
/// white space and runs of everything else.
class naive_twin {
public:
    naive_twin(const tokenizer_json& file, bool ignore_merges)
        : added_(file.added), ignore_merges_(ignore_merges) {
        for (std::size_t i = 0; i < file.merges.size(); ++i) ranks_[file.merges[i]] = i;
        for (int b = 0; b < 256; ++b) known_[std::string(1, static_cast<char>(b))] = true;
        for (const auto& [left, right] : file.merges) known_[left + right] = true;
        for (const auto& word : file.words) known_[word] = true;
    }

    std::vector<std::string> encode(const std::string& text) const {
        std::vector<std::string> out;
        std::string stretch;
        for (std::size_t i = 0; i < text.size();) {
            const auto length = character_length(text, i);
            if (length != 0) {
                stretch += text.substr(i, length);
                i += length;
                continue;
            }
            encode_stretch(stretch, out);
            stretch.clear();
            out.push_back(text.substr(i++, 1));
        }
        encode_stretch(stretch, out);
        return out;
    }

private:
    /// By decoding and writing the code point again: only its shortest form gives the same bytes.
    static std::size_t character_length(const std::string& text, std::size_t i) {
        for (std::size_t n = 1; n <= 4 && i + n <= text.size(); ++n) {
            static constexpr unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
            auto c = std::uint32_t{static_cast<unsigned char>(text[i])} & masks[n];
            for (std::size_t k = 1; k < n; ++k)
                c = c << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3f);
            if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) continue;
            if (utf8(c) == text.substr(i, n)) return n;
        }
        return 0;
    }

    static std::string utf8(std::uint32_t c) {
        const auto low = [&](unsigned shift) {
            return static_cast<char>(0x80 | (c >> shift & 0x3f));
        };
        if (c < 0x80) return {static_cast<char>(c)};
        if (c < 0x800) return {static_cast<char>(0xc0 | c >> 6), low(0)};
        if (c < 0x10000) return {static_cast<char>(0xe0 | c >> 12), low(6), low(0)};
        return {static_cast<char>(0xf0 | c >> 18), low(12), low(6), low(0)};
    }

    void encode_stretch(const std::string& text, std::vector<std::string>& out) const {
        std::string rest;
        for (std::size_t i = 0; i < text.size();) {
            std::string best;
            for (const auto& a : added_) {
                if (text.compare(i, a.size(), a) == 0 && a.size() > best.size()) best = a;
            }
            if (best.empty()) {
                rest += text[i++];
                continue;
            }
            encode_plain(rest, out);
            rest.clear();
            out.push_back(best);
            i += best.size();
        }
        encode_plain(rest, out);
    }

    void encode_plain(const std::string& text, std::vector<std::string>& out) const {
        const auto space = [](char c) { return c == ' ' || c == '\n' || c == '\t'; };
        for (std::size_t i = 0; i < text.size();) {
            auto end = i;
            while (end < text.size() && space(text[end]) == space(text[i])) ++end;
            encode_piece(text.substr(i, end - i), out);
            i = end;
        }
    }

    void encode_piece(const std::string& piece, std::vector<std::string>& out) const {
        std::vector<std::string> tokens;
        for (const char c : piece) tokens.emplace_back(1, c);
        if (ignore_merges_ && known_.contains(piece)) tokens = {piece};
        for (;;) {
            std::size_t best = 0;
            std::size_t best_rank = ranks_.size();
            for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
                const auto found = ranks_.find({tokens[i], tokens[i + 1]});
                if (found == ranks_.end() || found->second >= best_rank) continue;
                best = i;
                best_rank = found->second;
            }
            if (best_rank == ranks_.size()) break;
            tokens[best] += tokens[best + 1];
            tokens.erase(tokens.begin() + static_cast<long>(best) + 1);
        }
        out.insert(out.end(), tokens.begin(), tokens.end());
    }

    std::map<std::pair<std::string, std::string>, std::size_t> ranks_;
    std::map<std::string, bool> known_;
    std::vector<std::string> added_;
    bool ignore_merges_;
};

tokenizer_json random_file(base::rng& rng, bool& ignore_merges) {
    tokenizer_json file;
    file.merges = random_merges(rng, rng.below(60));
    file.pairs = rng.chance(0.5);
    ignore_merges = rng.chance(0.5);
    if (ignore_merges) file.model_extra = ", \"ignore_merges\": true";
    if (rng.chance(0.5)) file.added = {"<x>", "<x>a", "  ", "🌱"};
    file.words = {"bca!", "字字字"};
    file.special = {"<|endoftext|>"};
    return file;
}

std::string spoilt(base::rng& rng, std::string text) {
    const std::vector<std::string> bits{
        "\"",      "\\",         "[",    "{",  "}",
        "]",       ",",          ":",    "-1", "1e999",
        "null",    "4294967295", "\xff", "\0", "9999999999999999999",
        "\\u0000", "\n",         "[[[["};
    for (auto n = 1 + rng.below(4); n > 0 && !text.empty(); --n) {
        const auto at = rng.below(text.size());
        const auto length = std::min<std::size_t>(rng.below(40), text.size() - at);
        switch (rng.below(6)) {
            case 0:
                text[at] = static_cast<char>(rng.below(256));
                break;
            case 1:
                text.erase(at, length);
                break;
            case 2:
                text.insert(at, text.substr(at, length));
                break;
            case 3:
                text.insert(at, bits[rng.below(bits.size())]);
                break;
            case 4:
                text.replace(at, length, bits[rng.below(bits.size())]);
                break;
            default:
                text[at] =
                    static_cast<char>(static_cast<unsigned char>(text[at]) ^ 1U << rng.below(8));
        }
    }
    return text;
}

/// Runs `read` on `input` and fails when one allocation is out of proportion.
void within_reason(std::string_view what, std::size_t input_bytes, const auto& read) {
    tests::reset_largest_allocation();
    read();
    const auto largest = tests::largest_allocation();
    BOOST_REQUIRE_MESSAGE(largest <= (std::size_t{1} << 20) + 64 * input_bytes,
                          what << ": " << largest << " bytes at once for " << input_bytes);
}

std::string idx(std::uint32_t count, std::initializer_list<std::uint32_t> others,
                std::size_t bytes) {
    std::string out("\0\0\x08", 3);
    out += static_cast<char>(1 + others.size());
    const auto word = [&](std::uint32_t d) {
        for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(d >> shift);
    };
    word(count);
    for (const auto d : others) word(d);
    for (std::size_t i = 0; i < bytes; ++i) out += static_cast<char>(i % 3);
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(data_property)

BOOST_AUTO_TEST_CASE(tokens_are_those_of_a_naive_twin) {
    auto rng = rng_for("twin");
    for (int run = 0; run < 60; ++run) {
        bool ignore_merges = false;
        auto file = random_file(rng, ignore_merges);
        file.pre_tokenizer =
            R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": )"
            R"("[ \\n\\t]+|[^ \\n\\t]+"}, "behavior": "Isolated"}, {"type": "ByteLevel", )"
            R"("add_prefix_space": false, "use_regex": false}]})";
        const auto words = tokenizer::from_json(base::as_bytes(file.text()));
        BOOST_REQUIRE_MESSAGE(words, words.error().message());
        const naive_twin twin(file, ignore_merges);
        text_encoder encoder(*words, 4096);
        for (int i = 0; i < 40; ++i) {
            const auto text = random_text(rng, i < 30 ? 12 : 300);
            std::vector<std::string> tokens;
            BOOST_REQUIRE(encoder.encode(base::as_bytes(text), [&](auto block, std::uint64_t) {
                for (const auto t : block) tokens.emplace_back(base::as_text(words->bytes_of(t)));
                return true;
            }));
            BOOST_REQUIRE_MESSAGE(
                tokens == twin.encode(text),
                "differs on " << base::to_hex(base::as_bytes(text)) << " with " << file.text());
        }
    }
}

BOOST_AUTO_TEST_CASE(decoding_gives_every_byte_string_back) {
    auto rng = rng_for("round trip");
    for (int run = 0; run < 40; ++run) {
        bool ignore_merges = false;
        const auto words =
            tokenizer::from_json(base::as_bytes(random_file(rng, ignore_merges).text()));
        BOOST_REQUIRE_MESSAGE(words, words.error().message());
        for (int i = 0; i < 60; ++i) {
            auto text = random_text(rng, 200);
            if (i % 3 == 0) {
                for (auto& c : text) c = static_cast<char>(rng.next());
            }
            const auto tokens = words->encode(base::as_bytes(text));
            BOOST_REQUIRE(tokens);
            BOOST_REQUIRE(base::as_text(words->decode(*tokens)) == text);
            for (const auto t : *tokens) BOOST_REQUIRE(t < words->vocabulary());
        }
    }
}

BOOST_AUTO_TEST_CASE(long_runs_of_anything_take_no_quadratic_time) {
    auto rng = rng_for("long runs");
    tokenizer_json file;
    file.merges = random_merges(rng, 60);
    file.merges.insert(file.merges.begin(), {{"q", "q"}, {"qq", "qq"}});
    const auto words = tokenizer::from_json(base::as_bytes(file.text())).value();
    // A quadratic merge would take hours for one of these; the test's time limit is its judge.
    for (const auto* unit : {"q", "a", "ab", " ", "\n", "1", "'", "字", "\xff", "é!", " a", "!?"}) {
        std::string text;
        while (text.size() < 2000000) text += unit;
        const auto tokens = words.encode(base::as_bytes(text));
        BOOST_REQUIRE(tokens);
        BOOST_REQUIRE(base::as_text(words.decode(*tokens)) == text);
    }
}

BOOST_AUTO_TEST_CASE(spoilt_tokenizers_are_refused_or_work) {
    auto rng = rng_for("spoilt tokenizers");
    int accepted = 0;
    for (int run = 0; run < 1500; ++run) {
        bool ignore_merges = false;
        const auto text = spoilt(rng, random_file(rng, ignore_merges).text());
        within_reason("tokenizer.json", text.size(), [&] {
            const auto words = tokenizer::from_json(base::as_bytes(text));
            if (!words) {
                BOOST_REQUIRE(!words.error().message().empty());
                return;
            }
            ++accepted;
            const auto sample = random_text(rng, 30);
            const auto tokens = words->encode(base::as_bytes(sample));
            // A spoilt pattern may do anything but hang; a spoilt flag may ask for a prefix.
            if (!tokens) return;
            const auto back = words->decode(*tokens);
            BOOST_REQUIRE(base::as_text(back).ends_with(sample) ||
                          text.find("\"add_prefix_space\": false") == std::string::npos);
        });
    }
    std::printf("%d of 1500 still meant something\n", accepted);
}

BOOST_AUTO_TEST_CASE(spoilt_text_files_are_refused_or_read) {
    auto rng = rng_for("spoilt texts");
    std::string lines;
    for (int i = 0; i < 20; ++i) {
        lines += "{\"id\": " + std::to_string(i) + ", \"text\": \"line \\u00e9 " +
                 std::to_string(i) + "\", \"more\": [1, {\"a\": null}]}\n";
    }
    for (int run = 0; run < 2000; ++run) {
        const auto text = spoilt(rng, lines);
        within_reason("jsonl", text.size(), [&] {
            const source_file file{"d.jsonl", base::as_bytes(text)};
            tokenise_options options;
            options.context = 8;
            const auto data = tokenise({&file, 1}, options);
            if (!data) BOOST_REQUIRE(data.error().message().find("d.jsonl") != std::string::npos);
        });
    }
}

BOOST_AUTO_TEST_CASE(spoilt_token_files_are_refused_or_read) {
    auto rng = rng_for("spoilt tokens");
    for (const std::uint32_t magic : {0U, 20240520U, 20240801U}) {
        base::byte_vector bytes;
        base::byte_writer writer(bytes);
        if (magic != 0) {
            writer.u32(magic);
            writer.u32(magic == 20240520U ? 1 : 7);
            writer.u32(500);
            bytes.resize(1024);
        }
        for (std::uint32_t i = 0; i < 500; ++i) {
            if (magic == 20240801U) {
                writer.u32(i);
            } else {
                writer.u16(static_cast<std::uint16_t>(i));
            }
        }
        for (int run = 0; run < 1000; ++run) {
            // Most faults should fall into the header.
            auto text = std::string(base::as_text(bytes));
            if (rng.chance(0.7)) {
                text = spoilt(rng, text.substr(0, 12)) + text.substr(12);
            } else {
                text = spoilt(rng, text);
            }
            within_reason("token file", text.size(), [&] {
                const source_file file{"t.bin", base::as_bytes(text)};
                tokenise_options options;
                options.context = 8;
                options.vocabulary = 50257;
                const auto data = tokenise({&file, 1}, options);
                if (!data) return;
                BOOST_REQUIRE(data->tokens.size() <= text.size());
                BOOST_REQUIRE(data->config.token_count > 8);
            });
        }
    }
}

BOOST_AUTO_TEST_CASE(spoilt_examples_are_refused_or_read) {
    auto rng = rng_for("spoilt examples");
    const auto images = idx(30, {2, 3}, 180);
    const auto labels = idx(30, {}, 30);
    std::string table = "width,height,\"the kind\"\r\n";
    for (int i = 0; i < 30; ++i) {
        table += std::to_string(i * 0.37) + ",-" + std::to_string(i) +
                 (i % 2 != 0 ? ",\"a\"\r\n" : ",b\n");
    }
    const auto read = [&](std::initializer_list<source_file> files) {
        std::size_t size = 0;
        for (const auto& f : files) size += f.bytes.size();
        example_options options;
        options.shuffle = rng.chance(0.5);
        options.validation_share = rng.chance(0.5) ? 0.1 : 0;
        within_reason("examples", size, [&] {
            const auto data = read_examples({files.begin(), files.size()}, options);
            if (!data) {
                BOOST_REQUIRE(!data.error().message().empty());
                return;
            }
            BOOST_REQUIRE(data->blob.size() ==
                          example_head_bytes(data->inputs) +
                              data->examples * example_bytes(data->inputs, data->value_bytes));
            BOOST_REQUIRE(data->validation < data->examples);
            BOOST_REQUIRE(data->class_names.size() == data->classes);
        });
    };
    for (int run = 0; run < 1500; ++run) {
        const auto bad_images =
            rng.chance(0.5) ? spoilt(rng, images.substr(0, 16)) + images.substr(16) : images;
        const auto bad_labels =
            rng.chance(0.5) ? spoilt(rng, labels.substr(0, 8)) + labels.substr(8) : labels;
        const auto bad_table = spoilt(rng, table);
        read({{"i.idx", base::as_bytes(bad_images)}, {"l.idx", base::as_bytes(bad_labels)}});
        read({{"d.csv", base::as_bytes(bad_table)}});
    }
}

BOOST_AUTO_TEST_SUITE_END()
