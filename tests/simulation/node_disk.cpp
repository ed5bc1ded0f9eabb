#include "tests/simulation/node_disk.hpp"

#include "base/ensure.hpp"
#include "ledger/entry.hpp"

namespace tequio::simulation {

using ledger::statement;

ledger::write_outcome virtual_ledger::commit(const ledger::store_write& what) {
    return std::visit([this](const auto& write) { return commit(write); }, what);
}

std::optional<ledger::write_outcome> virtual_ledger::standing(const base::digest& key) const {
    const auto it = entries_.find(key);
    if (it == entries_.end()) return std::nullopt;
    return ledger::write_outcome{ledger::write_outcome::kind::existed,
                                 base::entry_index{it->second + 1}, notes_[it->second]};
}

ledger::write_outcome virtual_ledger::commit(const ledger::keep_offer& offer) {
    const auto r = ledger::parse_receipt(offer.text);
    base::ensure(r.has_value(), "an offer that is kept is a receipt");
    const auto key = ledger::statement_key(statement::receipt, r->facts);
    for (const auto& k : {key, ledger::statement_key(statement::unanswered, r->facts)}) {
        if (auto there = standing(k)) return std::move(*there);
    }
    const auto [it, fresh] = offers_.try_emplace(key, offer.text, offer.record);
    if (fresh) return {};
    return {ledger::write_outcome::kind::existed, {}, it->second.text};
}

ledger::write_outcome virtual_ledger::commit(const ledger::append_note& note) {
    const auto content = ledger::verify_entry_note(note.note);
    base::ensure(content.has_value(), "a note that is appended bears its signatures");
    const auto* unanswered = std::get_if<ledger::unanswered_note>(&*content);
    const auto& r = unanswered ? unanswered->offered : std::get<ledger::receipt>(*content);
    const auto receipt_key = ledger::statement_key(statement::receipt, r.facts);
    const auto key =
        unanswered ? ledger::statement_key(statement::unanswered, r.facts) : receipt_key;
    // A receipt may follow an unanswered note; an unanswered note never follows a receipt.
    for (const auto& k : {key, receipt_key}) {
        if (auto there = standing(k)) return std::move(*there);
    }
    entries_.emplace(key, notes_.size());
    notes_.push_back(note.note);
    offers_.erase(receipt_key);
    return {ledger::write_outcome::kind::written, base::entry_index{notes_.size()}, {}};
}

std::vector<ledger::open_offer> virtual_ledger::open_offers() const {
    std::vector<ledger::open_offer> out;
    for (const auto& [key, offer] : offers_) out.push_back(offer);
    return out;
}

bool node_disk::whole(const base::blob_ref& ref) {
    if (blobs.contains(ref)) return true;
    const auto it = pieces.find(ref);
    if (it == pieces.end() || it->second.size() != ref.pieces()) return false;
    base::byte_vector bytes;
    for (const auto& [index, piece] : it->second) {
        bytes.insert(bytes.end(), piece.begin(), piece.end());
    }
    base::ensure(base::blob_ref_of(bytes) == ref, "verified pieces make the blob");
    pieces.erase(it);
    blobs.emplace(ref, std::move(bytes));
    return true;
}

std::optional<base::byte_vector> node_disk::pieces_of(const base::blob_ref& ref,
                                                      const base::piece_run& run) const {
    const auto it = pieces.find(ref);
    if (it == pieces.end() || run.whole()) return std::nullopt;
    base::byte_vector bytes(ref.size);
    for (auto i = run.first; i < run.first + run.count; ++i) {
        const auto piece = it->second.find(i);
        if (piece == it->second.end()) return std::nullopt;
        std::copy(piece->second.begin(), piece->second.end(),
                  bytes.begin() + static_cast<std::ptrdiff_t>(i * base::piece_size_bytes));
    }
    return bytes;
}

std::optional<base::blob_piece> node_disk::read_piece(const base::blob_ref& ref,
                                                      std::uint64_t index) const {
    const auto it = blobs.find(ref);
    if (it == blobs.end()) {
        const auto some = pieces.find(ref);
        if (some == pieces.end() || !some->second.contains(index)) return std::nullopt;
        return base::blob_piece{index, some->second.at(index), paths.at(ref).at(index)};
    }
    if (index >= ref.pieces()) return std::nullopt;
    const auto leaves = base::blob_leaves(it->second);
    const auto first =
        it->second.begin() + static_cast<std::ptrdiff_t>(index * base::piece_size_bytes);
    return base::blob_piece{index,
                            {first, first + static_cast<std::ptrdiff_t>(ref.piece_size(index))},
                            base::merkle_path(leaves, index)};
}

}  // namespace tequio::simulation
