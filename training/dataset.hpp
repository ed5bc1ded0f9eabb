#pragma once

/// Text to tokens (the submitter's side), and tokens to sequences (every node's side).
///
/// The token blob is the plain array of tokens. Its last `validation_tokens` are for validation,
/// the others for training. A sequence is context + 1 consecutive tokens: inputs 0..context-1,
/// targets 1..context.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "training/recipe.hpp"

namespace tequio::training {

/// At most this many windows are validated: validation must stay a small share of a round.
inline constexpr std::uint64_t validation_windows_max = 64;

/// A file as read by the shell. `name` is for messages.
struct source_file {
    std::string name;
    base::byte_view bytes;
};

/// What a submitter makes of text.
struct tokenised_data {
    base::byte_vector tokens;  ///< the blob
    data_config config;        ///< names it
};

/// Tokenizer "bytes": every byte is its own token, whatever the encoding. Files are joined in the
/// order given with one newline (0x0A) between two of them.
/// The last floor(validation_share * count) tokens are for validation; 0 means none.
/// Errors: `errc::bad_data`, naming the file or the size needed: no file, an empty file, a training
/// part or (unless the share is 0) a validation part shorter than context + 1.
base::result<tokenised_data> tokenise_bytes(std::span<const source_file> files,
                                            double validation_share, std::uint64_t context);

/// A recipe's tokens, looked at as sequences. Holds a view: the bytes must outlive it.
/// Threads: const functions may be called from several.
class dataset_view {
public:
    /// `tokens`: the blob named by `r.data.tokens`, already verified against its root.
    /// Errors: `errc::bad_data` when the length differs from the recipe's or a token is not below
    /// the vocabulary. Cost: one pass when the vocabulary is smaller than a token can say.
    static base::result<dataset_view> open(base::byte_view tokens, const recipe& r);

    /// First token of training sequence `index` (0..batch-1) of `step` in (round, lane). Uniform
    /// over all places in the training part where a sequence fits: stream "data order", counter
    /// (round, lane, step), x = word 2 * index + 2^32 * word (2 * index + 1), start = floor(x *
    /// places / 2^64). The bias is below places / 2^64.
    std::uint64_t training_start(base::round_index round, base::lane_index lane, std::uint64_t step,
                                 std::uint64_t index) const;
    /// Number of validation windows, at most `validation_windows_max`; 0 when there is none.
    std::uint64_t validation_windows() const { return validation_windows_; }
    /// First token of validation window `window`: windows of context + 1 tokens, side by side from
    /// the start of the validation part.
    std::uint64_t validation_start(std::uint64_t window) const;

    /// Tokens start..start + out.size() - 1. Ensures that they exist.
    void read(std::uint64_t start, std::span<std::uint32_t> out) const;

    const data_config& config() const { return config_; }
    std::uint64_t context() const { return context_; }
    /// Tokens before the validation part.
    std::uint64_t training_tokens() const {
        return config_.token_count - config_.validation_tokens;
    }

private:
    dataset_view() = default;
    base::byte_view tokens_;
    data_config config_;
    std::uint64_t context_ = 0;
    std::uint64_t validation_windows_ = 0;
    std::array<std::uint32_t, 2> order_key_{};  ///< Philox key of the stream "data order"
};

}  // namespace tequio::training
