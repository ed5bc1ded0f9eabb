#pragma once

/// A trained model as others read it: a Hugging Face style folder with config.json,
/// model.safetensors and a run card. In memory; the shell writes and reads the files.

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

/// What the run card (README.md) says. Texts come from the task: they are shown on one line, with
/// control characters replaced.
struct run_card {
    std::string name, purpose, data_license, model_license;
    base::task_id task;
    base::recipe_id recipe;
    base::digest state;  ///< `state_digest` after `rounds_done`
    std::uint64_t rounds_done = 0;
    std::uint64_t rounds = 0;
    std::uint64_t tokens = 0;  ///< trained on, all lanes
    double loss = 0;           ///< of the last round, nats a token
    std::optional<double> validation_loss;
    double checked_share = 0;  ///< of lanes, recomputed by another node
    /// Who computed how many lanes, by node id.
    std::vector<std::pair<base::node_id, std::uint64_t>> crew;
    std::string recipe_text;  ///< canonical text, quoted in full
};

/// The folder's three files. `parameters`: (padded_size of the layout of `model`). config.json and
/// model.safetensors depend on model and parameters alone: equal parameters give equal bytes.
folder_files write_model_folder(const model_config& model, std::span<const float> parameters,
                                const run_card& card);

/// A model read back.
struct loaded_model {
    model_config model;
    state_layout layout;
    std::vector<float> parameters;  ///< (layout.padded_size), padding +0
};

/// Reads config.json and model.safetensors as `write_model_folder` makes them. Everything is
/// checked before it is believed: sizes against `recipe_limits`, tensors against the layout,
/// lengths and overlaps before anything is allocated; values must be finite, and |x| < 2^-126
/// becomes +0. Errors: `errc::bad_state`, naming file and key or tensor; `errc::not_in_version` for
/// another architecture or element type. Safe on any input.
base::result<loaded_model> load_model_folder(base::byte_view config_json,
                                             base::byte_view safetensors);

}  // namespace tequio::training
