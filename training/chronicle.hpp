#pragma once

/// The chronicle: per round, what follows from the recipe alone. Who did what is never in it. Two
/// honest nodes cannot write different chronicles of one recipe.
///
/// Text of an entry, lines in this order:
///
///     tequio/chronicle/v1
///     round 3
///     state_before 64 hex digits
///     lanes 8                      (0 in the closing entry)
///     contribution 64 hex digits   (one line a lane, in lane order)
///     sum 64 hex digits
///     mean blob name
///     loss real
///     validation_loss real or "none"
///     state_after 64 hex digits

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/blob.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

namespace tequio::training {

/// One round; round R (the recipe's `rounds`) is the closing entry: no contributions, zero sum and
/// mean, loss 0, state_after = state_before, and the final state's validation loss.
struct chronicle_entry {
    base::round_index round;
    base::digest state_before;
    std::vector<base::digest> contributions;  ///< in lane order
    base::digest sum;
    base::blob_ref mean;
    base::digest state_after;
    double loss = 0;
    /// Of `state_before`; nullopt when the recipe has no validation.
    std::optional<double> validation_loss;

    bool operator==(const chronicle_entry&) const = default;
    /// True for the closing entry, which bears no round.
    bool closes() const { return contributions.empty(); }
};

/// The canonical text of an entry whose reals are finite.
std::string chronicle_entry_text(const chronicle_entry& entry);

/// Strict: accepts exactly what `chronicle_entry_text` writes. Errors: `errc::bad_chronicle`.
/// Safe on any input; allocates no more than the text is long.
base::result<chronicle_entry> parse_chronicle_entry(std::string_view text);

/// Checks that entry `index` of a chronicle can follow `before` (nullptr for the first): rounds
/// ascend by one, states join, nothing follows a closing entry. Errors: `errc::bad_chronicle`.
base::result<void> chronicle_entry_follows(const chronicle_entry* before,
                                           const chronicle_entry& entry);

/// Merkle root over the entries' texts.
base::digest chronicle_digest(std::span<const chronicle_entry> entries);

}  // namespace tequio::training
