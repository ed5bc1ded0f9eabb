#include "base/blob.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace tequio::base {

std::uint64_t blob_ref::piece_size(std::uint64_t index) const {
    return std::min(piece_size_bytes, size - std::min(size, index * piece_size_bytes));
}

std::string blob_ref::text() const {
    return root.hex() + ":" + std::to_string(size);
}

result<blob_ref> parse_blob_ref(std::string_view text) {
    const auto at = text.find(':');
    const auto size = at == std::string_view::npos ? std::nullopt : parse_u64(text.substr(at + 1));
    if (!size) {
        return fail(errc::bad_encoding,
                    "not a blob name (64 hex digits, ':', size): " + std::string(text));
    }
    TEQUIO_TRY(const auto root, parse_id<digest>(text.substr(0, at)));
    if (*size > blob_size_max_bytes) {
        return fail(errc::too_large, "a blob of " + human_size(*size) + "; at most " +
                                         human_size(blob_size_max_bytes));
    }
    return blob_ref{root, *size};
}

std::vector<digest> blob_leaves(byte_view bytes) {
    std::vector<digest> leaves;
    do {
        const auto n = std::min<std::size_t>(bytes.size(), piece_size_bytes);
        leaves.push_back(merkle_leaf(bytes.first(n)));
        bytes = bytes.subspan(n);
    } while (!bytes.empty());
    return leaves;
}

blob_ref blob_ref_of(byte_view bytes) {
    return blob_ref_of(blob_leaves(bytes), bytes.size());
}

blob_ref blob_ref_of(std::span<const digest> leaves, std::uint64_t size) {
    return {merkle_root(leaves), size};
}

bool piece_verifies(const blob_ref& ref, const blob_piece& piece) {
    if (piece.index >= ref.pieces() || piece.bytes.size() != ref.piece_size(piece.index))
        return false;
    return merkle_path_verifies(ref.root, merkle_leaf(piece.bytes), piece.index, ref.pieces(),
                                piece.path);
}

}  // namespace tequio::base
