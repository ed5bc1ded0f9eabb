#pragma once

/// Text to tokens and back: single bytes, or byte-level BPE as Hugging Face's `tokenizer.json`
/// describes it (GPT-2 and Llama-3 style). The submitter's side only: nodes never tokenise, because
/// tables of Unicode differ from machine to machine (NUMERICS.md, rule 7).
///
/// What `encode` does, in this order:
///  1. Bytes that are no UTF-8 are kept as they are: each is a piece and a token of its own. What
///     lies between them, each longest well-formed stretch, is split on its own.
///  2. Added tokens that are not "special" are cut out, the leftmost first, of several the longest.
///     Special ones (`<|endoftext|>`) are not looked for: text that spells one is text. This is
///     tiktoken's `encode_ordinary`, and `split_special_tokens = True` of Hugging Face; a document
///     cannot forge the end of another. `end_of_text` is for those who join documents.
///  3. The pre-tokenizer's patterns cut the rest into pieces (PCRE2, data/split_pattern.hpp).
///  4. Each piece's bytes are merged pair by pair, the pair of lowest rank first, of equals the
///     leftmost (Sennrich et al. 2016); with `ignore_merges` a piece that is a token is taken
///     whole.
/// So decode(encode(x)) == x for every byte string x, unless `add_prefix_space` is set.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace tequio::training {

/// A tokenizer.json above this is refused before it is read. The largest in use has 28 MB.
inline constexpr std::size_t tokenizer_json_max_bytes = 64 * 1024 * 1024;
/// Longest piece that is merged; a longer one means a text without any break.
inline constexpr std::size_t tokenizer_piece_max_bytes = std::size_t{1} << 28;

/// Called with each block of new tokens (at most 65,536) and the bytes of text done so far; false
/// stops.
using token_block_sink =
    std::function<bool(std::span<const std::uint32_t> tokens, std::uint64_t bytes_done)>;

/// Immutable; copies share one table. Threads: const functions may be called from several.
class tokenizer {
public:
    /// Every byte is its own token; 256 of them, no end of text.
    static tokenizer of_bytes();

    /// Reads a tokenizer.json. `file_name` stands in messages.
    /// Read: `model` (BPE with `vocab`, `merges` in either spelling, `ignore_merges`),
    /// `pre_tokenizer` (ByteLevel, or a Sequence of Splits by Regex, Isolated, and a ByteLevel),
    /// `added_tokens`, `decoder` (must be ByteLevel). Not applied to training text, hence not read:
    /// `post_processor`, `truncation`, `padding`, `model.unk_token`, `model.fuse_unk`.
    /// Errors, naming the key, what was found and what is allowed: `errc::not_in_version` for what
    /// this version lacks (other models, normalizers, dropout, byte fallback, ...);
    /// `errc::bad_data` for what cannot be meant: no JSON, ids with gaps or given twice, merges of
    /// unknown tokens, a vocabulary that lacks one of the 256 bytes, a pattern that does not
    /// compile. Safe on any input; memory is in proportion to its size.
    static base::result<tokenizer> from_json(base::byte_view json,
                                             std::string_view file_name = "tokenizer.json");

    /// Number of token ids: they run from 0 without gaps.
    std::uint64_t vocabulary() const;
    /// Whether this is `of_bytes`.
    bool is_bytes() const;
    /// The token that stands between documents: the first of `<|endoftext|>`, `<|end_of_text|>`,
    /// `</s>`, `<eos>` and DeepSeek's `end of sentence` that the vocabulary has.
    std::optional<std::uint32_t> end_of_text() const;

    /// Tokens of `text`, in blocks. Errors: `errc::stopped` when the sink says so; `errc::bad_data`
    /// for a piece above `tokenizer_piece_max_bytes` or a pattern that needs more than its limits.
    /// Cost: about 0.05 s a MB of prose; n log n of the longest piece on any text. Memory: about 28
    /// bytes a byte of the longest piece.
    base::result<void> encode(base::byte_view text, const token_block_sink& sink) const;
    /// All of them at once.
    base::result<std::vector<std::uint32_t>> encode(base::byte_view text) const;

    /// The bytes that `token` stands for; none for an id that is not in the vocabulary. An added
    /// token stands for its own spelling. Lives as long as the tokenizer.
    base::byte_view bytes_of(std::uint32_t token) const;
    /// The bytes of all tokens, in order.
    base::byte_vector decode(std::span<const std::uint32_t> tokens) const;

private:
    friend class text_encoder;
    struct tables;
    explicit tokenizer(std::shared_ptr<const tables> t) : tables_(std::move(t)) {}
    std::shared_ptr<const tables> tables_;
};

/// The working memory of `tokenizer::encode`, kept from text to text: what many short documents are
/// encoded with. Belongs to one thread.
class text_encoder {
public:
    /// `text_bytes`: about how much is to come; it decides how many short pieces are remembered.
    text_encoder(const tokenizer& words, std::uint64_t text_bytes);
    text_encoder(text_encoder&&) noexcept;
    ~text_encoder();
    /// As `tokenizer::encode`, whatever was encoded before.
    base::result<void> encode(base::byte_view text, const token_block_sink& sink);

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace tequio::training
