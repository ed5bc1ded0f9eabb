#pragma once

/// A model as others read and write it: a Hugging Face style folder with config.json, weights in
/// one or several safetensors files, and a run card. In memory; the shell writes and maps the
/// files.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "training/recipe.hpp"
#include "training/state.hpp"

namespace tequio::training {

/// File name -> contents.
using folder_files = std::map<std::string, base::byte_vector>;

// Names in a folder.
inline constexpr const char* config_file_name = "config.json";
inline constexpr const char* weights_file_name = "model.safetensors";
inline constexpr const char* index_file_name = "model.safetensors.index.json";
inline constexpr const char* tokenizer_file_name = "tokenizer.json";

/// What the run card (README.md) says. Texts come from the task: they are shown on one line, with
/// control characters replaced.
struct run_card {
    std::string name, purpose, data_license, model_license;
    std::string base_license;  ///< of the weights started from; empty: they were drawn
    base::task_id task;
    base::recipe_id recipe;
    base::digest state;  ///< `state_digest` after `rounds_done`
    std::uint64_t rounds_done = 0;
    std::uint64_t rounds = 0;
    std::uint64_t tokens = 0;  ///< (or examples) trained on, all lanes
    double loss = 0;           ///< of the last round, nats a token
    std::optional<double> validation_loss;
    double checked_share = 0;  ///< of lanes, recomputed by another node
    /// Who computed how many lanes, by node id.
    std::vector<std::pair<base::node_id, std::uint64_t>> crew;
    std::string recipe_text;  ///< canonical text, quoted in full
    /// mlp: what the data says of each value (`example_scales`), (inputs) each.
    std::vector<float> shifts, factors;
};

/// Element types that are written.
enum class weight_type { f32, bf16 };

/// How a folder is written.
struct folder_options {
    weight_type type = weight_type::f32;  ///< bf16: rounded to nearest, ties to even
    /// Bytes of tensors in one file; a larger tensor has a file of its own. 0: one file for all.
    std::uint64_t shard_max_bytes = 0;
    /// A tokenizer.json lies in the folder; the caller puts it there. Else tokens are bytes.
    bool tokenizer_file = false;
};

/// config.json, the weights (model.safetensors, or model-00001-of-0000N.safetensors and so on with
/// model.safetensors.index.json) and, with a tokenizer, tokenizer_config.json. `parameters`:
/// (padded_size of the layout of `model`), finite. Equal arguments give equal bytes.
folder_files write_model_files(const model_config& model, std::span<const float> parameters,
                               const folder_options& options = {});

/// The same and README.md, the run card; of an mlp also inputs.safetensors, the scales of its
/// values.
folder_files write_model_folder(const model_config& model, std::span<const float> parameters,
                                const run_card& card, const folder_options& options = {});

/// `write_model_folder` without the weights, which are in one file of float32.
folder_files write_model_texts(const model_config& model, const run_card& card,
                               bool tokenizer_file);

/// model.safetensors of float32 before its tensors are known: whoever has them part by part writes
/// each to its place, and comes to the bytes that `write_model_folder` makes of all at once.
struct weights_plan {
    state_layout layout;                ///< of the whole model
    base::byte_vector header;           ///< what the file begins with
    std::vector<std::uint64_t> places;  ///< of the layout's tensors, in bytes of the file
    std::uint64_t size = 0;             ///< of the file, bytes
};
weights_plan plan_weights(const model_config& model);

/// A folder's files as the shell has mapped them.
struct folder_view {
    base::byte_view config;
    /// model.safetensors.index.json; none if the weights are in one file.
    std::optional<base::byte_view> index;
    /// By name: model.safetensors, or the files that the index names (`shard_names`).
    std::map<std::string, base::byte_view> weights;
};

/// The model that config.json describes: gpt2 or llama, of Hugging Face or of this program, or an
/// mlp of this program. Errors:
/// `errc::bad_state`, naming the key; `errc::not_in_version` for what this version does not
/// compute, by key and value. Safe on any input.
base::result<model_config> read_model_config(base::byte_view config_json);

/// The files that an index names, ascending; plain names without a folder. Errors:
/// `errc::bad_state`. Safe on any input.
base::result<std::vector<std::string>> shard_names(base::byte_view index_json);

/// A model read back.
struct loaded_model {
    model_config model;
    state_layout layout;
    std::vector<float> parameters;  ///< (layout.padded_size), padding +0
};

/// Reads a folder whose tensors are float32, binary16 or bfloat16, under the names that
/// transformers gives them. Everything is checked before it is believed: sizes against
/// `recipe_limits`, tensors against the layout, lengths and overlaps before anything is allocated
/// that the files' own size does not justify; values must be finite, and |x| < 2^-48 becomes +0. A
/// head that repeats a tied embedding, and buffers that older versions wrote, are left out. Errors:
/// `errc::bad_state`, naming file and key or tensor; `errc::not_in_version` for another
/// architecture or element type. Safe on any input.
base::result<loaded_model> load_model_folder(const folder_view& files);

/// The weights of a folder as a recipe's first state names them (`model_config::init`): float32,
/// little-endian, all tensors of `model` by name, without padding. Errors: as `load_model_folder`.
base::result<base::byte_vector> load_first_weights(const folder_view& files,
                                                   const model_config& model);

}  // namespace tequio::training
