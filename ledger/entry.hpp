#pragma once

/// Entries of a ledger and the chain through them. An entry's bytes are text too:
///
///     tequio/entry/v1
///     index 5
///     prev <64 hex>                 SHA-256 of the bytes of entry 4; zeros in entry 0
///     (empty line)
///     the note verbatim
///
/// The chain is the local integrity check. Leaves of the RFC 6962 tree are the same bytes, and its
/// signed head is a C2SP checkpoint. Entry 0 is the opening:
///
///     tequio/ledger/v1
///     node <64 hex>
///     log-key <64 hex> <base64>
///     created <time>
///
/// signed by the log key under "tequio/log".

#include <variant>
#include <vector>

#include "base/merkle.hpp"
#include "ledger/receipt.hpp"

namespace tequio::ledger {

inline constexpr std::string_view log_name = "tequio/log";
/// Cap on a note in the ledger: an entry must fit a C2SP entry bundle (65,535 bytes).
inline constexpr std::size_t entry_note_max_bytes = 60 * 1024;

/// One place in the chain.
struct entry {
    base::entry_index index;
    base::digest prev;
    std::string note;

    bool operator==(const entry&) const = default;
    /// The bytes that `prev` of the next entry and the Merkle leaf cover.
    std::string bytes() const;
};

/// Errors: `errc::bad_receipt` unless `bytes` is exactly what `entry::bytes` writes.
base::result<entry> parse_entry(std::string_view bytes);

/// Entry 0: whose ledger this is, and the key that signs in it.
struct opening_note {
    base::node_id node;
    certified_key log_key;
    base::unix_time created;
    bool operator==(const opening_note&) const = default;
};

/// The one text of an opening.
std::string opening_text(const opening_note& o);
/// Strict. Errors: `errc::bad_receipt`.
base::result<opening_note> parse_opening(std::string_view text);

/// What an entry may hold.
using entry_content = std::variant<opening_note, receipt, unanswered_note>;
/// Parses the note of an entry; looks at no signature, only at how many there are.
/// Errors: `errc::bad_receipt`.
base::result<entry_content> parse_entry_note(std::string_view note);
/// Parses the note of an entry and checks certificates and signatures.
/// Errors: `errc::bad_receipt`, `errc::bad_signature`.
base::result<entry_content> verify_entry_note(std::string_view note);

/// First line of this node's checkpoints and the name of their signature: "tequio/log/<64 hex>".
std::string checkpoint_origin(const base::node_id& node);

/// C2SP tlog-checkpoint: origin, size, root; no extension lines.
struct checkpoint {
    std::string origin;
    std::uint64_t size = 0;
    base::digest root;
    bool operator==(const checkpoint&) const = default;
};
/// The one text of a checkpoint.
std::string checkpoint_text(const checkpoint& c);
/// Errors: `errc::bad_receipt`, also for extension lines, which we never write.
base::result<checkpoint> parse_checkpoint(std::string_view text);

/// An RFC 6962 tree that grows at its right edge; keeps O(log size) hashes.
class growing_tree {
public:
    void add(const base::digest& leaf);
    std::uint64_t size() const { return size_; }
    /// Cost: at most 64 node hashes.
    base::digest root() const;

private:
    std::vector<base::digest> edge_;  ///< roots of full subtrees, largest first
    std::uint64_t size_ = 0;
};

}  // namespace tequio::ledger
