#include "training/data/bpe.hpp"

#include <algorithm>
#include <bit>
#include <functional>

#include "base/ensure.hpp"
#include "base/text.hpp"
#include "training/errc.hpp"
#include "training/recipe.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace {

constexpr std::uint32_t none = bpe_tables::none;

/// The byte alphabet, both ways. Characters are below U+0144.
struct byte_alphabet {
    std::array<std::uint16_t, 256> character{};
    std::array<std::int16_t, 0x144> byte{};

    constexpr byte_alphabet() {
        byte.fill(-1);
        std::uint16_t spare = 0x100;
        for (std::uint16_t b = 0; b < 256; ++b) {
            const bool printable =
                (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
            const auto c = printable ? b : spare++;
            character[b] = c;
            byte[c] = static_cast<std::int16_t>(b);
        }
    }
};

constexpr byte_alphabet alphabet;

base::error refused(const std::string& key, const std::string& found, const std::string& allowed) {
    return fail(errc::bad_data, key + ": found " + found + ", allowed: " + allowed);
}

}  // namespace

std::optional<std::string> bytes_of_spelling(std::string_view spelling) {
    std::string out;
    for (std::size_t i = 0; i < spelling.size();) {
        const auto lead = static_cast<unsigned char>(spelling[i]);
        unsigned c = lead;
        std::size_t length = 1;
        if (lead >= 0x80) {
            length = base::utf8_length(spelling.substr(i));
            // Two bytes reach U+07FF; the alphabet ends long before.
            if (length != 2) return std::nullopt;
            c = (lead & 0x1fU) << 6 | (static_cast<unsigned char>(spelling[i + 1]) & 0x3fU);
        }
        if (c >= alphabet.byte.size() || alphabet.byte[c] < 0) return std::nullopt;
        out += static_cast<char>(alphabet.byte[c]);
        i += length;
    }
    return out;
}

std::string spelling_of_bytes(std::string_view bytes) {
    std::string out;
    for (const char b : bytes) {
        const unsigned c = alphabet.character[static_cast<unsigned char>(b)];
        if (c < 0x80) {
            out += static_cast<char>(c);
        } else {
            out += static_cast<char>(0xc0 | c >> 6);
            out += static_cast<char>(0x80 | (c & 0x3f));
        }
    }
    return out;
}

base::result<bpe_tables> bpe_tables::make(const bpe_description& description) {
    bpe_tables out;
    TEQUIO_CHECK(out.take_tokens(description));
    TEQUIO_CHECK(out.take_bytes());
    TEQUIO_CHECK(out.take_merges(description));
    return out;
}

/// Lays all tokens out by id. An added token may also stand in the vocabulary, under the same id.
base::result<void> bpe_tables::take_tokens(const bpe_description& d) {
    // Ids must run from 0 without gaps, so their number bounds them before anything is allocated.
    const auto count = d.vocabulary.size() + d.added.size();
    std::vector<const std::string*> spelling(count, nullptr);
    std::vector<bool> is_added(count, false);
    std::size_t used = 0;
    const auto take = [&](const char* key, const std::string& text, std::uint32_t id,
                          bool added) -> base::result<void> {
        const auto where = [&] { return std::string(key) + " " + quoted(text); };
        if (id >= count) {
            return refused(
                where(), "id " + std::to_string(id),
                "ids from 0 without gaps (there are " + std::to_string(count) + " tokens)");
        }
        if (spelling[id] != nullptr && (!added || is_added[id] || *spelling[id] != text)) {
            return refused(where(),
                           "id " + std::to_string(id) + ", which " + quoted(*spelling[id]) + " has",
                           "an id of its own");
        }
        if (spelling[id] == nullptr) ++used;
        spelling[id] = &text;
        is_added[id] = added;
        return {};
    };
    for (const auto& [text, id] : d.vocabulary) TEQUIO_CHECK(take("model.vocab", text, id, false));
    for (const auto& token : d.added) {
        TEQUIO_CHECK(take("added_tokens", token.content, token.id, true));
    }
    const auto gap = std::find(spelling.begin(), spelling.end(), nullptr) - spelling.begin();
    if (static_cast<std::size_t>(gap) < used) {
        return refused("model.vocab", "no token with id " + std::to_string(gap),
                       "ids from 0 without gaps");
    }
    if (used < 256 || used > recipe_limits::vocabulary) {
        return refused("model.vocab", std::to_string(used) + " tokens",
                       "256 to " + std::to_string(recipe_limits::vocabulary));
    }
    starts_.reserve(used + 1);
    for (std::size_t id = 0; id < used; ++id) {
        starts_.push_back(static_cast<std::uint32_t>(bytes_.size()));
        const auto& text = *spelling[id];
        bytes_ += is_added[id] ? text : bytes_of_spelling(text).value_or(text);
    }
    starts_.push_back(static_cast<std::uint32_t>(bytes_.size()));
    return sort_by_bytes(d);
}

