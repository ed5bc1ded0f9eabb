#pragma once

/// The recipe: everything that determines a job's bits, and nothing else. Its canonical text is
/// what is hashed, signed and shown; the text and the struct map onto each other one to one.
///
/// Canonical text: lines `key value` in one fixed order under the lines `[model]`, `[data]`,
/// `[train]`, `[slices]`, first line `tequio/recipe/v1`, every line ended by 0x0A. Integers in
/// decimal; reals are the shortest text that reads back to the same bits (std::to_chars).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/blob.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

namespace tequio::training {

/// Bounds of every field, checked before anything is allocated. A recipe within them cannot
/// overflow any count computed from it.
struct recipe_limits {
    static constexpr std::uint64_t text_bytes = 16 * 1024;
    static constexpr std::uint64_t layers = 1024;
    static constexpr std::uint64_t heads = 1024;
    static constexpr std::uint64_t width = 65536;
    static constexpr std::uint64_t head_size = 256;
    static constexpr std::uint64_t context = 65536;
    static constexpr std::uint64_t vocabulary = 1048576;
    static constexpr std::uint64_t hidden = 262144;
    static constexpr std::uint64_t inputs = 1048576;
    static constexpr std::uint64_t parameters = std::uint64_t{1} << 34;
    static constexpr std::uint64_t lanes = 65536;
    static constexpr std::uint64_t rounds = std::uint64_t{1} << 20;
    static constexpr std::uint64_t inner_steps = std::uint64_t{1} << 20;
    static constexpr std::uint64_t step_tokens = std::uint64_t{1} << 24;  ///< batch * context
    static constexpr std::uint64_t lane_flops = std::uint64_t{1} << 62;
    static constexpr int window_min = -80;  ///< the kernels' limits (numerics/mx_block.hpp): every
    static constexpr int window_max = 0;    ///< value that a code can mean is a normal float32
    /// Where lanes send block codes and the mean is f32, which ends below 2^23.
    static constexpr int window_max_f32_down = -23;
    /// Smallest learning rate, epsilon, clip: below it float32 weights do not move, and updates
    /// underflow.
    static constexpr double rate_min = 1e-15;
    static constexpr double rate_max = 1e9;
};

/// A model's shape. Fields that a family does not have keep their defaults and are not in its text.
/// An mlp classifies examples: it has no heads, its context is 1 (a "sequence" is one example) and
/// `vocabulary` counts its classes.
struct model_config {
    std::string family;            ///< gpt2 | llama | mlp
    std::uint64_t layers = 0;      ///< of an mlp: hidden layers
    std::uint64_t heads = 0;       ///< query heads
    std::uint64_t width = 0;       ///< a multiple of `heads`
    std::uint64_t context = 0;     ///< tokens a sequence
    std::uint64_t vocabulary = 0;  ///< follows from the tokenizer ("bytes": 256)
    /// llama: heads of keys and values, a divisor of `heads`.
    std::uint64_t kv_heads = 0;
    std::uint64_t hidden = 0;    ///< llama: width between up and down projection
    double rope_theta = 10000;   ///< llama: base of the rotary frequencies
    double norm_epsilon = 1e-5;  ///< llama: in RMSNorm
    bool tied = true;            ///< llama: the output head is the embedding
    std::uint64_t inputs = 0;    ///< mlp: values an example; follows from the data
    /// Weights to start from (the floats of all tensors by name, without padding); none: drawn.
    std::optional<base::blob_ref> init = {};
    bool operator==(const model_config&) const = default;
};

/// The data by digest. For language models: tokens, little-endian unsigned integers of
/// `token_bytes` bytes. For an mlp the blob holds examples: `inputs` float32 shifts, `inputs`
/// float32 factors, then each example as a uint32 label and `inputs` values of `token_bytes` bytes
/// (1: unsigned integers, 4: float32), all little-endian; the model sees (value - shift) * factor,
/// see `dataset_view::read_example`.
struct data_config {
    base::blob_ref tokens;
    std::uint32_t token_bytes = 1;        ///< 1, 2 or 4; of an mlp's values 1 or 4
    std::uint64_t token_count = 0;        ///< tokens, or examples
    std::uint64_t validation_tokens = 0;  ///< the last ones; 0: no validation
    bool operator==(const data_config&) const = default;
};

/// AdamW: of each lane with method diloco, of the job as a whole with method synchronous.
struct inner_config {
    double lr = 4e-4;
    double beta1 = 0.9;
    double beta2 = 0.95;
    double epsilon = 1e-8;
    double weight_decay = 0.1;
    double clip = 1.0;             ///< bound of the gradient's norm; 0: none
    std::uint64_t ramp_steps = 0;  ///< of each round; diloco
    bool operator==(const inner_config&) const = default;
};

/// Nesterov between rounds; diloco.
struct outer_config {
    double lr = 0.7;
    double momentum = 0.9;
    bool operator==(const outer_config&) const = default;
};

/// The inner learning rate over t = round * inner_steps + step; ends at rounds * inner_steps.
struct schedule_config {
    std::uint64_t warmup = 0;
    std::string decay = "cosine";  ///< cosine | linear | none
    double final_share = 0.1;      ///< of the full rate, at the end
    bool operator==(const schedule_config&) const = default;
};

/// The two methods.
inline constexpr std::string_view method_diloco = "diloco";
inline constexpr std::string_view method_synchronous = "synchronous";

/// How a model is trained. With method diloco lanes take `inner_steps` steps each and send how far
/// they came; with method synchronous they send one step's gradient, `inner_steps` is 1, and what
/// belongs to diloco alone keeps its defaults and is not in the text.
struct train_config {
    std::uint64_t lanes = 0;
    std::uint64_t rounds = 0;
    std::uint64_t inner_steps = 0;
    std::uint64_t batch = 0;        ///< sequences a lane and inner step
    std::uint64_t micro_batch = 0;  ///< sequences at a time; divides `batch`
    int window = -40;               ///< E: sums are integers in units of 2^E (f32: of 2^-80)
    inner_config inner;
    outer_config outer;
    schedule_config schedule;
    std::string method = "diloco";
    std::string codec = "mxint8";       ///< f32 | mxint8 | mxfp4: what lanes send
    std::string codec_down = "mxint8";  ///< the same: what the mean is rounded to
    std::string numerics = "exact/1";
    std::uint64_t seed = 1;
    bool operator==(const train_config&) const = default;
    bool synchronous() const { return method == method_synchronous; }
};

/// Where a lane can be divided. At every cut, whether it is used or not, activations going forward
/// and gradients coming back are rounded (numerics/cut_format.hpp), so that placement decides no
/// bit.
struct slices_config {
    /// Layers before which a lane may be divided, ascending, from 1 to layers - 1. An mlp has none.
    std::vector<std::uint64_t> cuts = {};
    std::string activations = "f32";  ///< f32 | bf16 | mxint8; without cuts f32
    bool operator==(const slices_config&) const = default;
};

/// What determines the bits.
struct recipe {
    model_config model;
    data_config data;
    train_config train;
    slices_config slices = {};
    bool operator==(const recipe&) const = default;
};

/// The canonical text: the thing hashed. Any recipe has one; only a valid one parses back.
std::string recipe_text(const recipe& r);

/// Checks every field against `recipe_limits` and the fields against one another.
/// Errors: `errc::bad_recipe` naming key, found and allowed; `errc::not_in_version` for a family,
/// method, codec or profile that this version does not have.
base::result<void> check_recipe(const recipe& r);

/// Strict: accepts exactly what `recipe_text` writes of a recipe that passes `check_recipe`.
/// Errors as there. Safe on any input.
base::result<recipe> parse_recipe(std::string_view text);

/// SHA-256 of the canonical text.
base::recipe_id recipe_id_of(const recipe& r);

/// Number of trained values (tied tensors once, no padding); nullopt above
/// `recipe_limits::parameters` or for a family that this version lacks.
std::optional<std::uint64_t> parameter_count(const model_config& model);

/// Tokens whose loss a lane counts: inner_steps * batch * context.
std::uint64_t lane_tokens(const recipe& r);

/// The blobs that computing needs, in this order: the data, then the weights to start from if
/// `model.init` names some.
std::vector<base::blob_ref> recipe_blobs(const recipe& r);

/// What is counted as "tokens" of such a model, in words for people: "tokens" or "examples".
std::string_view counted_as(const model_config& model);

/// Size of the data blob that `data` says a model has. Saturates at 2^64-1.
std::uint64_t data_blob_bytes(const model_config& model, const data_config& data);

/// Floating-point operations for each trained token (or example), as receipts count them: 6 * P +
/// 12 * layers * context * width; an mlp has no second term. For a model within `recipe_limits`.
/// Source: Kaplan et al. 2020, section 2.1, with the attention term.
std::uint64_t token_flops(const model_config& model);

/// Floating-point operations of one lane: `token_flops` times `lane_tokens`. At most
/// `recipe_limits::lane_flops` for a valid recipe.
std::uint64_t lane_flops(const recipe& r);

}  // namespace tequio::training
