#pragma once

/// Byte pair encoding over bytes: tables that a tokenizer.json describes, and the merging of one
/// piece. Pure; no JSON, no regular expressions.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace tequio::training {

/// What a tokenizer.json says, as far as this version reads it. Texts are as spelled there.
struct bpe_description {
    struct added_token {
        std::string content;
        std::uint32_t id = 0;
        bool special = false;
        bool normalized = true;  ///< looked for after those that are not
    };
    struct merge {
        std::string left, right;
    };
    std::vector<std::pair<std::string, std::uint32_t>> vocabulary;  ///< in the byte alphabet
    std::vector<merge> merges;                                      ///< by rank
    std::vector<added_token> added;
    std::vector<std::string> patterns;  ///< applied one after the other, each to the last's pieces
    bool ignore_merges = false;
    bool add_prefix_space = false;
};

/// The bytes that a token's spelling stands for: GPT-2's alphabet gives each byte a printable
/// character (0x21..0x7E, 0xA1..0xAC and 0xAE..0xFF stand for themselves, the others are U+0100
/// upwards, ascending). Nothing for a spelling with a character outside of it: no text is made of
/// that one. Source: openai/gpt-2, encoder.py, bytes_to_unicode.
std::optional<std::string> bytes_of_spelling(std::string_view spelling);
/// How the alphabet spells `bytes`.
std::string spelling_of_bytes(std::string_view bytes);

/// Tokens as bytes, and what merges into what.
class bpe_tables {
public:
    /// Errors: `errc::bad_data`, naming the key below "model" or "added_tokens".
    static base::result<bpe_tables> make(const bpe_description& description);

    std::uint32_t size() const { return static_cast<std::uint32_t>(starts_.size() - 1); }
    std::string_view bytes_of(std::uint32_t token) const {
        return std::string_view(bytes_).substr(starts_[token], starts_[token + 1] - starts_[token]);
    }
    std::uint32_t byte_token(unsigned char byte) const { return byte_tokens_[byte]; }
    /// The token of `model.vocab` with these bytes.
    std::optional<std::uint32_t> find(std::string_view bytes) const;

    /// What a pair of neighbours becomes.
    struct merged {
        std::uint32_t rank = none;
        std::uint32_t token = none;
    };
    static constexpr std::uint32_t none = 0xffffffff;
    /// `rank == none` when the two do not merge. Cost: a binary search among the partners of left.
    merged merge_of(std::uint32_t left, std::uint32_t right) const;

private:
    struct partner {
        std::uint32_t right;
        std::uint32_t rank;
        std::uint32_t token;
    };
    base::result<void> take_tokens(const bpe_description& description);
    base::result<void> sort_by_bytes(const bpe_description& description);
    base::result<void> take_bytes();
    base::result<void> take_merges(const bpe_description& description);

    std::string bytes_;                    ///< of all tokens, one after the other
    std::vector<std::uint32_t> starts_;    ///< (size + 1) where each begins
    std::vector<std::uint32_t> by_bytes_;  ///< those that text can be made of, ascending
    std::vector<std::uint32_t> row_;       ///< (size + 1) where the partners of each left begin
    std::vector<partner> partners_;        ///< ascending by left, then right
    std::array<std::uint32_t, 256> byte_tokens_{};
};

/// Merges pieces. Holds working memory: belongs to one thread.
class bpe_merger {
public:
    explicit bpe_merger(const bpe_tables& tables) : tables_(tables) {}
    /// Appends the tokens of `piece` (1 to 2^32 - 2 bytes): the pair of lowest rank is merged
    /// first, of equals the leftmost, until no neighbours merge. Cost: n log n in its bytes.
    void merge(std::string_view piece, std::vector<std::uint32_t>& out);

private:
    void offer(std::uint32_t at);
    const bpe_tables& tables_;
    std::vector<std::uint32_t> token_, next_, previous_;  ///< a list, by place of its first byte
    std::vector<std::uint64_t> heap_;                     ///< rank * 2^32 + place of the left one
};

/// Tokens of short pieces seen before, each in the one place that its hash names: bounded memory,
/// and no text can make it slow.
class piece_cache {
public:
    /// Room in proportion to the text: a slot for every 16 bytes, at most 65,536 (4 MiB).
    explicit piece_cache(std::size_t text_bytes);
    /// Empty when the piece is not held.
    std::span<const std::uint32_t> find(std::string_view piece) const;
    void keep(std::string_view piece, std::span<const std::uint32_t> tokens);

private:
    static constexpr std::size_t piece_max_bytes = 30;
    static constexpr std::size_t tokens_max = 8;
    struct slot {
        std::uint8_t size = 0;
        std::uint8_t count = 0;
        std::array<char, piece_max_bytes> piece{};
        std::array<std::uint32_t, tokens_max> tokens{};
    };
    std::size_t slot_of(std::string_view piece) const;
    std::vector<slot> slots_;
};

}  // namespace tequio::training
