#pragma once

/// A model's folder on disk, mapped: what `training::load_model_folder` reads.

#include <filesystem>
#include <map>
#include <optional>
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

/// Removes weight files of a folder that are not among `kept`: what an earlier model left would be
/// read in place of the new one, or beside it.
void remove_other_weights(const std::filesystem::path& folder, const training::folder_files& kept);

/// True when the folder holds the weights of a model.
bool holds_model(const std::filesystem::path& folder);

}  // namespace tequio::node
