#pragma once

/// Examples in the files' order, before they are shuffled and scaled.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "training/examples.hpp"

namespace tequio::training {

struct raw_examples {
    std::uint64_t inputs = 0;
    std::uint32_t value_bytes = 0;
    std::vector<std::uint32_t> labels;  ///< (examples)
    base::byte_vector values;           ///< (examples, inputs), little-endian
    std::vector<std::string> class_names;
    std::vector<std::string> input_names;
    std::uint64_t examples() const { return labels.size(); }
};

/// `read_examples` of idx files, as far as reading goes.
base::result<raw_examples> read_idx(std::span<const source_file> files);
/// The same of CSV files.
base::result<raw_examples> read_csv(std::span<const source_file> files,
                                    const example_options& options);

}  // namespace tequio::training
