#include "p2p/core/links.hpp"

#include <algorithm>

#include "base/ensure.hpp"

namespace tequio::p2p {
namespace {

// A link that lived this long was a success; the next attempt starts from the shortest wait.
constexpr base::duration proven = std::chrono::seconds(30);
constexpr base::duration wanted_retry_max = std::chrono::seconds(30);
constexpr base::duration self_retry = std::chrono::hours(1);

}  // namespace

links::links(const network_config& config, const base::node_id& self, base::rng rng)
    : config_(config), self_(self), rng_(rng) {}

bool links::up(base::time_point now, const link_up& e, bool shut_out, network_effects& out) {
    if (e.outbound) {
        dials_.erase(e.address);
        if (auto at = seeds_.find(e.address); at != seeds_.end()) at->second.node = e.node;
    }
    if (shut_out) {
        out.push_back(close_link{e.link, {link_end::misbehaviour, false, "shut out for a while"}});
        return false;
    }
    const bool first = !linked(e.node);
    if (refuses(e)) {
        out.push_back(close_link{e.link, {link_end::too_many_links, false, ""}});
        return false;
    }
    if (!first && !settle_duplicates(e, out)) return false;
    links_[e.link] = {e.node, e.address, e.outbound,
                      e.outbound || wanted(e.node) || e.address.is_loopback(), now};
    by_node_[e.node].push_back(e.link);
    return first;
}

std::optional<base::node_id> links::gives_way(const link_up& e) const {
    if (links_.size() < config_.links_max || linked(e.node) || !wanted(e.node)) return {};
    const live_link* longest = nullptr;
    for (const auto& [id, l] : links_) {
        if (!wanted(l.node) && (longest == nullptr || l.since < longest->since)) longest = &l;
    }
    if (longest == nullptr) return {};
    return longest->node;
}

bool links::has_room(const link_up& e) const {
    if (links_.size() >= config_.links_max) return false;
    if (e.outbound || wanted(e.node) || e.address.is_loopback()) return true;
    const auto strangers =
        std::count_if(links_.begin(), links_.end(), [](const auto& l) { return !l.second.exempt; });
    return static_cast<std::size_t>(strangers) < config_.links_inbound_max;
}

// True when the new link stays.
bool links::settle_duplicates(const link_up& e, network_effects& out) {
    const link_ending duplicate{link_end::duplicate, false, ""};
    const bool ours_wins = self_ < e.node;
    const auto existing = by_node_.at(e.node);
    for (const auto old : existing) {
        const bool crossed = links_.at(old).outbound != e.outbound;
        const bool new_loses = crossed ? e.outbound != ours_wins : e.outbound;
        if (new_loses) {
            out.push_back(close_link{e.link, duplicate});
            return false;
        }
        if (crossed) close(old, duplicate, out);
    }
    if (const auto at = by_node_.find(e.node); at != by_node_.end() && at->second.size() >= 2) {
        close(at->second.front(), duplicate, out);
    }
    return true;
}

void links::remove(link_id link) {
    const auto at = links_.find(link);
    auto& list = by_node_.at(at->second.node);
    std::erase(list, link);
    if (list.empty()) by_node_.erase(at->second.node);
    links_.erase(at);
}

void links::close(link_id link, const link_ending& ending, network_effects& out) {
    remove(link);
    out.push_back(close_link{link, ending});
}

std::optional<links::loss> links::down(base::time_point now, link_id link) {
    const auto at = links_.find(link);
    if (at == links_.end()) return std::nullopt;
    const auto lost = at->second;
    remove(link);
    const bool last = !linked(lost.node);
    if (last) after_loss(lost, now);
    return loss{lost.node, last};
}

bool links::close_node(base::time_point now, const base::node_id& node, const link_ending& ending,
                       network_effects& out) {
    const auto at = by_node_.find(node);
    if (at == by_node_.end()) return false;
    const auto all = at->second;
    const auto lost = links_.at(all.front());
    for (const auto link : all) close(link, ending, out);
    after_loss(lost, now);
    return true;
}

void links::after_loss(const live_link& lost, base::time_point now) {
    auto postpone_after = [&](retry& r, base::duration longest) {
        if (now - lost.since >= proven) r.failures = 0;
        postpone(r, now, longest);
    };
    postpone_after(tries_[lost.node],
                   wanted(lost.node) ? wanted_retry_max : config_.dial_retry_max);
    for (auto& [where, s] : seeds_) {
        if (s.node == lost.node) postpone_after(s.again, config_.seed_retry_max);
    }
}

void links::postpone(retry& r, base::time_point now, base::duration longest) {
    // Doubling from the shortest wait, give or take a quarter: nodes that lost the same peer at the
    // same moment do not return in step.
    auto wait = config_.dial_retry_min;
    for (std::uint32_t i = 0; i < r.failures && wait < longest; ++i) wait *= 2;
    wait = std::min(wait, longest);
    ++r.failures;
    ++r.turn;
    r.next = now + rng_.between(wait - wait / 4, wait + wait / 4);
}

void links::dial_failed(base::time_point now, const p2p::dial_failed& e) {
    const auto at = dials_.find(e.address);
    if (at == dials_.end()) return;
    dials_.erase(at);
    if (e.expected) {
        postpone(tries_[*e.expected], now,
                 wanted(*e.expected) ? wanted_retry_max : config_.dial_retry_max);
    }
    if (const auto s = seeds_.find(e.address); s != seeds_.end() && !e.expected) {
        postpone(s->second.again, now, config_.seed_retry_max);
        if (e.ending.reason == link_end::self_connection) s->second.again.next = now + self_retry;
    }
}

void links::moved(const base::node_id& node, base::time_point now) {
    const auto at = tries_.find(node);
    if (at != tries_.end()) at->second.next = std::min(at->second.next, now);
}

base::result<void> links::add_seed(const address& where, base::time_point now) {
    if (seeds_.contains(where)) return {};
    if (seeds_.size() >= config_.seeds_max) {
        return fail(errc::full, "no room for the address " + where.text() + ": " +
                                    std::to_string(config_.seeds_max) + " are kept");
    }
    seeds_[where].again.next = now;
    return {};
}

void links::want(const base::node_id& node, base::time_point now) {
    if (node == self_) return;
    if (++wanted_[node] > 1 || linked(node)) return;
    auto& r = tries_[node];
    r.next = std::min(r.next, now);
}

void links::unwant(const base::node_id& node) {
    const auto at = wanted_.find(node);
    if (at != wanted_.end() && --at->second == 0) wanted_.erase(at);
}

bool links::dialing(const base::node_id& node) const {
    return std::any_of(dials_.begin(), dials_.end(),
                       [&](const auto& d) { return d.second == node; });
}

bool links::try_dial(const address& where, std::optional<base::node_id> expected,
                     network_effects& out) {
    if (dials_.size() >= config_.dials_max || dials_.contains(where)) return false;
    dials_[where] = expected;
    out.push_back(dial{where, expected});
    return true;
}

bool links::dial_node(base::time_point now, const base::node_id& node, const address_book& book,
                      network_effects& out) {
    const auto* addresses = book.addresses_of(node);
    if (addresses == nullptr || addresses->empty() || linked(node) || dialing(node)) return false;
    const auto& r = tries_[node];
    if (r.next > now) return false;
    return try_dial((*addresses)[r.turn % addresses->size()], node, out);
}

void links::maintain(base::time_point now, const address_book& book,
                     const std::set<base::node_id>& barred, network_effects& out) {
    for (const auto& [node, count] : wanted_) {
        if (!barred.contains(node)) dial_node(now, node, book, out);
    }
    for (const auto& [where, s] : seeds_) {
        const bool there = s.node && (linked(*s.node) || barred.contains(*s.node));
        if (!there && s.again.next <= now) try_dial(where, std::nullopt, out);
    }
    dial_strangers(now, book, barred, out);
    std::erase_if(tries_, [&](const auto& t) {
        return book.addresses_of(t.first) == nullptr && !wanted(t.first);
    });
    find_deadline(now, book);
}

void links::dial_strangers(base::time_point now, const address_book& book,
                           const std::set<base::node_id>& barred, network_effects& out) {
    if (by_node_.size() + dials_.size() >= config_.links_target) return;
    std::vector<base::node_id> candidates;
    for (const auto& node : book.nodes()) {
        if (!linked(node) && !barred.contains(node)) candidates.push_back(node);
    }
    while (!candidates.empty() && by_node_.size() + dials_.size() < config_.links_target &&
           dials_.size() < config_.dials_max) {
        const auto pick = rng_.below(candidates.size());
        dial_node(now, candidates[pick], book, out);
        candidates[pick] = candidates.back();
        candidates.pop_back();
    }
}

void links::find_deadline(base::time_point now, const address_book& book) {
    // What is due but was not dialled waits for room, which comes with another event.
    deadline_ = base::time_point::max();
    auto consider = [&](base::time_point t) {
        if (t > now) deadline_ = std::min(deadline_, t);
    };
    for (const auto& [where, s] : seeds_) {
        if (!dials_.contains(where) && !(s.node && linked(*s.node))) consider(s.again.next);
    }
    for (const auto& [node, r] : tries_) {
        if (!linked(node) && book.addresses_of(node) != nullptr) consider(r.next);
    }
}

std::optional<link_id> links::link_of(const base::node_id& node) const {
    const auto at = by_node_.find(node);
    if (at == by_node_.end()) return std::nullopt;
    return at->second.back();
}

std::optional<base::node_id> links::node_of(link_id link) const {
    const auto at = links_.find(link);
    if (at == links_.end()) return std::nullopt;
    return at->second.node;
}

std::vector<base::node_id> links::nodes() const {
    std::vector<base::node_id> out;
    for (const auto& [node, unused] : by_node_) out.push_back(node);
    return out;
}

std::vector<peer_view> links::views() const {
    std::vector<peer_view> out;
    for (const auto& [node, list] : by_node_) {
        const auto& l = links_.at(list.back());
        out.push_back({node, l.address, list.back(), l.outbound, 0});
    }
    return out;
}

void links::check() const {
    std::size_t listed = 0;
    for (const auto& [node, list] : by_node_) {
        base::ensure(!list.empty() && list.size() <= 2, "a node has one link, or two for a while");
        for (const auto link : list) base::ensure(links_.at(link).node == node, "links know nodes");
        listed += list.size();
    }
    base::ensure(listed == links_.size(), "every link is listed");
    base::ensure(links_.size() <= 2 * config_.links_max, "links are bounded");
    base::ensure(dials_.size() <= config_.dials_max, "dials are bounded");
    base::ensure(seeds_.size() <= config_.seeds_max, "seeds are bounded");
}

}  // namespace tequio::p2p
