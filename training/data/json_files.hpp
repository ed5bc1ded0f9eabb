#pragma once

/// What data files spell in JSON. Boost.JSON is included in json_files.cpp alone for all of
/// training/data. Nesting is limited to 32; memory is in proportion to the text.

#include <functional>
#include <string_view>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "training/data/bpe.hpp"

namespace tequio::training {

/// What a tokenizer.json says. Only form is checked here; `bpe_tables::make` and
/// `split_pattern::compile` judge the rest. Errors: as `tokenizer::from_json`, without file name.
base::result<bpe_description> parse_tokenizer_json(base::byte_view json);

/// Called with the text of each document; an error ends the reading.
using document_sink = std::function<base::result<void>(std::string_view text)>;

/// Calls `sink` with the field "text" of each line of a JSONL file. A byte order mark, blank lines
/// and documents without any text are passed over; other fields are ignored.
/// Errors: `errc::bad_data` naming `file_name`:line, or what `sink` returns.
base::result<void> read_jsonl(std::string_view file_name, base::byte_view bytes,
                              const document_sink& sink);

}  // namespace tequio::training
