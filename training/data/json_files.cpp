#include "training/data/json_files.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <string>

#include "training/data/byte_order_mark.hpp"
#include "training/data/split_pattern.hpp"
#include "training/errc.hpp"
#include "training/round/lines.hpp"
#include "training/tokenizer.hpp"

namespace tequio::training {
namespace json = boost::json;

namespace {

constexpr std::size_t depth_max = 32;
constexpr std::size_t splits_max = 16;
/// A vocabulary of 2^20 tokens and as many merges, in the longer spelling, need half of it.
constexpr std::ptrdiff_t values_max = std::ptrdiff_t{1} << 23;

std::string text_of(const json::string& s) {
    return {s.data(), s.size()};
}

std::string shown(const json::value* v) {
    if (v == nullptr) return "nothing";
    switch (v->kind()) {
        case json::kind::null:
            return "null";
        case json::kind::bool_:
            return v->get_bool() ? "true" : "false";
        case json::kind::string:
            return quoted(text_of(v->get_string()));
        case json::kind::array:
            return "an array";
        case json::kind::object: {
            // Parts of a tokenizer.json are named by their type.
            const auto* type = v->get_object().if_contains("type");
            return type != nullptr && type->is_string() ? quoted(text_of(type->get_string()))
                                                        : "an object";
        }
        default:
            return "the number " + json::serialize(*v);
    }
}

base::error refused(const std::string& key, const json::value* found, std::string_view allowed) {
    return fail(errc::bad_data,
                key + ": found " + shown(found) + ", allowed: " + std::string(allowed));
}

/// `has`: what there is instead.
base::error lacking(const std::string& key, const json::value* found, std::string_view has) {
    const auto what = shown(found);
    return fail(errc::not_in_version, key + ": found " + what + ", allowed: " + std::string(has) +
                                          " (" + what + " is not in this version)");
}

bool is_null(const json::value* v) {
    return v == nullptr || v->is_null();
}

bool is_word(const json::value* v, std::string_view word) {
    return v != nullptr && v->is_string() && std::string_view(v->get_string()) == word;
}

/// Objects with the keys of one part of the file, "model" for instance.
class part {
public:
    part(std::string path, const json::object& object) : path_(std::move(path)), object_(object) {}

    std::string key(std::string_view name) const {
        return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
    }
    const json::value* find(std::string_view name) const { return object_.if_contains(name); }

    base::result<bool> flag(std::string_view name, bool otherwise) const {
        const auto* v = find(name);
        if (is_null(v)) return otherwise;
        if (!v->is_bool()) return refused(key(name), v, "true or false");
        return v->get_bool();
    }
    /// Errors unless the flag is missing or has this value.
    base::result<void> only(std::string_view name, bool value) const {
        TEQUIO_TRY(const bool found, flag(name, value));
        if (found == value) return {};
        return lacking(key(name), find(name), value ? "true" : "false");
    }
    base::result<std::string> text(std::string_view name, std::string_view allowed) const {
        const auto* v = find(name);
        if (v == nullptr || !v->is_string()) return refused(key(name), v, allowed);
        return text_of(v->get_string());
    }

private:
    std::string path_;
    const json::object& object_;
};

base::result<part> object_at(const part& root, std::string_view name) {
    const auto* v = root.find(name);
    if (v == nullptr || !v->is_object()) return refused(root.key(name), v, "an object");
    return part(root.key(name), v->get_object());
}

base::result<std::uint32_t> id_of_value(const std::string& key, const json::value* v) {
    const auto n = v != nullptr && v->is_int64() ? v->get_int64() : -1;
    if (n < 0 || n > std::int64_t{0x7fffffff}) return refused(key, v, "an id from 0 to 2147483647");
    return static_cast<std::uint32_t>(n);
}

base::result<void> read_merges(const part& model, bpe_description& out) {
    constexpr std::string_view allowed = "\"a b\" or [\"a\", \"b\"]";
    const auto* merges = model.find("merges");
    if (merges == nullptr || !merges->is_array()) {
        return refused(model.key("merges"), merges, "an array");
    }
    const auto& items = merges->get_array();
    out.merges.reserve(items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
        const auto refuse = [&] {
            return refused(model.key("merges") + "[" + std::to_string(i) + "]", &items[i], allowed);
        };
        if (items[i].is_string()) {
            const auto text = text_of(items[i].get_string());
            const auto space = text.find(' ');
            if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
                return refuse();
            }
            out.merges.push_back({text.substr(0, space), text.substr(space + 1)});
        } else if (items[i].is_array() && items[i].get_array().size() == 2 &&
                   items[i].get_array()[0].is_string() && items[i].get_array()[1].is_string()) {
            const auto& pair = items[i].get_array();
            out.merges.push_back({text_of(pair[0].get_string()), text_of(pair[1].get_string())});
        } else {
            return refuse();
        }
    }
    return {};
}

base::result<void> read_model(const part& root, bpe_description& out) {
    TEQUIO_TRY(const auto model, object_at(root, "model"));
    // The oldest files have no type; GPT-2's own is one of them.
    const auto* type = model.find("type");
    if (type != nullptr && !is_word(type, "BPE")) {
        return type->is_string() ? lacking(model.key("type"), type, "BPE over bytes")
                                 : refused(model.key("type"), type, "BPE");
    }
    for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
        const auto* v = model.find(name);
        if (!is_null(v) && !is_word(v, "")) return lacking(model.key(name), v, "null");
    }
    const auto* dropout = model.find("dropout");
    if (!is_null(dropout) && !(dropout->is_number() && dropout->to_number<double>() == 0)) {
        return lacking(model.key("dropout"), dropout, "null");
    }
    TEQUIO_CHECK(model.only("byte_fallback", false));
    TEQUIO_TRY(out.ignore_merges, model.flag("ignore_merges", false));
    const auto* vocabulary = model.find("vocab");
    if (vocabulary == nullptr || !vocabulary->is_object()) {
        return refused(model.key("vocab"), vocabulary, "an object of tokens and their ids");
    }
    out.vocabulary.reserve(vocabulary->get_object().size());
    for (const auto& item : vocabulary->get_object()) {
        std::string text(item.key().data(), item.key().size());
        const auto* value = &item.value();
        if (!value->is_int64() || value->get_int64() < 0 || value->get_int64() > 0x7fffffff) {
            return id_of_value(model.key("vocab") + " " + quoted(text), value).error();
        }
        out.vocabulary.emplace_back(std::move(text),
                                    static_cast<std::uint32_t>(value->get_int64()));
    }
    return read_merges(model, out);
}

