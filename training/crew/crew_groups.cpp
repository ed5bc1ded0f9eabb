// A crew in groups: who is in which, and what their stewards tell one another.
#include <algorithm>
#include <bit>

#include "base/ensure.hpp"
#include "training/crew/core.hpp"

namespace tequio::training {

using namespace crew_protocol;

namespace {

/// Between two comparisons of books with the steward of another group (guess: claims come by
/// themselves; this finds what was lost on the way).
constexpr base::duration compare_abroad_every = std::chrono::seconds(10);
/// Between two times that all facts on sums of this group are sent again to one that lacks some.
constexpr base::duration push_every = std::chrono::seconds(2);
constexpr base::duration ask_abroad_every = std::chrono::seconds(1);

}  // namespace

/// This node's group does what is done once for the whole crew.
bool crew::core::lead_group() const {
    return !grouped() || serves(0);
}

/// What falls to that group is this group's to do.
bool crew::core::serves(std::uint32_t group) const {
    return !grouped() || groups_.served_by(group, live_) == groups_.own();
}

/// Of an item that has to be computed: by another group, as far as can be told. What one group
/// takes from another is what nobody has in hand there.
bool crew::core::elsewhere(item_key key) const {
    if (key.item == shape_.merge_item()) return false;
    const auto* b = book(key.round);
    if (b == nullptr) return false;
    const auto& claims = b->claims(key.item);
    if (claims.empty()) {
        if (key.item == shape_.validation_item()) return !lead_group();
        auto& known = abroad_leases_;
        if (!known.known || known.round != key.round || known.live != live_) {
            known = {true, key.round, live_, std::vector<bool>(shape_.lanes)};
            for (const auto& [group, c] : contacts_) {
                if ((live_ >> group & 1) == 0 || c.said.chronicle != key.round) continue;
                for (const auto lane : c.leased) {
                    if (lane < shape_.lanes) known.leased[lane] = true;
                }
            }
        }
        return key.item < shape_.lanes && known.leased[key.item];
    }
    // Whoever has drawn a check makes it, wherever its worker is.
    if (b->closed() && key.item < shape_.lanes && !lottery_.drawers(key.round, key.item).empty()) {
        return false;
    }
    const auto closed = closed_at_.find(key.round);
    const bool awaited = closed != closed_at_.end() && (!window_open() || chain_.complete()) &&
                         now_ - closed->second > config_.timings.opening_timeout;
    return !awaited && !checks_for(groups_.of(claims.front().said.node));
}

/// What anybody may check is checked in the group after its worker's: a group may be one node, or
/// of one mind.
bool crew::core::checks_for(std::uint32_t group) const {
    return serves((group + 1) % groups_.count());
}

/// The crew is in more groups than this node knew: who is of another one by now is no member any
/// more. What it has in hand goes on.
void crew::core::adopt_depth(std::uint32_t depth, effects& out) {
    if (depth <= groups_.depth() || depth > depth_max_) return;
    groups_.set_depth(depth);
    roster_.release_foreign();
    if (const auto& steward = leadership_->current(); steward && steward->node != config_.self) {
        if (groups_.foreign(steward->node)) leadership_->disown(now_, steward->node);
    }
    planner_.clear();
    applicants_.clear();
    contacts_.clear();
    abroad_leases_.known = false;
    column_inputs_.clear();
    rows_.clear();
    ++rows_changes_;
    rows_tried_.clear();
    mine_.end();
    standbys_.clear();
    order_.reset();
    next_order_.reset();
    place_ = {};
    live_ = std::uint64_t{1} << groups_.own();
    noted_ = 0;
    out.push_back(crew_progress{});
}

/// When all seats of a group are taken while somebody waits for one, all groups divide in two, for
/// which nothing has to be agreed on. Its steward says so; where so many came at once that each
/// found the others' seats taken, and nobody leads, whoever sees that for long enough.
void crew::core::divide_when_full(effects& out) {
    if (groups_.depth() >= depth_max_) return;
    const bool leaderless =
        unseated() && !leadership_->current() &&
        leadership_->silent_for(now_, config_.timings.silent_after * (groups_.depth() + 1));
    if (!leaderless) {
        std::erase_if(applicants_, [&](const auto& a) {
            return now_ - a.second > config_.timings.silent_after ||
                   roster_.present(now_, a.first) || groups_.foreign(a.first);
        });
        if (!leadership_->leading() || applicants_.empty() || !roster_.full(now_)) return;
    }
    adopt_depth(groups_.depth() + 1, out);
    status_sent_ = spoken_status();
    std::vector<base::node_id> everybody;
    for (const auto& [node, m] : roster_.all()) {
        if (m.up) everybody.push_back(node);
    }
    send(everybody, status_sent_, out);
}

/// As a steward: which groups are heard of, and how many are in them.
void crew::core::refresh_groups() {
    const auto own = groups_.own();
    live_ = std::uint64_t{1} << own;
    abroad_ = 0;
    for (const auto& [group, c] : contacts_) {
        if (group == own || c.silent_for(now_, config_.timings.silent_after)) continue;
        live_ |= std::uint64_t{1} << group;
        abroad_ += c.said.members;
    }
    abroad_ = std::min<std::uint32_t>(abroad_, crew_groups_nodes_max);
}

/// Says who leads its group: that is whom this group's steward has to talk to.
void crew::core::heard_abroad(const base::node_id& from, const status& said) {
    if (!said.steward || said.depth != groups_.depth()) return;
    const auto& steward = *said.steward;
    const auto group = groups_.of(from);
    if (groups_.of(steward.node) != group || group == groups_.own()) return;
    auto& c = contacts_[group];
    const bool silent = c.silent_for(now_, config_.timings.silent_after);
    if (c.steward.node.is_zero() || silent || steward.leads(c.steward)) {
        if (c.steward.node != steward.node) c.heard.reset();
        c.steward = steward;
    }
}

/// Of the other groups that are heard of.
std::vector<base::node_id> crew::core::stewards_abroad() const {
    std::vector<base::node_id> out;
    for (const auto& [group, c] : contacts_) {
        if (live_ >> group & 1) out.push_back(c.steward.node);
    }
    return out;
}

group_note crew::core::own_note() const {
    group_note m;
    m.depth = groups_.depth();
    m.group = groups_.own();
    m.steward = *leadership_->current();
    m.chronicle = chain_.length();
    m.members = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(roster_.count_present(now_) + 1, crew_members_max));
    std::set<std::uint32_t> leased;
    for (const auto& given : {planner_.assignments(), planner_.next_assignments()}) {
        for (const auto& [node, key] : given) {
            if (key.round == m.chronicle && key.item < shape_.lanes) leased.insert(key.item);
        }
    }
    m.leased.assign(leased.begin(), leased.end());
    if (m.leased.size() > leased_max) m.leased.resize(leased_max);
    for (const auto& [round, b] : books_) {
        if (m.books.size() < books_max) m.books.emplace_back(round, b.fold());
    }
    for (std::uint32_t g = 0; g < groups_.count(); ++g) m.known.push_back(sums_known(g));
    m.sums = m.known[m.group];
    return m;
}

