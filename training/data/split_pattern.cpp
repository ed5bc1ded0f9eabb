#include "training/data/split_pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <string>

#include "base/ensure.hpp"
#include "training/errc.hpp"

namespace tequio::training {
namespace {

/// Real patterns have at most 500 bytes.
constexpr std::size_t pattern_max_bytes = 16 * 1024;
constexpr std::uint32_t nesting_max = 100;
/// Steps of one search: enough to walk back over 10 MB of spaces once.
constexpr std::uint32_t steps_max = 40'000'000;
constexpr std::uint32_t heap_max_kib = 64 * 1024;
constexpr std::size_t jit_stack_first_bytes = 32 * 1024;
constexpr std::size_t jit_stack_max_bytes = 8 * 1024 * 1024;

struct releases {
    void operator()(pcre2_code* p) const { pcre2_code_free(p); }
    void operator()(pcre2_compile_context* p) const { pcre2_compile_context_free(p); }
    void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
    void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
    void operator()(pcre2_jit_stack* p) const { pcre2_jit_stack_free(p); }
};

template <class T>
using owned = std::unique_ptr<T, releases>;

PCRE2_SPTR units(std::string_view text) {
    // An empty view may hold no address; PCRE2 wants one.
    return reinterpret_cast<PCRE2_SPTR>(text.empty() ? "" : text.data());
}

/// `pattern` with \s and \S written as the Unicode property, inside of classes and out.
std::string with_white_space(std::string_view pattern) {
    std::string out;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        out += pattern[i];
        if (pattern[i] != '\\' || i + 1 == pattern.size()) continue;
        const char letter = pattern[++i];
        if (letter == 's') {
            out += "p{White_Space}";
        } else if (letter == 'S') {
            out += "P{White_Space}";
        } else {
            out += letter;
        }
    }
    return out;
}

std::string reason(int code) {
    PCRE2_UCHAR text[256] = {};
    pcre2_get_error_message(code, text, sizeof text);
    return reinterpret_cast<const char*>(text);
}

}  // namespace

struct split_pattern::code {
    owned<pcre2_code> pointer;
};

struct split_run::memory {
    owned<pcre2_match_context> context;
    owned<pcre2_match_data> match;
    owned<pcre2_jit_stack> stack;
};

base::result<split_pattern> split_pattern::compile(std::string_view pattern) {
    if (pattern.empty() || pattern.size() > pattern_max_bytes) {
        return fail(errc::bad_data, "found " + std::to_string(pattern.size()) +
                                        " bytes, allowed: a regular expression of 1 to " +
                                        std::to_string(pattern_max_bytes) + " bytes");
    }
    owned<pcre2_compile_context> context(pcre2_compile_context_create(nullptr));
    base::ensure(context != nullptr, "there is memory for a pattern");
    pcre2_set_parens_nest_limit(context.get(), nesting_max);
    const auto text = with_white_space(pattern);
    int problem = 0;
    PCRE2_SIZE at = 0;
    owned<pcre2_code> made(pcre2_compile(units(text), text.size(),
                                         PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &problem,
                                         &at, context.get()));
    if (!made) {
        return fail(errc::bad_data, "found no regular expression that PCRE2 understands (byte " +
                                        std::to_string(at) + " of it: " + reason(problem) + ")");
    }
    // Where memory may not be made executable there is no JIT; matches are the same, slower.
    pcre2_jit_compile(made.get(), PCRE2_JIT_COMPLETE);
    split_pattern out;
    out.code_ = std::make_shared<const code>(code{std::move(made)});
    return out;
}

split_run::split_run(const split_pattern& pattern)
    : code_(pattern.code_), memory_(std::make_unique<memory>()) {
    auto& m = *memory_;
    m.context.reset(pcre2_match_context_create(nullptr));
    m.match.reset(pcre2_match_data_create_from_pattern(code_->pointer.get(), nullptr));
    m.stack.reset(pcre2_jit_stack_create(jit_stack_first_bytes, jit_stack_max_bytes, nullptr));
    base::ensure(m.context != nullptr && m.match != nullptr, "there is memory for a match");
    pcre2_set_match_limit(m.context.get(), steps_max);
    pcre2_set_depth_limit(m.context.get(), steps_max);
    pcre2_set_heap_limit(m.context.get(), heap_max_kib);
    if (m.stack) pcre2_jit_stack_assign(m.context.get(), nullptr, m.stack.get());
}

split_run::split_run(split_run&&) noexcept = default;
split_run::~split_run() = default;

base::result<split_run::place> split_run::find(std::string_view text, std::size_t from) {
    auto& m = *memory_;
    const auto match = [&](std::uint32_t options) {
        return pcre2_match(code_->pointer.get(), units(text), text.size(), from,
                           PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | options, m.match.get(),
                           m.context.get());
    };
    int found = match(0);
    // The interpreter keeps its state on the heap, which has a limit of its own.
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = match(PCRE2_NO_JIT);
    if (found == PCRE2_ERROR_NOMATCH) return place{};
    if (found < 0) {
        return fail(errc::bad_data, "the pattern does not get past byte " + std::to_string(from) +
                                        " of a stretch of text: " + reason(found));
    }
    const auto* ends = pcre2_get_ovector_pointer(m.match.get());
    // \K in a lookahead can set a match's start behind its end or before `from`.
    const place out{ends[0], ends[1]};
    if (out.begin < from || out.end < out.begin) {
        return fail(errc::bad_data, "the pattern moves the start of its match (\\K)");
    }
    return out;
}

}  // namespace tequio::training
