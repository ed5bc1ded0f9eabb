#pragma once

/// The safetensors format: u64 little-endian header length, a JSON header, then the tensors' bytes.
/// Source: huggingface/safetensors README ("Format").

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "training/state.hpp"

namespace tequio::training {

/// Longest header that is read: 12,292 tensors (1,024 layers) need about 1.7 MiB.
inline constexpr std::uint64_t safetensors_header_max_bytes = std::uint64_t{4} << 20;

/// The tensors of `layout`, F32, in order of name, each of whose bytes follow those of the one
/// before; the header is filled up with spaces to a multiple of 8 bytes. Deterministic.
base::byte_vector write_safetensors(const state_layout& layout, std::span<const float> parameters);

/// One tensor of a file.
struct safetensors_entry {
    std::string type;                  ///< "F32"
    std::vector<std::uint64_t> shape;  ///< at most 8 dimensions
    base::byte_view bytes;             ///< view into the file
};

/// Entries by name. Errors: `errc::bad_state`, naming the tensor: a header that is too long or no
/// JSON of the right form, offsets outside the file, overlapping, or leaving holes; a length that
/// is not that of the shape (4-byte elements). `errc::not_in_version`: a type other than F32. Safe
/// on any input.
base::result<std::map<std::string, safetensors_entry>> parse_safetensors(base::byte_view file);

}  // namespace tequio::training