/// Nodes of other groups, by group: those that are linked with this one; of groups that has none
/// of, those whose results are known. With 32 groups and as many links abroad a steward has none to
/// one group in three, and that one's none to it in one of nine: then neither would ever hear of
/// the other.
std::map<std::uint32_t, std::vector<base::node_id>> crew::core::nodes_abroad() const {
    std::map<std::uint32_t, std::vector<base::node_id>> linked, named;
    for (const auto& [node, m] : roster_.all()) {
        if (m.up && groups_.foreign(node)) linked[groups_.of(node)].push_back(node);
    }
    for (const auto& [round, b] : books_) {
        for (std::uint32_t lane = 0; lane < shape_.lanes; ++lane) {
            for (const auto& k : b.claims(lane)) {
                const auto g = groups_.of(k.said.node);
                if (g != groups_.own() && !linked.contains(g)) named[g].push_back(k.said.node);
            }
        }
    }
    linked.merge(named);
    return linked;
}

/// To the stewards of the other groups, and to anybody of those whose steward is not known: who is
/// none answers with whom it follows.
void crew::core::send_notes(effects& out) {
    noted_ = chain_.length();
    auto others = nodes_abroad();
    std::vector<base::node_id> to;
    for (std::uint32_t g = 0; g < groups_.count(); ++g) {
        if (g == groups_.own()) continue;
        const auto c = contacts_.find(g);
        if (c != contacts_.end()) to.push_back(c->second.steward.node);
        const bool heard = live_ >> g & 1;
        const auto& nodes = others[g];
        if (!heard && !nodes.empty()) to.push_back(nodes[rng_.below(nodes.size())]);
    }
    send(to, own_note(), out);
}

