#pragma once

/// What this node thinks of others' work, over all jobs and restarts: whose results it saw found
/// right, and whose wrong (DESIGN.md section 8). Its own opinion, told to nobody. Pure.
///
/// What is not renewed lapses after 30 days, good and bad: machines are repaired, and keys change
/// hands.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "training/crew.hpp"

namespace tequio::node {

class standings {
public:
    /// Where durable memory keeps them: a node's id -> what is thought of it, as text.
    static constexpr std::string_view bucket = "standing";
    static constexpr std::int64_t lapses_after_seconds = 30 * base::day_seconds;
    /// At the limit whoever was not heard of longest is forgotten first (guess: 100 KiB).
    static constexpr std::size_t nodes_max = 1024;
    /// More is not counted: it would change nothing for years.
    static constexpr std::uint64_t matched_max = 1'000'000;

    /// One change of durable memory: the text now under that key, or none.
    using change = std::pair<std::string, std::optional<std::string>>;
    /// Takes what a settled round said; gives what to keep.
    std::vector<change> add(const training::standing_changed& news, base::unix_time now);
    /// Takes one kept opinion back. Errors: `errc::bad_encoding` for a key or text that `add` does
    /// not give; nothing is changed then.
    base::result<void> restore(std::string_view key, std::string_view text);
    /// What counts at `now`, by node.
    std::vector<training::crew_standing> known(base::unix_time now) const;

private:
    struct opinion {
        std::uint64_t matched = 0;
        base::unix_time matched_at;                 ///< the last time
        std::optional<base::unix_time> refuted_at;  ///< likewise
        base::unix_time last() const {
            return refuted_at ? std::max(*refuted_at, matched_at) : matched_at;
        }
    };
    static bool stands(base::unix_time at, base::unix_time now) {
        return now.seconds - at.seconds < lapses_after_seconds;
    }
    std::map<base::node_id, opinion> opinions_;
};

}  // namespace tequio::node
