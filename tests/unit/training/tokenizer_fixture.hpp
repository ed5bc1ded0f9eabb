#pragma once

/// tokenizer.json files of a few tokens, written as Hugging Face writes them.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "training/data/bpe.hpp"

namespace tequio::tests {

inline std::string json_text(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + '"';
}

/// A GPT-2 style file; change what a test is about.
struct tokenizer_json {
    std::vector<std::pair<std::string, std::string>> merges{};  ///< bytes; each makes a token
    std::vector<std::string> words{};  ///< bytes; tokens without a merge, after the merged ones
    std::vector<std::string> special{};
    std::vector<std::string> added{};  ///< not special
    bool pairs = false;                ///< merges as ["a", "b"], as newer files have them
    std::string model_extra{};         ///< members put into "model": ", \"dropout\": 0.5"
    std::string pre_tokenizer =
        R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true})";
    std::string normalizer = "null";
    std::string decoder = R"({"type": "ByteLevel"})";

    std::string text() const {
        std::string vocab;
        int id = 0;
        const auto token = [&](std::string_view bytes) {
            if (id != 0) vocab += ", ";
            vocab += json_text(training::spelling_of_bytes(bytes)) + ": " + std::to_string(id++);
        };
        for (int b = 0; b < 256; ++b) {
            const char byte = static_cast<char>(b);
            token({&byte, 1});
        }
        std::string list;
        for (const auto& [left, right] : merges) {
            token(left + right);
            const auto a = training::spelling_of_bytes(left);
            const auto b = training::spelling_of_bytes(right);
            if (!list.empty()) list += ", ";
            list += pairs ? "[" + json_text(a) + ", " + json_text(b) + "]" : json_text(a + " " + b);
        }
        for (const auto& word : words) token(word);
        std::string more;
        const auto add = [&](const std::string& content, const char* is_special) {
            if (!more.empty()) more += ", ";
            more += "{\"id\": " + std::to_string(id++) + ", \"content\": " + json_text(content) +
                    ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                    "\"normalized\": false, \"special\": " +
                    is_special + "}";
        };
        for (const auto& content : special) add(content, "true");
        for (const auto& content : added) add(content, "false");
        return "{\"version\": \"1.0\", \"truncation\": null, \"added_tokens\": [" + more +
               "], \"normalizer\": " + normalizer + ", \"pre_tokenizer\": " + pre_tokenizer +
               ", \"post_processor\": {\"type\": \"TemplateProcessing\"}, \"decoder\": " + decoder +
               ", \"model\": {\"type\": \"BPE\"" + model_extra + ", \"vocab\": {" + vocab +
               "}, \"merges\": [" + list + "]}}";
    }
};

}  // namespace tequio::tests
