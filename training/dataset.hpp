#pragma once

/// Text to tokens (the submitter's side), and tokens to sequences (every node's side).
///
/// The token blob is the plain array of tokens. Its last `validation_tokens` are for validation,
/// the others for training. A sequence is context + 1 consecutive tokens: inputs 0..context-1,
/// targets 1..context.
///
/// The data of an mlp is a blob of examples (`data_config`), and an example is what a sequence is
/// to a language model: the last ones are for validation, and a step draws its own from the others.

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "training/recipe.hpp"
#include "training/tokenizer.hpp"

namespace tequio::training {

/// At most this many windows are validated: validation must stay a small share of a round.
inline constexpr std::uint64_t validation_windows_max = 64;
/// The same for examples: MNIST's 10,000 all count.
inline constexpr std::uint64_t validation_examples_max = 16384;

/// What a data file holds. Its name says it.
enum class file_kind {
    text,    ///< one document
    jsonl,   ///< a JSON object a line; its field "text" is a document
    tokens,  ///< nanoGPT's or llm.c's
    idx,     ///< images and labels, as MNIST's
    csv,     ///< numbers and a label a line
};

/// `.jsonl`; `.bin` tokens; `.idx` or `-ubyte` idx; `.csv`; everything else is text.
file_kind file_kind_of(std::string_view name);
/// "text", "JSONL", "tokens", "idx", "CSV": for messages.
std::string_view file_kind_name(file_kind kind);
/// True for idx and CSV, whose contents are labelled examples and not tokens.
constexpr bool holds_examples(file_kind kind) {
    return kind == file_kind::idx || kind == file_kind::csv;
}

/// A file as read by the shell. `name` is for messages.
struct source_file {
    std::string name;
    base::byte_view bytes;
};

/// Told how many bytes of how many are done; false stops.
using data_progress = std::function<bool(std::uint64_t done, std::uint64_t all)>;

/// How tokens are made of files.
struct tokenise_options {
    tokenizer words = tokenizer::of_bytes();
    /// Tokens that the model knows: at least those of `words`; 0: just those. Token files need it
    /// unless `words` is a tokenizer.json.
    std::uint64_t vocabulary = 0;
    double validation_share = 0;  ///< 0 <= share < 1
    std::uint64_t context = 0;
    data_progress progress;  ///< may be empty
};

/// What a submitter makes of text.
struct tokenised_data {
    base::byte_vector tokens;      ///< the blob
    data_config config;            ///< names it
    std::uint64_t vocabulary = 0;  ///< every token is below
};

/// Makes the token blob of text, JSONL and token files, in the order given.
/// Documents (a text file, a line of JSONL) are joined by the end of text that the tokenizer has,
/// else by the tokens of one newline (0x0A). Token files are joined as they are, and not mixed with
/// others: nanoGPT's are uint16 without header; llm.c's have one of 256 int32: 20240520, 1, count,
/// for uint16, or 20240801, 7, count, for uint32 (karpathy/llm.c, dev/data/data_common.py). Those
/// two numbers at the start decide.
/// A token takes 1, 2 or 4 bytes, as the vocabulary needs. The last floor(validation_share * count)
/// tokens are for validation; 0 means none.
/// Errors: `errc::bad_data`, naming the file (and line) or the size needed: no file, an empty file,
/// headers that lie, tokens that are not below the vocabulary, a training part or (unless the share
/// is 0) a validation part shorter than context + 1; `errc::stopped`.
base::result<tokenised_data> tokenise(std::span<const source_file> files,
                                      const tokenise_options& options);

/// The same with the tokenizer "bytes"; all files are text whatever their names.
base::result<tokenised_data> tokenise_bytes(std::span<const source_file> files,
                                            double validation_share, std::uint64_t context);

/// What is subtracted from each value of an example, and what it is multiplied by: (inputs) each.
struct example_scales {
    std::vector<float> shifts, factors;
};
/// Those at the start of a blob of examples; subnormals are +0. blob: at least 8 * inputs bytes.
example_scales example_scales_of(base::byte_view blob, std::uint64_t inputs);

/// Windows (of an mlp: examples) that one validation of a checked recipe scores; 0: no validation.
std::uint64_t validation_windows_of(const recipe& r);

/// A recipe's tokens, looked at as sequences, or its examples. Holds a view: the bytes must outlive
/// it. Threads: const functions may be called from several.
class dataset_view {
public:
    /// `blob`: named by `r.data.tokens`, already verified against its root.
    /// Errors: `errc::bad_data` when the length differs from the recipe's, a token is not below the
    /// vocabulary, a label not below the number of classes, or a value of an example not finite,
    /// before or after it is shifted and scaled. Cost: one pass, for tokens only when the
    /// vocabulary is smaller than a token can say.
    static base::result<dataset_view> open(base::byte_view blob, const recipe& r);

    /// First token of training sequence `index` (0..batch-1) of `step` in (round, lane), or the
    /// number of the example. Uniform over all places in the training part where a sequence fits:
    /// stream "data order", counter (round, lane, step), x = word 2 * index + 2^32 * word (2 *
    /// index + 1), start = floor(x * places / 2^64). The bias is below places / 2^64.
    std::uint64_t training_start(base::round_index round, base::lane_index lane, std::uint64_t step,
                                 std::uint64_t index) const;
    /// Number of validation windows or examples: `validation_windows_of` the recipe.
    std::uint64_t validation_windows() const { return validation_windows_; }
    /// First token of validation window `window`: windows of context + 1 tokens (or an example)
    /// side by side from the start of the validation part.
    std::uint64_t validation_start(std::uint64_t window) const;

    /// Tokens start..start + out.size() - 1. Ensures that they exist.
    void read(std::uint64_t start, std::span<std::uint32_t> out) const;

    /// Label of example `index`, and its values as the model sees them. values: (inputs), written:
    ///   d = flush_subnormal(flush_subnormal(value) - shift);
    ///   x = +0 where |d * factor| < 2^-48, else d * factor,
    /// the product exact before it is compared and rounded. Ensures that the data is examples and
    /// has this one.
    std::uint32_t read_example(std::uint64_t index, std::span<float> values) const;
    bool holds_examples() const { return !scales_.factors.empty(); }

    const data_config& config() const { return config_; }
    std::uint64_t context() const { return context_; }
    /// Tokens (or examples) before the validation part.
    std::uint64_t training_tokens() const {
        return config_.token_count - config_.validation_tokens;
    }

private:
    dataset_view() = default;
    base::result<void> check_tokens(std::uint64_t vocabulary) const;
    base::result<void> open_examples(const model_config& model);
    base::byte_view example(std::uint64_t index) const;

    base::byte_view blob_;
    data_config config_;
    std::uint64_t context_ = 0;
    std::uint64_t places_ = 0;  ///< where a training sequence, or example, may start
    std::uint64_t validation_windows_ = 0;
    std::array<std::uint32_t, 2> order_key_{};  ///< Philox key of the stream "data order"
    example_scales scales_;                     ///< of tokens none
};

}  // namespace tequio::training