/// A vocabulary's token that is an added one too is what text merges into only if its spelling and
/// its bytes are one.
base::result<void> bpe_tables::sort_by_bytes(const bpe_description& d) {
    by_bytes_.reserve(d.vocabulary.size());
    for (const auto& [text, id] : d.vocabulary) {
        const auto bytes = bytes_of_spelling(text);
        if (bytes && !bytes->empty() && *bytes == bytes_of(id)) by_bytes_.push_back(id);
    }
    // No two spellings have the same bytes, so a token stands here twice only if its spelling does.
    std::sort(by_bytes_.begin(), by_bytes_.end(), [&](std::uint32_t a, std::uint32_t b) {
        const auto left = bytes_of(a);
        const auto right = bytes_of(b);
        return left != right ? left < right : a < b;
    });
    const auto twice = std::adjacent_find(
        by_bytes_.begin(), by_bytes_.end(),
        [&](std::uint32_t a, std::uint32_t b) { return bytes_of(a) == bytes_of(b); });
    if (twice != by_bytes_.end()) {
        return refused(
            "model.vocab",
            "one token under ids " + std::to_string(twice[0]) + " and " + std::to_string(twice[1]),
            "each token once");
    }
    for (const auto& token : d.added) {
        // By spelling: " " is another token than the one that the alphabet spells for a space.
        const auto other = find(bytes_of_spelling(token.content).value_or(""));
        if (!other || *other == token.id) continue;
        return refused("added_tokens " + quoted(token.content), "id " + std::to_string(token.id),
                       "its id in model.vocab, " + std::to_string(*other));
    }
    return {};
}

base::result<void> bpe_tables::take_bytes() {
    for (int b = 0; b < 256; ++b) {
        const char byte = static_cast<char>(b);
        const auto token = find({&byte, 1});
        if (!token) {
            return refused("model.vocab", "no token for byte " + std::to_string(b),
                           "a vocabulary with all 256 bytes (train it with initial_alphabet = "
                           "ByteLevel.alphabet())");
        }
        byte_tokens_[static_cast<std::size_t>(b)] = *token;
    }
    return {};
}

base::result<void> bpe_tables::take_merges(const bpe_description& d) {
    struct entry {
        std::uint32_t left;
        partner what;
    };
    std::vector<entry> entries;
    entries.reserve(d.merges.size());
    for (std::size_t rank = 0; rank < d.merges.size(); ++rank) {
        const auto key = "model.merges[" + std::to_string(rank) + "]";
        const auto& [left_text, right_text] = d.merges[rank];
        const auto left = find(bytes_of_spelling(left_text).value_or(""));
        const auto right = find(bytes_of_spelling(right_text).value_or(""));
        if (!left || !right) {
            return refused(key, quoted(left ? right_text : left_text), "tokens of model.vocab");
        }
        const auto both = find(std::string(bytes_of(*left)) + std::string(bytes_of(*right)));
        if (!both) return refused(key, quoted(left_text + right_text), "tokens of model.vocab");
        entries.push_back({*left, {*right, static_cast<std::uint32_t>(rank), *both}});
    }
    std::sort(entries.begin(), entries.end(), [](const entry& a, const entry& b) {
        return a.left != b.left ? a.left < b.left : a.what.right < b.what.right;
    });
    row_.assign(starts_.size(), 0);
    partners_.reserve(entries.size());
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const auto& e = entries[i];
        if (i != 0 && entries[i - 1].left == e.left && entries[i - 1].what.right == e.what.right) {
            const auto ranks = std::minmax(entries[i - 1].what.rank, e.what.rank);
            return refused("model.merges[" + std::to_string(ranks.second) + "]",
                           "the pair of model.merges[" + std::to_string(ranks.first) + "]",
                           "each pair once");
        }
        ++row_[e.left + 1];
        partners_.push_back(e.what);
    }
    for (std::size_t i = 1; i < row_.size(); ++i) row_[i] += row_[i - 1];
    return {};
}