base::result<void> read_added(const part& root, bpe_description& out) {
    const auto* list = root.find("added_tokens");
    if (is_null(list)) return {};
    if (!list->is_array()) return refused("added_tokens", list, "an array");
    std::size_t index = 0;
    for (const auto& item : list->get_array()) {
        const auto path = "added_tokens[" + std::to_string(index++) + "]";
        if (!item.is_object()) return refused(path, &item, "an object");
        const part token(path, item.get_object());
        bpe_description::added_token made;
        TEQUIO_TRY(made.content, token.text("content", "a text"));
        if (made.content.empty())
            return refused(token.key("content"), token.find("content"), "a text");
        TEQUIO_TRY(made.id, id_of_value(token.key("id"), token.find("id")));
        TEQUIO_TRY(made.special, token.flag("special", false));
        TEQUIO_TRY(made.normalized, token.flag("normalized", true));
        // Special ones are not looked for, so it does not matter how.
        if (!made.special) {
            for (const char* name : {"single_word", "lstrip", "rstrip"}) {
                TEQUIO_CHECK(token.only(name, false));
            }
        }
        out.added.push_back(std::move(made));
    }
    return {};
}

base::result<void> read_split(const part& split, bpe_description& out) {
    if (!is_word(split.find("behavior"), "Isolated")) {
        return lacking(split.key("behavior"), split.find("behavior"), "Isolated");
    }
    TEQUIO_CHECK(split.only("invert", false));
    TEQUIO_TRY(const auto pattern, object_at(split, "pattern"));
    const auto* regex = pattern.find("Regex");
    if (regex == nullptr || !regex->is_string()) {
        return lacking(split.key("pattern"), split.find("pattern"), "{ \"Regex\": \"...\" }");
    }
    out.patterns.push_back(text_of(regex->get_string()));
    return {};
}

base::result<void> read_byte_level(const part& level, bool alone, bpe_description& out) {
    TEQUIO_TRY(const bool prefix, level.flag("add_prefix_space", true));
    if (prefix && !alone) {
        return lacking(level.key("add_prefix_space"), level.find("add_prefix_space"),
                       "false in a Sequence");
    }
    out.add_prefix_space = prefix;
    TEQUIO_TRY(const bool use_regex, level.flag("use_regex", true));
    if (use_regex) out.patterns.emplace_back(gpt2_pattern);
    return {};
}

constexpr std::string_view pre_tokenizers_has =
    "ByteLevel, or a Sequence of Splits and a ByteLevel";

