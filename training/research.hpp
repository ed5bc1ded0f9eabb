#pragma once

/// Switches for studies: other arithmetics and other lanes than exact/1 has, to measure what its
/// rules cost. They belong to a process, are named by hand on `tequio job replay --research`, and
/// cannot stand in a recipe: what they give is no job's result.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace tequio::training {

/// One study. The defaults are exact/1.
struct research_options {
    /// Each lane keeps AdamW's moments and step count from round to round, and the learning rate is
    /// ramped in the first round only (reference/training.md, section 10: "inner state carried").
    bool carry_inner_state = false;
    std::uint64_t panel = 256;    ///< of matrix products: a power of two from 32 to 65536
    bool online_softmax = false;  ///< one pass over the keys in attention's forward pass
    bool operator==(const research_options&) const = default;
    bool any() const { return *this != research_options{}; }
};

/// Reads "inner_state=carried", "panel=N" and "softmax=online", each at most once. Errors:
/// `errc::not_in_version`, saying what there is.
base::result<research_options> parse_research(const std::vector<std::string>& words);
/// The words that read back as `options`.
std::vector<std::string> research_words(const research_options& options);

/// For the whole process, before the first kernel runs.
void set_research(const research_options& options);
const research_options& active_research();

}  // namespace tequio::training
