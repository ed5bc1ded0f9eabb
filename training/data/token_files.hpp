#pragma once

/// Token files of other programs.

#include <cstdint>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace tequio::training {

/// The tokens of a file, looked at; lives as long as the file's bytes.
struct token_file {
    base::byte_view tokens;         ///< little-endian
    std::uint32_t token_bytes = 2;  ///< 2 or 4
    std::uint64_t count() const { return tokens.size() / token_bytes; }
    std::uint32_t at(std::uint64_t index) const;
};

/// Reads the header, if there is one (`tokenise` says how one is known). A file without header that
/// happens to begin with the two tokens 20240520 spells (54488, 308) is taken for llm.c's, and then
/// refused. Errors: `errc::bad_data`, without file name; `errc::not_in_version` for llm.c's files
/// of multiple-choice questions. Safe on any input.
base::result<token_file> open_token_file(base::byte_view bytes);

}  // namespace tequio::training