base::result<void> read_pre_tokenizer(const part& root, bpe_description& out) {
    const auto* value = root.find("pre_tokenizer");
    if (is_null(value)) return lacking("pre_tokenizer", value, pre_tokenizers_has);
    TEQUIO_TRY(const auto top, object_at(root, "pre_tokenizer"));
    if (is_word(top.find("type"), "ByteLevel")) return read_byte_level(top, true, out);
    if (!is_word(top.find("type"), "Sequence")) {
        return lacking(top.key("type"), top.find("type"), pre_tokenizers_has);
    }
    const auto* list = top.find("pretokenizers");
    if (list == nullptr || !list->is_array() || list->get_array().empty() ||
        list->get_array().size() > splits_max) {
        return refused(top.key("pretokenizers"), list,
                       "an array of 1 to " + std::to_string(splits_max));
    }
    const auto& items = list->get_array();
    for (std::size_t i = 0; i < items.size(); ++i) {
        const auto path = top.key("pretokenizers") + "[" + std::to_string(i) + "]";
        if (!items[i].is_object()) return refused(path, &items[i], "an object");
        const part step(path, items[i].get_object());
        const bool last = i + 1 == items.size();
        if (last && is_word(step.find("type"), "ByteLevel")) {
            return read_byte_level(step, items.size() == 1, out);
        }
        if (last || !is_word(step.find("type"), "Split")) {
            return lacking(step.key("type"), step.find("type"), last ? "ByteLevel" : "Split");
        }
        TEQUIO_CHECK(read_split(step, out));
    }
    return {};
}

/// A line's document; empty when there is none to train on.
base::result<std::string> text_of_line(std::string_view line, json::parser& parser) {
    parser.reset();
    boost::system::error_code problem;
    parser.write(line.data(), line.size(), problem);
    if (problem) return fail(errc::bad_data, "not JSON (" + problem.message() + ")");
    const auto value = parser.release();
    if (!value.is_object()) {
        return fail(errc::bad_data,
                    "found " + shown(&value) + ", allowed: an object with the field \"text\"");
    }
    const auto* text = value.get_object().if_contains("text");
    if (text == nullptr || !text->is_string()) return refused("field \"text\"", text, "a string");
    return text_of(text->get_string());
}

}  // namespace

base::result<bpe_description> parse_tokenizer_json(base::byte_view bytes) {
    if (bytes.size() > tokenizer_json_max_bytes) {
        return fail(errc::bad_data, "found " + std::to_string(bytes.size()) +
                                        " bytes, allowed: at most " +
                                        std::to_string(tokenizer_json_max_bytes));
    }
    // A value takes 24 bytes and more of memory but may take two of the file.
    const auto begins = std::count_if(bytes.begin(), bytes.end(), [](std::uint8_t c) {
        return c == ',' || c == '[' || c == '{';
    });
    if (begins > values_max) {
        return fail(errc::bad_data, "found " + std::to_string(begins) +
                                        " commas and brackets, allowed: at most " +
                                        std::to_string(values_max));
    }
    json::parse_options options;
    options.max_depth = depth_max;
    boost::system::error_code problem;
    // All of the tree goes at once, so it is laid into blocks that go at once.
    json::monotonic_resource memory;
    const auto value = json::parse(base::as_text(bytes), problem, &memory, options);
    if (problem) return fail(errc::bad_data, "found no JSON (" + problem.message() + ")");
    if (!value.is_object()) return refused("the file", &value, "an object");
    const part root("", value.get_object());
    if (!is_null(root.find("normalizer"))) {
        return lacking("normalizer", root.find("normalizer"), "null");
    }
    bpe_description out;
    TEQUIO_CHECK(read_model(root, out));
    TEQUIO_CHECK(read_added(root, out));
    TEQUIO_CHECK(read_pre_tokenizer(root, out));
    TEQUIO_TRY(const auto decoder, object_at(root, "decoder"));
    if (!is_word(decoder.find("type"), "ByteLevel")) {
        return lacking(decoder.key("type"), decoder.find("type"), "ByteLevel");
    }
    return out;
}

base::result<void> read_jsonl(std::string_view file_name, base::byte_view bytes,
                              const document_sink& sink) {
    auto rest = without_byte_order_mark(base::as_text(bytes));
    json::parse_options options;
    options.max_depth = depth_max;
    json::parser parser({}, options);
    for (std::uint64_t number = 1; !rest.empty(); ++number) {
        const auto end = rest.find('\n');
        const auto line = rest.substr(0, end);
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        const auto text = text_of_line(line, parser);
        if (!text) {
            return text.error().at(std::string(file_name) + ":" + std::to_string(number));
        }
        if (!text->empty()) TEQUIO_CHECK(sink(*text));
    }
    return {};
}

}  // namespace tequio::training
