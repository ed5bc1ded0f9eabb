#pragma once

/// The safetensors format: u64 little-endian header length, a JSON header, then the tensors' bytes.
/// Source: huggingface/safetensors README ("Format").

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "training/model_folder.hpp"
#include "training/state.hpp"

namespace tequio::training {

/// Longest header that is read: 16,384 tensors need about 2.2 MiB.
inline constexpr std::uint64_t safetensors_header_max_bytes = std::uint64_t{4} << 20;
/// Most tensors in one file: 1,024 layers of 14 and a few have 14,340.
inline constexpr std::size_t safetensors_tensors_max = 16384;

/// "F32" or "BF16".
std::string_view safetensors_name(weight_type type);
/// Bytes an element.
std::uint64_t size_of(weight_type type);

/// What stands before the tensors' bytes in the file that `write_safetensors` makes: each tensor's
/// bytes follow those of the one before, in the order given.
base::byte_vector safetensors_header(std::span<const tensor_spec> tensors, weight_type type);

/// These tensors, whose values stand in `parameters` at their offsets, in the order given, each of
/// whose bytes follow those of the one before; the header is filled up with spaces to a multiple of
/// 8 bytes. Values are finite; bf16 rounds to nearest, ties to even. Deterministic.
base::byte_vector write_safetensors(std::span<const tensor_spec> tensors,
                                    std::span<const float> parameters,
                                    weight_type type = weight_type::f32);

/// One tensor of a file.
struct safetensors_entry {
    std::string type;                  ///< "F32", "BF16", ...: one that the format has
    std::vector<std::uint64_t> shape;  ///< at most 8 dimensions
    base::byte_view bytes;             ///< view into the file
};

/// Entries by name. Errors: `errc::bad_state`, naming the tensor: a header that is too long, no
/// JSON of the right form, or has a name twice; offsets outside the file, overlapping, or leaving
/// holes; an unknown type; a length that is not that of type and shape. Safe on any input; what is
/// allocated is at most a few times the header's bytes, which are there.
base::result<std::map<std::string, safetensors_entry>> parse_safetensors(base::byte_view file);

}  // namespace tequio::training
