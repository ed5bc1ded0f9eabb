#pragma once

/// A model's folder on disk, mapped: what `training::load_model_folder` reads.

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "node/io/files.hpp"
#include "training/model_folder.hpp"

namespace tequio::node {

class mapped_model {
public:
    /// Maps config.json and the weights: model.safetensors, or, where there is none, the files that
    /// model.safetensors.index.json names. Errors: `base::errc::io_failure` naming the file; those
    /// of `training::shard_names`.
    static base::result<mapped_model> open(const std::filesystem::path& folder);
    /// Lives as long as this.
    training::folder_view view() const;

private:
    mapped_file config_;
    std::optional<mapped_file> index_;
    std::map<std::string, mapped_file> weights_;
};

/// Writes the tensors of one slice of a model (or of all of it) to their places in its
/// model.safetensors; the first makes the file at `path`, each syncs it. parameters: (padded_size)
/// of `slice`, the slice's layout. Equal to the file that `training::write_model_folder` makes once
/// every tensor was written.
base::result<void> write_weights(const std::filesystem::path& path,
                                 const training::weights_plan& plan,
                                 const training::state_layout& slice,
                                 std::span<const float> parameters);

/// Removes weight files of a folder that are not among `kept`: what an earlier model left would be
/// read in place of the new one, or beside it.
void remove_other_weights(const std::filesystem::path& folder, const std::set<std::string>& kept);

/// True when the folder holds the weights of a model.
bool holds_model(const std::filesystem::path& folder);

}  // namespace tequio::node
