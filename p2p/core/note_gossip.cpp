#include "p2p/core/note_gossip.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "base/sha256.hpp"

namespace tequio::p2p {
namespace {

constexpr std::size_t asked_per_peer = 256;
constexpr std::size_t others_max = 4;
constexpr std::size_t reject_weight = 2;
constexpr base::duration gather = std::chrono::milliseconds(20);

base::duration cost_of(double per_second) {
    return base::duration(static_cast<std::int64_t>(1e9 / per_second));
}

}  // namespace

base::digest note_id_of(std::uint8_t kind, base::byte_view bytes) {
    const std::uint8_t head[2] = {0, kind};
    return base::sha256_stream()
        .add("tequio/note/v1")
        .add(base::byte_view(head))
        .add(bytes)
        .finish();
}

note_gossip::peer::peer(const network_config& config)
    : offers(cost_of(config.notes_per_second * 4), 2000),
      asks(cost_of(config.notes_per_second), 500),
      unasked(std::chrono::seconds(1), 300),
      served(cost_of(config.notes_per_second * 4), 5000),
      comparisons(std::chrono::seconds(5), 5) {}

note_gossip::note_gossip(const network_config& config, base::rng rng)
    : config_(config), rng_(rng) {}

void note_gossip::peer_up(base::time_point now, const base::node_id& node, part_effects& out) {
    peers_.emplace(node, peer(config_));
    if (!notes_.empty()) out.send(node, wire::note_summary{summary()});
    if (next_comparison_ == base::time_point::max()) {
        next_comparison_ = now + config_.exchange_every;
    }
}

void note_gossip::peer_down(base::time_point now, const base::node_id& node, part_effects& out) {
    peers_.erase(node);
    for (auto at = requests_.begin(); at != requests_.end();) {
        at = at->second.from == node ? ask_next(now, at, out) : std::next(at);
    }
    if (peers_.empty()) next_comparison_ = base::time_point::max();
}

bool note_gossip::known(const base::digest& id) const {
    return notes_.contains(id) || pending_.contains(id) || forgotten_.contains(id);
}

void note_gossip::offered(base::time_point now, const base::node_id& from,
                          const wire::note_offer& m, part_effects& out) {
    auto& p = peers_.at(from);
    // Long lists cost more than short ones: each id is looked up.
    const auto price = 1 + static_cast<std::int64_t>(m.ids.size() / wire::ids_per_request);
    if (!p.offers.take(now, price)) return out.blame(from, 1, "offers notes too often");
    std::vector<base::digest> ask;
    for (const auto& id : m.ids) {
        if (known(id)) continue;
        if (const auto at = requests_.find(id); at != requests_.end()) {
            auto& others = at->second.others;
            const bool named = at->second.from == from ||
                               std::find(others.begin(), others.end(), from) != others.end();
            if (!named && others.size() < others_max) others.push_back(from);
            continue;
        }
        // We set the pace: what is beyond it waits for another comparison.
        if (p.asked >= asked_per_peer || !p.asks.take(now)) {
            p.has_more = true;
            break;
        }
        ++p.asked;
        requests_[id] = {from, now + config_.note_timeout, {}};
        ask.push_back(id);
    }
    for (std::size_t i = 0; i < ask.size(); i += wire::ids_per_request) {
        const auto end = std::min(ask.size(), i + wire::ids_per_request);
        out.send(from, wire::note_request{{ask.begin() + static_cast<std::ptrdiff_t>(i),
                                           ask.begin() + static_cast<std::ptrdiff_t>(end)}});
    }
    if (!m.complete) return;
    const std::set<base::digest> theirs(m.ids.begin(), m.ids.end());
    wire::note_offer missing;
    for (const auto& [id, unused] : notes_) {
        if (!theirs.contains(id)) missing.ids.push_back(id);
    }
    if (!missing.ids.empty()) out.send(from, std::move(missing));
}

void note_gossip::requested(base::time_point now, const base::node_id& from,
                            const wire::note_request& m, part_effects& out) {
    auto& p = peers_.at(from);
    for (const auto& id : m.ids) {
        if (!p.served.take(now)) return out.blame(from, 1, "asks for notes too often");
        const auto at = notes_.find(id);
        if (at != notes_.end()) out.send(from, wire::note{at->second.kind, at->second.bytes});
    }
}

void note_gossip::received(base::time_point now, const base::node_id& from, wire::note&& m,
                           part_effects& out) {
    const auto id = note_id_of(m.kind, m.bytes);
    const auto at = requests_.find(id);
    if (at == requests_.end()) {
        // Asked for, given up, and received from another meanwhile; or never asked for.
        if (!peers_.at(from).unasked.take(now)) out.blame(from, 1, "sends notes nobody asked for");
        return;
    }
    if (const auto p = peers_.find(at->second.from); p != peers_.end()) --p->second.asked;
    requests_.erase(at);
    if (auto& p = peers_.at(from); p.has_more && p.asked == 0) {
        p.has_more = false;
        out.send(from, wire::note_summary{summary()});
    }
    // When too many wait for a verdict, this one comes back with a later comparison.
    if (known(id) || pending_.size() >= config_.notes_pending_max) return;
    out.shell.push_back(note_received{m.kind, id, m.bytes, from});
    pending_[id] = {{m.kind, std::move(m.bytes)}, from};
}

base::digest note_gossip::summary() const {
    base::sha256_stream hash;
    for (const auto& [id, unused] : notes_) hash.add(id.view());
    return hash.finish();
}

void note_gossip::send_complete_offer(const base::node_id& to, part_effects& out) const {
    wire::note_offer offer;
    for (const auto& [id, unused] : notes_) {
        if (offer.ids.size() < wire::ids_per_offer) offer.ids.push_back(id);
    }
    offer.complete = true;
    out.send(to, std::move(offer));
}

void note_gossip::compared(base::time_point now, const base::node_id& from,
                           const wire::note_summary& m, part_effects& out) {
    // A small message that asks for a large answer: rarely.
    if (!peers_.at(from).comparisons.take(now)) return;
    if (m.digest != summary()) send_complete_offer(from, out);
}

bool note_gossip::has_room(std::size_t bytes) const {
    return notes_.size() < config_.notes_max && note_bytes_ + bytes <= config_.notes_bytes_max;
}

void note_gossip::keep(const base::digest& id, kept_note note) {
    note_bytes_ += note.bytes.size();
    notes_[id] = std::move(note);
}

void note_gossip::forget(const base::digest& id) {
    if (!forgotten_.insert(id).second) return;
    forgotten_order_.push_back(id);
    if (forgotten_order_.size() > config_.notes_forgotten_max) {
        forgotten_.erase(forgotten_order_.front());
        forgotten_order_.pop_front();
    }
}

// Offers are gathered for a moment: a burst of notes makes one message to each peer.
void note_gossip::offer_soon(base::time_point now, const base::digest& id) {
    fresh_.push_back(id);
    if (!flush_at_) flush_at_ = now + gather;
}

void note_gossip::flush_offers(part_effects& out) {
    wire::note_offer offer;
    for (const auto& id : fresh_) {
        if (notes_.contains(id) && offer.ids.size() < wire::ids_per_offer) offer.ids.push_back(id);
    }
    fresh_.clear();
    flush_at_.reset();
    if (offer.ids.empty()) return;
    for (const auto& [node, unused] : peers_) out.send(node, offer);
}

base::result<void> note_gossip::publish(base::time_point now, const publish_note& command) {
    if (command.bytes.empty() || command.bytes.size() > note_bytes_max) {
        return fail(errc::too_large, "a note has 1 to 65536 bytes, this one " +
                                         std::to_string(command.bytes.size()));
    }
    const auto id = note_id_of(command.kind, command.bytes);
    if (notes_.contains(id)) return {};
    if (!has_room(command.bytes.size())) {
        return fail(errc::full, "no room for another note: " + std::to_string(notes_.size()) +
                                    " are kept; withdraw some");
    }
    pending_.erase(id);
    if (forgotten_.erase(id) > 0) std::erase(forgotten_order_, id);
    keep(id, {command.kind, command.bytes});
    offer_soon(now, id);
    return {};
}

void note_gossip::judge(base::time_point now, const judge_note& command, part_effects& out) {
    const auto at = pending_.find(command.id);
    if (at == pending_.end()) return;
    auto judged = std::move(at->second);
    pending_.erase(at);
    if (command.verdict == note_verdict::accept) {
        if (!has_room(judged.note.bytes.size())) return;  // offered again, it may find room
        keep(command.id, std::move(judged.note));
        offer_soon(now, command.id);
        return;
    }
    forget(command.id);
    if (command.verdict == note_verdict::reject) {
        out.blame(judged.from, reject_weight, "sent a note that was rejected: " + command.reason);
    }
}

void note_gossip::withdraw(const base::digest& id) {
    const auto at = notes_.find(id);
    if (at == notes_.end()) return;
    note_bytes_ -= at->second.bytes.size();
    notes_.erase(at);
    forget(id);
}

note_gossip::requests::iterator note_gossip::ask_next(base::time_point now, requests::iterator at,
                                                      part_effects& out) {
    auto& r = at->second;
    if (const auto p = peers_.find(r.from); p != peers_.end()) --p->second.asked;
    while (!r.others.empty()) {
        const auto next = r.others.front();
        r.others.pop_front();
        const auto p = peers_.find(next);
        if (p == peers_.end() || p->second.asked >= asked_per_peer) continue;
        ++p->second.asked;
        r.from = next;
        r.deadline = now + config_.note_timeout;
        out.send(next, wire::note_request{{at->first}});
        return std::next(at);
    }
    return requests_.erase(at);
}

void note_gossip::tick(base::time_point now, part_effects& out) {
    for (auto at = requests_.begin(); at != requests_.end();) {
        at = at->second.deadline <= now ? ask_next(now, at, out) : std::next(at);
    }
    if (flush_at_ && *flush_at_ <= now) flush_offers(out);
    if (next_comparison_ > now || peers_.empty()) return;
    const auto chosen =
        std::next(peers_.begin(), static_cast<std::ptrdiff_t>(rng_.below(peers_.size())));
    out.send(chosen->first, wire::note_summary{summary()});
    next_comparison_ =
        now + rng_.between(config_.exchange_every * 3 / 4, config_.exchange_every * 5 / 4);
}

base::time_point note_gossip::next_deadline() const {
    auto due = next_comparison_;
    if (flush_at_) due = std::min(due, *flush_at_);
    for (const auto& [id, r] : requests_) due = std::min(due, r.deadline);
    return due;
}

std::vector<note_view> note_gossip::notes() const {
    std::vector<note_view> out;
    for (const auto& [id, n] : notes_) out.push_back({n.kind, id, n.bytes});
    return out;
}

void note_gossip::check() const {
    std::size_t bytes = 0;
    for (const auto& [id, n] : notes_) {
        bytes += n.bytes.size();
        base::ensure(!pending_.contains(id) && !forgotten_.contains(id), "a note has one state");
    }
    base::ensure(bytes == note_bytes_ && bytes <= config_.notes_bytes_max,
                 "note bytes are counted");
    base::ensure(notes_.size() <= config_.notes_max, "notes are bounded");
    base::ensure(pending_.size() <= config_.notes_pending_max, "pending notes are bounded");
    base::ensure(forgotten_.size() == forgotten_order_.size() &&
                     forgotten_.size() <= config_.notes_forgotten_max,
                 "forgotten ids are bounded");
    std::map<base::node_id, std::size_t> asked;
    for (const auto& [id, r] : requests_) ++asked[r.from];
    for (const auto& [node, p] : peers_) {
        base::ensure(p.asked == asked[node] && p.asked <= asked_per_peer, "requests are counted");
    }
}

}  // namespace tequio::p2p
