#pragma once

/// What a virtual machine keeps when its node dies: the node's memory, its blobs, its ledger.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ledger/write.hpp"
#include "node/core/node_logic.hpp"

namespace tequio::simulation {

/// The ledger's store as ledger/write.hpp describes it, without files: one text a statement.
class virtual_ledger {
public:
    /// Ensures that the text or note is of the form that a store accepts.
    ledger::write_outcome commit(const ledger::store_write& what);
    std::vector<ledger::open_offer> open_offers() const;
    /// Notes in the order they were appended.
    const std::vector<std::string>& notes() const { return notes_; }
    std::size_t offers() const { return offers_.size(); }

private:
    ledger::write_outcome commit(const ledger::keep_offer& offer);
    ledger::write_outcome commit(const ledger::append_note& note);
    std::optional<ledger::write_outcome> standing(const base::digest& key) const;

    std::map<base::digest, ledger::open_offer> offers_;  ///< by key of the receipt
    std::map<base::digest, std::size_t> entries_;        ///< by statement key
    std::vector<std::string> notes_;
};

struct node_disk {
    node::node_memory memory;
    std::map<base::blob_ref, base::byte_vector> blobs;
    /// Blobs that are not whole yet, piece by piece.
    std::map<base::blob_ref, std::map<std::uint64_t, base::byte_vector>> pieces;
    std::map<base::blob_ref, std::map<std::uint64_t, std::vector<base::digest>>> paths;
    virtual_ledger ledger;

    /// Makes a blob of its pieces once all are here.
    bool whole(const base::blob_ref& ref);
    /// A run of pieces in their places, when all of them are here though the blob is not whole.
    std::optional<base::byte_vector> pieces_of(const base::blob_ref& ref,
                                               const base::piece_run& run) const;
    std::optional<base::blob_piece> read_piece(const base::blob_ref& ref,
                                               std::uint64_t index) const;
};

}  // namespace tequio::simulation
