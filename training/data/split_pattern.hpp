#pragma once

/// The regular expressions of pre-tokenizers. PCRE2 is included in split_pattern.cpp alone.
///
/// Patterns come from files that others wrote: length, nesting, steps and memory of a match are
/// limited, and `\C` (which could cut a character) is refused. `\s` and `\S` mean Unicode's
/// White_Space, as in the regex libraries of Hugging Face and tiktoken; PCRE2's own `\s` has U+180E
/// besides. Letters and digits are those of PCRE2's Unicode tables (14.0 in Debian 12).

#include <cstddef>
#include <memory>
#include <string_view>

#include "base/result.hpp"

namespace tequio::training {

/// GPT-2's pattern: what ByteLevel with `use_regex` splits by. Source: Hugging Face tokenizers,
/// pre_tokenizers/byte_level; openai/gpt-2, encoder.py.
inline constexpr std::string_view gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// A compiled pattern. Immutable; copies share it.
class split_pattern {
public:
    /// Errors: `errc::bad_data` with PCRE2's reason and the byte where it stopped.
    static base::result<split_pattern> compile(std::string_view pattern);

private:
    friend class split_run;
    struct code;
    std::shared_ptr<const code> code_;
};

/// The matcher's working memory; belongs to one thread.
class split_run {
public:
    explicit split_run(const split_pattern& pattern);
    split_run(split_run&&) noexcept;
    ~split_run();

    /// Where a match lies.
    struct place {
        std::size_t begin = 0;
        std::size_t end = 0;  ///< begin == end: there is none
    };
    /// The first match in `text`, valid UTF-8, at or after byte `from`. A match of nothing is none.
    /// Errors: `errc::bad_data` when it needs more steps or memory than the limits.
    base::result<place> find(std::string_view text, std::size_t from);

private:
    struct memory;
    std::shared_ptr<const split_pattern::code> code_;
    std::unique_ptr<memory> memory_;
};

}  // namespace tequio::training
