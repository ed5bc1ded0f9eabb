#pragma once

/// The governor's changes over the node's lives, so that `status` still says what happened before
/// a restart: the newest 256, in as many slots of durable memory. Pure.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "node/governor/governor.hpp"

namespace tequio::node {

class history_record {
public:
    /// Where durable memory keeps it: a slot, "000" to "255" -> a change as text.
    static constexpr std::string_view bucket = "governor_history";
    /// A reason longer than this is cut.
    static constexpr std::size_t reason_bytes_max = 1000;

    /// Takes the newest change; gives key and text to keep, which take the oldest one's place.
    std::pair<std::string, std::string> add(const governor_change& change);
    /// Takes one kept change back, in any order. Errors: `errc::bad_encoding` for a key or text
    /// that `add` does not give, and for a reason code that this version does not know; the record
    /// is then unchanged.
    base::result<void> restore(std::string_view key, std::string_view text);
    /// The oldest first; at most `governor_history_max`.
    std::vector<governor_change> changes() const;

private:
    std::map<std::uint64_t, governor_change> changes_;  ///< by their number, which only grows
};

}  // namespace tequio::node
