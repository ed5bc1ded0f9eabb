#pragma once

/// The mark that some programs write before a text in UTF-8.

#include <string_view>

namespace tequio::training {

/// `text` without a byte order mark at its beginning.
inline std::string_view without_byte_order_mark(std::string_view text) {
    constexpr std::string_view mark = "\xef\xbb\xbf";
    if (text.starts_with(mark)) text.remove_prefix(mark.size());
    return text;
}

}  // namespace tequio::training
