#include "training/crew/lottery.hpp"

#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "training/crew/bad_message.hpp"

namespace tequio::training::crew_protocol {
namespace {

constexpr std::string_view domain = "tequio/crew/lottery/v1";

base::digest commitment_to(const base::digest& secret) {
    return base::sha256(secret.view());
}

std::uint64_t drawn_bits(const base::task_id& task, item_key key, const base::digest& commitment,
                         const base::digest& secret) {
    base::byte_vector bytes;
    base::byte_writer w(bytes);
    w.raw(base::as_bytes(domain));
    w.u8(0);
    w.raw(task.view());
    w.u64(key.round);
    w.u32(key.item);
    w.raw(commitment.view());
    w.raw(secret.view());
    return base::byte_reader(base::sha256(bytes).view()).u64();
}

}  // namespace

void standing_book::know(const std::vector<crew_standing>& elsewhere) {
    for (const auto& e : elsewhere) elsewhere_[e.node] = e;
}

bool standing_book::newcomer(const base::node_id& node) const {
    const auto seen = seen_.find(node);
    if (seen != seen_.end() && seen->second.excluded) return true;
    const auto known = elsewhere_.find(node);
    if (known != elsewhere_.end() && known->second.refuted) return true;
    if (seen != seen_.end()) return seen->second.matched < newcomer_lanes;
    return known == elsewhere_.end() || known->second.matched < newcomer_lanes;
}

bool standing_book::excluded(const base::node_id& node) const {
    const auto it = seen_.find(node);
    return it != seen_.end() && it->second.excluded;
}

/// Where a node is counted in this job, from what is known elsewhere on; null when there is no
/// room.
standing_book::record* standing_book::record_of(const base::node_id& node) {
    const auto it = seen_.find(node);
    if (it != seen_.end()) return &it->second;
    if (seen_.size() >= nodes_max) return nullptr;
    const auto known = elsewhere_.find(node);
    const bool counts = known != elsewhere_.end() && !known->second.refuted;
    return &seen_
                .emplace(node, record{counts ? std::min(known->second.matched, newcomer_lanes) : 0,
                                      false})
                .first->second;
}

void standing_book::believe(const base::node_id& node) {
    if (auto* r = record_of(node)) r->matched = newcomer_lanes;
}

std::vector<standing_changed> standing_book::count(const round_book& settled, std::uint32_t lanes) {
    std::map<base::node_id, standing_changed> news;
    const auto of = [&](const base::node_id& node) -> standing_changed& {
        auto& n = news[node];
        n.node = node;
        return n;
    };
    for (std::uint32_t lane = 0; lane < lanes; ++lane) {
        const auto standing = settled.standing(lane);
        const auto* own = settled.own_claim(lane);
        for (const auto& k : settled.claims(lane)) {
            if (standing == item_standing::matched) {
                ++of(k.said.node).matched;
                if (auto* r = record_of(k.said.node)) {
                    r->matched = std::min(r->matched + 1, newcomer_lanes);
                }
                continue;
            }
            // What was computed here outweighs what any number of others say.
            const bool wrong = own != nullptr && own->said.result != k.said.result;
            const bool contradicted =
                standing == item_standing::defended && settled.stands(lane) != k.said.result;
            if (!wrong && !contradicted) continue;
            of(k.said.node).contradicted = true;
            of(k.said.node).refuted |= wrong;
            if (auto* r = record_of(k.said.node)) {
                r->matched = 0;
                r->excluded |= wrong;
            }
        }
    }
    std::vector<standing_changed> out;
    for (const auto& [node, n] : news) out.push_back(n);
    return out;
}

namespace {

/// In place of a count: the node is excluded.
constexpr std::uint8_t excluded_mark = 255;

}  // namespace

base::byte_vector standing_book::encode() const {
    base::byte_vector bytes;
    base::byte_writer w(bytes);
    for (const auto& [node, r] : seen_) {
        w.raw(node.view());
        w.u8(r.excluded ? excluded_mark : static_cast<std::uint8_t>(r.matched));
    }
    return bytes;
}

base::result<void> standing_book::decode(base::byte_view bytes) {
    constexpr std::size_t entry_bytes = 33;
    seen_.clear();
    if (bytes.size() % entry_bytes != 0 || bytes.size() > nodes_max * entry_bytes) {
        return bad("a stored standing has another length");
    }
    base::byte_reader in(bytes);
    while (!in.at_end()) {
        base::node_id node;
        const auto id = in.raw(node.bytes.size());
        std::copy(id.begin(), id.end(), node.bytes.begin());
        const auto count = in.u8();
        seen_[node] = count == excluded_mark
                          ? record{0, true}
                          : record{std::min<std::uint64_t>(count, newcomer_lanes), false};
    }
    return {};
}

base::digest lottery_root(const base::task_id& task, const crew_keys& keys) {
    base::byte_vector bytes;
    base::byte_writer w(bytes);
    w.raw(base::as_bytes(domain));
    w.u8(0);
    w.raw(task.view());
    return base::sha256(keys.sign(bytes));
}

std::uint64_t draw_bound(double share, std::size_t among) {
    base::ensure(share >= 0 && share <= 1 && among > 0, "a share among somebody");
    // By halving, with sums and products alone: everybody must come to the same bound.
    double each = 0;
    for (double step = 0.5; step >= 0x1p-52; step /= 2) {
        double missed = 1;
        for (std::size_t i = 0; i < among; ++i) missed *= 1 - (each + step);
        if (1 - missed <= share) each += step;
    }
    if (share == 1) each = 1;
    const double bound = std::ldexp(each, 64);
    return bound >= std::ldexp(1.0, 64) ? UINT64_MAX : static_cast<std::uint64_t>(bound);
}

base::digest lottery::secret_of(std::uint64_t round) const {
    base::byte_vector bytes;
    base::byte_writer w(bytes);
    w.raw(base::as_bytes(domain));
    w.u8(1);
    w.raw(root_.view());
    w.u64(round);
    return base::sha256(bytes);
}

std::vector<ticket> lottery::tickets(std::uint64_t first, std::uint64_t closed,
                                     std::uint64_t last) const {
    std::vector<ticket> out;
    if (takes_all()) return out;
    for (auto round = first; round <= last && round < shape_.rounds; ++round) {
        if (out.size() == tickets_max) break;
        const auto secret = secret_of(round);
        out.push_back({round, round < closed ? secret : commitment_to(secret), round < closed});
    }
    return out;
}

base::result<void> lottery::admissible(const base::node_id& from,
                                       const std::vector<ticket>& tickets) const {
    for (const auto& t : tickets) {
        const auto round = rounds_.find(t.round);
        if (round == rounds_.end()) continue;
        const auto it = round->second.parts.find(from);
        if (it == round->second.parts.end()) continue;
        const auto committed = t.shown ? commitment_to(t.value) : t.value;
        if (committed != it->second.commitment) {
            return bad("a lottery ticket of round " + std::to_string(t.round) +
                       " that is not the one committed to");
        }
    }
    return {};
}

void lottery::heard(const base::node_id& from, const std::vector<ticket>& tickets,
                    std::uint64_t fresh, std::uint64_t high) {
    for (const auto& t : tickets) {
        if (t.shown) {
            const auto round = rounds_.find(t.round);
            if (round == rounds_.end()) continue;
            const auto it = round->second.parts.find(from);
            if (it == round->second.parts.end()) continue;
            if (it->second.secret != t.value) round->second.at_rest = false;
            it->second.secret = t.value;
        } else if (t.round >= fresh && t.round <= high) {
            auto& parts = rounds_[t.round].parts;
            if (parts.size() < crew_members_max) {
                parts.emplace(from, part{t.value, std::nullopt, 0});
            }
        }
    }
}

bool lottery::owes(std::uint64_t round, const base::node_id& node) const {
    const auto at = rounds_.find(round);
    if (at == rounds_.end()) return false;
    const auto it = at->second.parts.find(node);
    return it != at->second.parts.end() && !it->second.secret;
}

bool lottery::step(const round_book& book) {
    base::ensure(book.closed(), "nothing is drawn before the round has closed");
    if (takes_all() || book.round() >= shape_.rounds) return false;
    auto& d = rounds_[book.round()];
    if (!d.begun) {
        d.begun = true;
        const auto secret = secret_of(book.round());
        d.parts[self_] = {commitment_to(secret), secret, 0};
    }
    // More workers are known: each member's part of the share is smaller.
    bool changed = d.workers != book.workers();
    if (!changed && d.at_rest) return false;
    if (changed) {
        d.workers = book.workers();
        d.bound = draw_bound(share_, std::max<std::size_t>(d.workers, 2) - 1);
        d.drawn.clear();
        for (auto& [node, p] : d.parts) p.next = 0;
    }
    auto left = draws_max;
    for (auto& [node, p] : d.parts) {
        if (!p.secret) continue;
        for (; p.next < shape_.lanes && left > 0; ++p.next) {
            const auto& claims = book.claims(p.next);
            // Two results are a check; no member looks at its own.
            if (claims.size() != 1 || claims.front().said.node == node) continue;
            --left;
            const auto bits = drawn_bits(shape_.task, {book.round(), p.next},
                                         claims.front().said.commitment, *p.secret);
            if (bits < d.bound) changed |= d.drawn[p.next].insert(node).second;
        }
    }
    d.at_rest = drawn_up(book.round());
    return changed;
}

bool lottery::drawn_up(std::uint64_t round) const {
    if (takes_all() || round >= shape_.rounds) return true;
    const auto it = rounds_.find(round);
    if (it == rounds_.end() || !it->second.begun) return false;
    return std::all_of(it->second.parts.begin(), it->second.parts.end(), [&](const auto& p) {
        return !p.second.secret || p.second.next == shape_.lanes;
    });
}

const std::set<base::node_id>& lottery::drawers(std::uint64_t round, std::uint32_t lane) const {
    static const std::set<base::node_id> nobody;
    const auto at = rounds_.find(round);
    if (at == rounds_.end()) return nobody;
    const auto it = at->second.drawn.find(lane);
    return it == at->second.drawn.end() ? nobody : it->second;
}

void lottery::forget_before(std::uint64_t round) {
    rounds_.erase(rounds_.begin(), rounds_.lower_bound(round));
}

void lottery::check() const {
    for (const auto& [round, d] : rounds_) {
        base::ensure(d.parts.size() <= crew_members_max + 1, "bounded tickets");
        for (const auto& [node, p] : d.parts) {
            base::ensure(!p.secret || commitment_to(*p.secret) == p.commitment,
                         "secrets are those committed to");
            base::ensure(p.next <= shape_.lanes, "draws within the job");
        }
        for (const auto& [lane, nodes] : d.drawn) {
            base::ensure(lane < shape_.lanes && !nodes.empty(), "drawn by somebody");
        }
    }
}

}  // namespace tequio::training::crew_protocol
