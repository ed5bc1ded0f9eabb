#pragma once

/// Text from a trained model.

#include <cstdint>
#include <functional>
#include <memory>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "training/executor.hpp"
#include "training/model_folder.hpp"

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

/// Continues `prompt`, one token a byte; an empty prompt counts as one newline. The model sees the
/// last `context` tokens, each time anew. Token i is drawn by inverse CDF, in float64, from draw i
/// of the stream "sampling": model, prompt and options fix every one. The bytes need not be UTF-8.
/// Errors: `errc::bad_data` when a byte of the prompt is not below the vocabulary or the
/// temperature is negative or not finite; `errc::out_of_memory`.
base::result<void> sample(const loaded_model& model, base::byte_view prompt,
                          const sample_options& options, executor& run, const token_sink& sink);

}  // namespace tequio::training
