#pragma once

/// Labelled examples for classifiers (family "mlp"): idx and CSV files to one blob. The submitter's
/// side.
///
/// The blob, little-endian: `inputs` float32 shifts, `inputs` float32 factors, then the examples,
/// each a uint32 label and `inputs` values of `value_bytes` bytes (1: an unsigned integer; 4: a
/// float32, never subnormal or -0). A node computes x = (value - shift) * factor, in float32. The
/// last `validation` examples are for validation, the others for training.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/blob.hpp"
#include "base/bytes.hpp"
#include "base/result.hpp"
#include "training/dataset.hpp"

namespace tequio::training {

/// Bounds of what is read; they hold before anything is allocated.
struct example_limits {
    static constexpr std::uint64_t inputs = 65536;
    static constexpr std::uint64_t classes = 4096;
    static constexpr std::uint64_t examples = std::uint64_t{1} << 31;
    static constexpr std::size_t class_name_bytes = 256;
};

/// Size of the blob's head: shifts and factors.
constexpr std::uint64_t example_head_bytes(std::uint64_t inputs) {
    return 8 * inputs;
}
/// Size of one example.
constexpr std::uint64_t example_bytes(std::uint64_t inputs, std::uint32_t value_bytes) {
    return 4 + inputs * value_bytes;
}

/// How examples are made of files.
struct example_options {
    double validation_share = 0;  ///< 0 <= share < 1
    /// Files are often sorted by class, and validation takes the last examples: so they are brought
    /// into an order that depends on the data alone. Without it they stay in the files' order
    /// (MNIST: training files first, then the test files, validation = 0.142858).
    bool shuffle = true;
    std::string label;           ///< CSV: name of the label's column; empty: the last one
    std::optional<bool> header;  ///< CSV: whether the first line names the columns; empty: detect
    data_progress progress;      ///< may be empty
};

/// Examples and what they are.
struct example_data {
    base::byte_vector blob;
    base::blob_ref ref;  ///< names it
    std::uint64_t examples = 0;
    std::uint64_t validation = 0;  ///< the last ones
    std::uint64_t inputs = 0;
    std::uint64_t classes = 0;
    std::uint32_t value_bytes = 0;
    std::vector<std::string> class_names;  ///< (classes), by label
    std::vector<std::string> input_names;  ///< (inputs) of a CSV file with a header; else empty
};

/// The data of a recipe whose model (family mlp) has `inputs` inputs and as many outputs as
/// classes.
data_config config_of(const example_data& data);

/// Reads idx or CSV files, not both.
///
/// idx (MNIST's format, http://yann.lecun.com/exdb/mnist): pairs of files side by side, one of
/// labels (unsigned bytes, one dimension) and one of examples (unsigned bytes, two dimensions or
/// more), in either order. Classes are 0 to the largest label. Shift 0, factor float32(1 / 255).
///
/// CSV (RFC 4180): commas; fields with commas, quotes or line ends in double quotes. The label's
/// column holds any text; the others numbers (finite float32). Classes are the distinct labels,
/// ascending: by value when all of them are integers, else by bytes. When it is not said whether
/// there is a header, there is one if the first line holds a field, other than the last, that is no
/// number. All files have the same columns, each its own header. Shift = mean, factor = 1 /
/// deviation of a column over the training part (population; 1 for a deviation of 0), computed in
/// float64 from the float32 values, in the blob's order, and rounded once.
///
/// Shuffling: Fisher-Yates from the last example down, j = floor(x * (i + 1) / 2^64), x = words 2i
/// and 2i + 1 (low first) of the Philox stream "example order", seed 0, data digest = SHA-256 of
/// labels (uint32), then values, in the files' order.
///
/// The last floor(validation_share * examples) examples are for validation.
/// Errors: `errc::bad_data`, naming file, line and column (counted in fields, from 1); headers that
/// lie, missing or bad numbers, too many classes, an empty part. `errc::not_in_version` for idx of
/// other elements than unsigned bytes; `errc::stopped`. Safe on any input.
base::result<example_data> read_examples(std::span<const source_file> files,
                                         const example_options& options);

}  // namespace tequio::training
