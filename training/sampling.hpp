#pragma once

/// Text from a trained model.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "training/executor.hpp"
#include "training/model_folder.hpp"
#include "training/tokenizer.hpp"

namespace tequio::training {

/// How text is drawn.
struct sample_options {
    std::uint64_t tokens = 200;  ///< how many to write
    /// Logits are divided by it. 0: always the likeliest token, the smallest of equals.
    double temperature = 0.8;
    std::uint64_t seed = 1;
};

/// Called with each new token; false ends the text.
using token_sink = std::function<bool(std::uint32_t token)>;

/// The tokens that a text continues. An empty text counts as the end of another one: the
/// tokenizer's end of text, or one newline where it has none. Errors: those of `tokenizer::encode`.
base::result<std::vector<std::uint32_t>> prompt_tokens(const tokenizer& words,
                                                       base::byte_view text);

/// Whether such a model writes text at all. Errors: `errc::bad_data` for an mlp.
base::result<void> check_writes_text(const model_config& model);

/// Continues `prompt`. The model sees the last `context` tokens, each time anew. Token i is drawn
/// by inverse CDF, in float64, from draw i of the stream "sampling": model, prompt and options fix
/// every one.
/// Errors: `errc::bad_data` when the prompt is empty or one of its tokens is not below the model's
/// vocabulary, the temperature is negative or not finite, or the model is no language model (mlp);
/// `errc::out_of_memory`.
base::result<void> sample(const loaded_model& model, std::span<const std::uint32_t> prompt,
                          const sample_options& options, executor& run, const token_sink& sink);

}  // namespace tequio::training