base::result<void> crew::core::heard(const base::node_id& from, group_note m, effects& out) {
    adopt_depth(m.depth, out);
    const bool of_theirs = m.depth == groups_.depth() && m.steward.node == from &&
                           groups_.of(from) == m.group && m.group != groups_.own();
    if (!leadership_->leading() || m.depth != groups_.depth()) {
        send(from, spoken_status(), out);
    }
    if (!of_theirs || standing_.excluded(from)) return {};
    auto& c = contacts_[m.group];
    const bool silent = c.silent_for(now_, config_.timings.silent_after);
    if (c.steward.node != from && !silent && !m.steward.leads(c.steward)) return {};
    c.steward = m.steward;
    c.heard = now_;
    c.leased = {m.leased.begin(), m.leased.end()};
    c.said = std::move(m);
    abroad_leases_.known = false;
    const auto missing = chain_.missing_from(c.said.chronicle);
    if (missing && now_ - c.asked >= ask_abroad_every) {
        c.asked = now_;
        send(from, chronicle_request{*missing}, out);
    }
    if (!leadership_->leading()) return {};
    if (now_ - c.compared >= compare_abroad_every) {
        for (const auto& [round, fold] : c.said.books) {
            const auto* b = book(round);
            if (b == nullptr || b->fold() == fold) continue;
            c.compared = now_;
            const auto chunks = (shape_.items() + tags_max - 1) / tags_max;
            send_tags(from, *b, static_cast<std::uint32_t>(beats_ % chunks * tags_max), true, out);
        }
    }
    const auto own = groups_.own();
    const bool lacks = c.said.chronicle == chain_.length() && own < c.said.known.size() &&
                       c.said.known[own] < sums_known(own);
    if (lacks && now_ - c.pushed >= push_every) {
        c.pushed = now_;
        push_sums(from, out);
    }
    return {};
}

/// A claim that is new here: the steward tells the other groups those of its own, at once, and its
/// own those of the others, several at a time.
void crew::core::relay(const known_claim& k, effects& out) {
    if (!leadership_->leading()) return;
    if (groups_.foreign(k.said.node)) {
        relayed_.emplace_back(k.said.key, k.said.node);
        if (round_resolved()) relay_waiting(out);
        return;
    }
    send_claims(stewards_abroad(), {&k}, out);
}

void crew::core::relay_waiting(effects& out) {
    if (relayed_.empty()) return;
    std::vector<const known_claim*> claims;
    for (const auto& [key, node] : relayed_) {
        const auto* b = book(key.round);
        const auto* k = b == nullptr ? nullptr : b->claim_of(key.item, node);
        if (k != nullptr) claims.push_back(k);
    }
    relayed_.clear();
    send_claims(roster_.present(now_), claims, out);
}

}  // namespace tequio::training