std::optional<std::uint32_t> bpe_tables::find(std::string_view bytes) const {
    const auto at = std::lower_bound(
        by_bytes_.begin(), by_bytes_.end(), bytes,
        [&](std::uint32_t token, std::string_view wanted) { return bytes_of(token) < wanted; });
    if (at == by_bytes_.end() || bytes_of(*at) != bytes) return std::nullopt;
    return *at;
}

bpe_tables::merged bpe_tables::merge_of(std::uint32_t left, std::uint32_t right) const {
    const auto* first = partners_.data() + row_[left];
    const auto* last = partners_.data() + row_[left + 1];
    const auto* at =
        std::lower_bound(first, last, right,
                         [](const partner& p, std::uint32_t wanted) { return p.right < wanted; });
    if (at == last || at->right != right) return {};
    return {at->rank, at->token};
}

/// Puts the pair that begins at `at` on the heap, if it merges.
void bpe_merger::offer(std::uint32_t at) {
    if (next_[at] == none) return;
    const auto rank = tables_.merge_of(token_[at], token_[next_[at]]).rank;
    if (rank == none) return;
    heap_.push_back(std::uint64_t{rank} << 32 | at);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

void bpe_merger::merge(std::string_view piece, std::vector<std::uint32_t>& out) {
    base::ensure(!piece.empty() && piece.size() < none, "a piece has a length that fits its list");
    const auto n = static_cast<std::uint32_t>(piece.size());
    token_.resize(n);
    next_.resize(n);
    previous_.resize(n);
    heap_.clear();
    for (std::uint32_t i = 0; i < n; ++i) {
        token_[i] = tables_.byte_token(static_cast<unsigned char>(piece[i]));
        next_[i] = i + 1 == n ? none : i + 1;
        previous_[i] = i == 0 ? none : i - 1;
    }
    for (std::uint32_t i = 0; i + 1 < n; ++i) {
        const auto rank = tables_.merge_of(token_[i], token_[i + 1]).rank;
        if (rank != none) heap_.push_back(std::uint64_t{rank} << 32 | i);
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
    while (!heap_.empty()) {
        std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
        const auto top = heap_.back();
        heap_.pop_back();
        const auto at = static_cast<std::uint32_t>(top);
        // What was offered may be gone: then the left one was swallowed or has another neighbour.
        if (token_[at] == none || next_[at] == none) continue;
        const auto right = next_[at];
        const auto becomes = tables_.merge_of(token_[at], token_[right]);
        if (becomes.rank != top >> 32) continue;
        token_[at] = becomes.token;
        token_[right] = none;
        next_[at] = next_[right];
        if (next_[at] != none) previous_[next_[at]] = at;
        offer(at);
        if (previous_[at] != none) offer(previous_[at]);
    }
    for (std::uint32_t i = 0; i != none; i = next_[i]) out.push_back(token_[i]);
}

piece_cache::piece_cache(std::size_t text_bytes)
    : slots_(std::bit_ceil(std::clamp<std::size_t>(text_bytes / 16, 1, 65536))) {}

std::size_t piece_cache::slot_of(std::string_view piece) const {
    std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
    for (const char c : piece) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return (hash ^ hash >> 32) & (slots_.size() - 1);
}

std::span<const std::uint32_t> piece_cache::find(std::string_view piece) const {
    if (piece.size() > piece_max_bytes) return {};
    const auto& s = slots_[slot_of(piece)];
    if (std::string_view(s.piece.data(), s.size) != piece) return {};
    return {s.tokens.data(), s.count};
}

void piece_cache::keep(std::string_view piece, std::span<const std::uint32_t> tokens) {
    if (piece.size() > piece_max_bytes || tokens.size() > tokens_max) return;
    auto& s = slots_[slot_of(piece)];
    s.size = static_cast<std::uint8_t>(piece.size());
    s.count = static_cast<std::uint8_t>(tokens.size());
    std::copy(piece.begin(), piece.end(), s.piece.begin());
    std::copy(tokens.begin(), tokens.end(), s.tokens.begin());
}

}  // namespace tequio::training
