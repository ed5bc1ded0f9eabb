#pragma once

/// What may be written to a ledger, and what became of it: the border between the pure
/// `receipt_desk` and the `store`.

#include <variant>

#include "ledger/entry.hpp"

namespace tequio::ledger {

/// Keep a receipt that this node is about to sign and offer. From then on no other text can take
/// its place: this is what makes a signature unique, also after a crash.
struct keep_offer {
    std::string text;          ///< the receipt's text, unsigned
    base::byte_vector record;  ///< round record, for the unanswered note
};

/// Append a finished note. Ends the offer of the same statement, if there is one.
struct append_note {
    std::string note;  ///< signatures included
};

using store_write = std::variant<keep_offer, append_note>;

/// What stands in the store after a write.
struct write_outcome {
    enum class kind {
        written,  ///< this write is durable now
        existed   ///< something stood there already and still does
    };
    kind what = kind::written;
    /// `existed`, or an append: the entry. None when the thing that stood there is an offer.
    std::optional<base::entry_index> index;
    /// `existed`: the text of the offer, or the note of the entry, that stands there.
    std::string standing;
};

/// An offer found in the store after a restart.
struct open_offer {
    std::string text;
    base::byte_vector record;
};

}  // namespace tequio::ledger
