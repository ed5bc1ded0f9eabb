#pragma once

/// The tensors of a model in the files of a folder.

#include <string>
#include <vector>

#include "base/result.hpp"
#include "training/model/safetensors.hpp"
#include "training/model_folder.hpp"

namespace tequio::training {

/// Where every tensor of a model lies, found and checked; the values are converted on reading.
/// Views into the folder's files, which outlive it.
class weight_files {
public:
    /// `model` passed `read_model_config`. Errors: as `load_model_folder`; values are not looked at
    /// but those of a repeated head.
    static base::result<weight_files> open(const folder_view& files, const model_config& model);

    const state_layout& layout() const { return layout_; }
    /// Values of tensor `index` of the layout, flushed. out: (size of the tensor), written. Errors:
    /// `errc::bad_state` for a value that is not finite, naming file and tensor.
    base::result<void> read(std::size_t index, std::span<float> out) const;

private:
    struct found_tensor {
        std::string file;
        safetensors_entry entry;
    };
    using found_tensors = std::map<std::string, found_tensor>;
    static base::result<found_tensors> find_all(const folder_view& files,
                                                const model_config& model);
    base::result<void> take(found_tensors& all, const model_config& model);
    base::result<void> check_head(const found_tensor& head, std::string_view embedding) const;

    state_layout layout_;
    std::vector<found_tensor> tensors_;  ///< in the order of the layout
};

}  // namespace tequio::training
