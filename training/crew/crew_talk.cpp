// Messages, both ways.
#include <algorithm>
#include <set>

#include "base/ensure.hpp"
#include "training/crew/core.hpp"
#include "training/errc.hpp"

namespace tequio::training {

using namespace crew_protocol;

namespace {

/// Claims a message: bounded by count and by bytes, so that a frame stays below its cap.
constexpr std::size_t claims_bytes_max = 40 * 1024;
/// Claims sent for one book comparison; the next one brings more.
constexpr std::size_t claims_per_answer_max = 512;
constexpr base::duration ask_every = std::chrono::seconds(1);
constexpr base::duration compare_every = std::chrono::milliseconds(400);

}  // namespace

void crew::core::send(const base::node_id& to, const message& m, effects& out) {
    auto bytes = encode(shape_.task, m);
    base::ensure(bytes.size() <= crew_message_max_bytes, "messages stay below their cap");
    out.push_back(send_crew{to, std::move(bytes)});
}

/// The same to several: encoded once.
void crew::core::send(const std::vector<base::node_id>& to, const message& m, effects& out) {
    if (to.empty()) return;
    const auto first = out.size();
    send(to.front(), m, out);
    for (std::size_t i = 1; i < to.size(); ++i) {
        out.push_back(send_crew{to[i], std::get<send_crew>(out[first]).bytes});
    }
}

void crew::core::send_claims(const std::vector<base::node_id>& to,
                             const std::vector<const known_claim*>& claims, effects& out) {
    facts m;
    std::size_t bytes = 0;
    const auto flush = [&] {
        if (!m.claims.empty()) send(to, m, out);
        m = {};
        bytes = 0;
    };
    for (const auto* k : claims) {
        auto signers = keys_.certificates_for(k->said, m);
        if (!signers) continue;
        if (m.claims.size() == facts_max || bytes > claims_bytes_max ||
            m.certificates.size() + signers->size() > 2 * facts_max) {
            flush();
            signers = keys_.certificates_for(k->said, m);
        }
        for (auto& certificate : *signers) {
            bytes += certificate.second.size() + 40;
            m.certificates.push_back(std::move(certificate));
        }
        m.claims.push_back(k->fact);
        bytes += k->fact.body.size() + 72;
    }
    flush();
}

base::result<void> crew::core::heard(const base::node_id& from, facts m, effects& out) {
    if (!keys_.has_room(m.certificates.size())) {
        std::set<base::node_id> kept{config_.self};
        for (const auto& [other, known] : roster_.all()) {
            if (known.up) kept.insert(other);
        }
        keys_.keep_only(kept);
    }
    for (const auto& [node, certificate] : m.certificates) {
        TEQUIO_CHECK(keys_.learn(node, certificate));
    }
    std::vector<known_claim> claims;
    for (auto& fact : m.claims) {
        TEQUIO_TRY(auto said, parse_claim(shape_, fact.body));
        const auto* b = book(said.key.round);
        const auto* known = b == nullptr ? nullptr : b->claim_of(said.key.item, said.node);
        if (known != nullptr && known->fact == fact) continue;
        if (known == nullptr && b != nullptr && !b->has_room(said.key.item, said.node)) continue;
        TEQUIO_CHECK(keys_.verify(said.node, fact_kind::claim, fact));
        TEQUIO_TRY(const bool believed, names_team(said));
        if (!believed) {
            out.push_back(crew_progress{});
            continue;
        }
        claims.push_back({std::move(said), std::move(fact)});
    }
    std::vector<opening> openings;
    for (const auto& fact : m.openings) {
        TEQUIO_TRY(auto said, parse_opening(shape_, fact.body));
        TEQUIO_CHECK(keys_.verify(said.node, fact_kind::opening, fact));
        openings.push_back(said);
    }
    std::vector<known_part> parts;
    for (auto& fact : m.parts) {
        TEQUIO_TRY(auto said, parse_part(shape_, fact.body));
        if (said.round != chain_.length()) continue;
        if (shards_.knows(said, fact)) {
            if (grouped()) teller(said.blob, from);
            continue;
        }
        TEQUIO_CHECK(keys_.verify(said.node, fact_kind::part, fact));
        parts.push_back({std::move(said), std::move(fact)});
    }
    std::vector<known_sums> sums;
    for (auto& fact : m.sums) {
        TEQUIO_TRY(auto said, parse_sums(shape_, fact.body));
        if (said.round != chain_.length() || sums_.knows(said, fact)) continue;
        TEQUIO_CHECK(keys_.verify(said.node, fact_kind::sums, fact));
        sums.push_back({std::move(said), std::move(fact)});
    }
    for (auto& k : claims) take_claim(std::move(k), out);
    for (auto& p : parts) take_part(std::move(p), from, out);
    for (auto& s : sums) take_sums(std::move(s), out);
    for (const auto& o : openings) {
        if (o.node == config_.self) continue;
        if (checks_.heard(book(o.key.round), o, out)) show(o.node, o.key, out);
    }
    for (const auto& key : m.openings_wanted) {
        const auto* b = book(key.round);
        if (b != nullptr && checks_.may_show(*b, key, from)) show(from, key, out);
    }
    return {};
}

/// This node said so before it lost its memory: it must not say anything else now.
void crew::core::take_own_claim(known_claim k, effects& out) {
    const auto key = k.said.key;
    const auto own = own_claims_.find(key);
    if (own != own_claims_.end()) {
        if (!(own->second.fact == k.fact)) {
            trouble_ = "another node signs with this node's key: was the data directory copied?";
            out.push_back(crew_progress{});
        }
        return;
    }
    if (book(key.round) == nullptr) return;
    keep_keys(k.said.team, out);
    out.push_back(store_fact{"claim/" + std::to_string(key.round) + "/" + std::to_string(key.item),
                             encode_stored_claim(k.fact, {})});
    own_claims_[key] = {k.said, k.fact, {}};
}

void crew::core::take_claim(known_claim k, effects& out) {
    const auto key = k.said.key;
    const auto node = k.said.node;
    if (node == config_.self) take_own_claim(k, out);
    if (key.item == shape_.merge_item()) chain_.offer(key.round, k.said.blob(), node);
    auto* b = book(key.round);
    if (b == nullptr) return;
    const auto copy = grouped() ? std::optional(k) : std::nullopt;
    const auto team = team_of(k.said);
    switch (b->add(std::move(k))) {
        case round_book::added::fresh:
            break;
        case round_book::added::contradiction:
            trouble_ = "node " + node.brief() + " signed two results for round " +
                       std::to_string(key.round) + " item " + std::to_string(key.item);
            out.push_back(crew_progress{});
            return;
        case round_book::added::known:
        case round_book::added::stale:
        case round_book::added::full:
            return;
    }
    if (copy) relay(*copy, out);
    weigh(*b, key.item);
    ++activity_;
    if (key.item < shape_.lanes) {
        for (const auto& member : team) ++lanes_by_[member];
    }
    if (own_.works_on(key.round)) own_.offer(key.item);
    if (mine_.works_on(key.round)) mine_.offer(key.item);
    for (auto& [first, x] : standbys_) {
        if (x.works_on(key.round)) x.offer(key.item);
    }
    checks_.pair_up(now_, *b, key.item, out);
    note_taint();
    out.push_back(crew_progress{});
}

void crew::core::show(const base::node_id& to, item_key key, effects& out) {
    const auto trace = checks_.trace(key);
    if (!trace) return;
    facts m;
    m.certificates.emplace_back(config_.self, config_.keys.certificate);
    signed_fact fact;
    fact.body = opening_body(shape_.task, {config_.self, key, *trace});
    fact.signature = config_.keys.sign(signed_bytes(fact_kind::opening, fact.body));
    m.openings.push_back(std::move(fact));
    send(to, m, out);
}

base::result<void> crew::core::heard(const base::node_id& from, status m, effects& out) {
    TEQUIO_CHECK(lottery_.admissible(from, m.tickets));
    adopt_depth(m.depth, out);
    if (depth_max_ > 0 && m.depth < groups_.depth()) send(from, spoken_status(), out);
    if (groups_.foreign(from)) {
        heard_abroad(from, m);
        return {};
    }
    const auto* before = roster_.find(from);
    const bool fresh = before == nullptr || !before->joined;
    // Whose work was found wrong here is given none, gives none, and is no company.
    const bool excluded = standing_.excluded(from) || names_.distrusts(from);
    if (excluded) {
        m.able = m.available = m.full = false;
        if (m.slices) m.slices->fits.clear();
        leadership_->disown(now_, from);
    }
    auto* m_from = roster_.heard(now_, from, m);
    if (m_from == nullptr) {
        if (depth_max_ > 0 && m.able && applicants_.size() < facts_max) applicants_[from] = now_;
        return {};
    }
    vanished_.erase(from);
    const auto* open = book(chain_.length());
    const bool begun = open == nullptr || open->workers() > 0;
    names_.saw(shape_, from, m);
    lottery_.heard(from, m.tickets, chain_.length() + (begun ? 1 : 0), chain_.length() + 2);
    if (fresh) send(from, spoken_status(), out);
    leadership_->heard_status(now_, from, m.steward);
    if (m.chronicle == chain_.length() && chain_.state() && !m.state.is_zero()) {
        m_from->apart = m.state != *chain_.state();
        if (m_from->apart) set_apart({from});
    }
    const auto missing = chain_.missing_from(m.chronicle);
    // What leads to a state is asked of those who named it.
    const auto& jump = states_.jump();
    const bool asks = !jump || jump->own() || jump->from.contains(from);
    if (missing && asks && now_ - m_from->asked >= ask_every) {
        m_from->asked = now_;
        send(from, chronicle_request{*missing}, out);
    }
    if (!excluded) adopt_settled(m, out);
    compare_books(from, m, out);
    if (grouped()) answer_wants(from, m, out);
    return {};
}

/// Sends this node's side of a book that the other holds differently; the answer is what we lack,
/// and its side, to which we answer with what it lacks.
void crew::core::compare_books(const base::node_id& with, const status& said, effects& out) {
    auto* m = roster_.find(with);
    // In groups claims come by the steward, and every book differs from some for a moment.
    if (grouped() && !leadership_->leading() && !leadership_->follows(with)) return;
    if (now_ - m->book_sent < compare_every * (grouped() ? 5 : 1)) return;
    const auto chunks = (shape_.items() + tags_max - 1) / tags_max;
    const auto first = static_cast<std::uint32_t>(beats_ % chunks * tags_max);
    std::set<std::uint64_t> theirs;
    const auto compare = [&](const round_book& b) {
        m->book_sent = now_;
        send_tags(with, b, first, true, out);
    };
    for (const auto& [round, fold] : said.books) {
        theirs.insert(round);
        const auto* b = book(round);
        if (b != nullptr && b->fold() != fold) compare(*b);
    }
    for (const auto& [round, b] : books_) {
        // They have settled what this node has not: they can say why.
        if (round >= settled_ && round < said.settled && !theirs.contains(round) && !b.settled()) {
            compare(b);
        }
    }
}

void crew::core::send_tags(const base::node_id& to, const round_book& b, std::uint32_t first,
                           bool want_back, effects& out) {
    book_tags m;
    m.round = b.round();
    m.nonce = rng_.next();
    m.first = first;
    m.tags = b.tags(m.nonce, first);
    m.want_back = want_back;
    send(to, m, out);
}

base::result<void> crew::core::heard(const base::node_id& from, book_tags m, effects& out) {
    const auto* b = book(m.round);
    if (b == nullptr) return {};
    const auto own = b->tags(m.nonce, m.first);
    std::vector<const known_claim*> claims;
    bool differ = false;
    const auto count = std::min(own.size(), m.tags.size());
    // From a different place each time, so that a cut answer does not always miss the same items.
    const auto offset = count == 0 ? 0 : rng_.below(count);
    for (std::size_t i = 0; i < count && claims.size() < claims_per_answer_max; ++i) {
        const auto at = (i + offset) % count;
        if (own[at] == m.tags[at]) continue;
        differ = true;
        for (const auto& k : b->claims(static_cast<std::uint32_t>(m.first + at))) {
            claims.push_back(&k);
        }
    }
    send_claims({from}, claims, out);
    if (differ && m.want_back) send_tags(from, *b, m.first, false, out);
    return {};
}

base::result<void> crew::core::heard(const base::node_id& from, round_open m, effects& out) {
    adopt_depth(m.depth, out);
    if (m.depth != groups_.depth() || groups_.foreign(from)) return {};
    const auto* who = roster_.find(from);
    if ((who != nullptr && who->apart) || standing_.excluded(from) || names_.distrusts(from)) {
        return {};
    }
    // A node that found no seat hears nothing from the crew and would lead it, blindly.
    if ((who == nullptr || !who->joined) && roster_.full(now_)) return {};
    if (!leadership_->heard(now_, {m.round, m.term, from})) return {};
    order_.reset();
    next_order_.reset();
    again_.reset();
    place_ = {m.place, m.places};
    live_ = m.groups;
    abroad_ = m.abroad;
    mean_told_ = m.round == chain_.length() ? m.mean : base::blob_ref{};
    if (slicing() && m.slices > 0) take_plan({m.slices, std::move(m.seats)}, out);
    for (const auto& [node, key] : m.again) {
        if (node == config_.self) again_ = key;
    }
    if (m.round != chain_.length() || !chain_.state() || m.state != *chain_.state()) return {};
    for (const auto& [node, key] : m.assignments) {
        if (node == config_.self && key.item != shape_.merge_item()) order_ = key;
    }
    if (shards_.round() != m.round) shards_.open(m.round);
    // A steward that came in the middle of the round has not heard of its plan.
    if (grouped()) lost_here_ = {m.lost.begin(), m.lost.end()};
    if (sums_in_groups()) {
        if (rows_fit(m.shards, group_shards_)) {
            if (rows_ != m.shards) ++rows_changes_;
            rows_ = std::move(m.shards);
            rows_round_ = m.round;
        }
    } else if (shape_.mean_units > 1 && !m.shards.empty()) {
        shards_.adopt(m.shards);
    }
    for (const auto& [node, key] : m.next) {
        if (node == config_.self) next_order_ = key;
    }
    ordered_round_ = m.round;
    return {};
}

base::result<void> crew::core::heard(const base::node_id& from, chronicle_request m, effects& out) {
    chronicle_reply reply{m.from, {}};
    const auto end = std::min<std::uint64_t>(chain_.length(), m.from + entries_max);
    for (auto round = m.from; round < end; ++round) {
        reply.entries.push_back(chain_.entry_ref(round));
    }
    if (!reply.entries.empty()) send(from, reply, out);
    return {};
}

base::result<void> crew::core::heard(const base::node_id& from, chronicle_reply m, effects&) {
    for (std::size_t i = 0; i < m.entries.size(); ++i) {
        chain_.offer(m.from + i, m.entries[i], from);
    }
    return {};
}

status crew::core::own_status() const {
    status s;
    s.chronicle = chain_.length();
    s.applied = applied_;
    if (chain_.state()) s.state = *chain_.state();
    s.settled = settled_;
    s.lanes_checked = std::min(lanes_checked_, settled_ * shape_.lanes);
    if (in_hand_) {
        s.doing = works_on_item() ? doing_kind::item : doing_kind::own;
        if (s.doing == doing_kind::item) s.item = in_hand_->key;
    }
    s.available = available();
    s.able = able() && (!slicing() || (seat_ && !withdrawn()));
    s.leaving = left_;
    s.job = job_;
    if (leadership_) s.steward = leadership_->current();
    for (const auto& [round, b] : books_) {
        if (round >= settled_ && s.books.size() < books_max) s.books.emplace_back(round, b.fold());
    }
    s.activity = activity_;
    if (slicing()) s.slices = own_slices();
    s.missing = missing_lanes();
    s.depth = groups_.depth();
    s.sums_wanted = sums_look_.wanted;
    s.parts_wanted = parts_wanted_;
    s.kept = states_.newest(settled_);
    s.means_from = states_.means_from();
    return s;
}

status crew::core::spoken_status() const {
    auto s = own_status();
    s.tickets = lottery_.tickets(books_low(), chain_.length(), chain_.length() + 2);
    return s;
}

void crew::core::send_status(effects& out) {
    status_sent_ = spoken_status();
    std::vector<base::node_id> members, strangers;
    for (const auto& [node, m] : roster_.all()) {
        // Strangers get a word now and then: they may join later.
        if (m.joined) {
            if (m.up || roster_.present(now_, node)) members.push_back(node);
        } else if (m.up && beats_ % 4 == 1) {
            if (!groups_.foreign(node)) strangers.push_back(node);
        }
    }
    send(members, status_sent_, out);
    auto said = status_sent_;
    said.full = roster_.full(now_);
    send(strangers, said, out);
}

/// No seat is free for this node: it stands by, keeps up with the chronicle, and is let in when one
/// is. Members' opinions of who sits may differ; the steward's decides, for it hands out the work,
/// and where none is heard that of those who hold most seats. Of the seats there are, not of those
/// who speak: fewer liars depose no steward.
bool crew::core::unseated() const {
    const bool leading = leadership_ && leadership_->leading();
    if (!leading && leadership_ && leadership_->current()) return false;
    if (roster_.count_full(now_) == 0) return false;
    std::uint64_t full = 0;
    bool steward_says_so = false;
    roster_.each_present(now_, [&](const base::node_id& node, const member& m) {
        if (!m.said.full) return;
        ++full;
        steward_says_so |= m.said.steward && m.said.steward->node == node;
    });
    return (steward_says_so && !leading) || 2 * full > config_.group_max - 1;
}

/// Tells at once what others wait for; the rest waits for the beat.
void crew::core::status_on_change(effects& out) {
    const auto s = own_status();
    const auto& sent = status_sent_;
    const bool resigned =
        sent.steward && sent.steward->node == config_.self && !leadership_->leading();
    if (resigned || s.chronicle != sent.chronicle || s.applied != sent.applied ||
        s.settled != sent.settled || s.doing != sent.doing || s.item != sent.item ||
        s.available != sent.available || s.able != sent.able || s.leaving != sent.leaving ||
        s.job != sent.job || s.slices != sent.slices || s.missing != sent.missing ||
        s.sums_wanted != sent.sums_wanted || s.parts_wanted != sent.parts_wanted) {
        send_status(out);
    }
}

std::vector<worker_slot> crew::core::slots() const {
    if (teams_.count > 1) return team_slots();
    std::vector<worker_slot> out;
    const auto s = own_status();
    const auto slot_of = [this](const base::node_id& node, const status& said, bool fit) {
        worker_slot slot{node,         fit,       said.doing == doing_kind::own,
                         std::nullopt, said.able, standing_.newcomer(node)};
        if (said.doing == doing_kind::item) slot.doing = said.item;
        return slot;
    };
    out.push_back(slot_of(config_.self, s, s.available));
    for (const auto& node : roster_.present(now_)) {
        const auto& said = roster_.find(node)->said;
        const bool fit = said.available && said.chronicle == s.chronicle && said.state == s.state;
        out.push_back(slot_of(node, said, fit));
    }
    return out;
}

void crew::core::lead(effects& out) {
    if (!leadership_->leading() || !able()) {
        planner_.clear();
        told_.clear();
        told_shards_.clear();
        told_next_.clear();
        told_again_.clear();
        if (slicing()) team_desk_.adopt(teams_);
        return;
    }
    divide_when_full(out);
    if (grouped()) refresh_groups();
    if (slicing()) plan_teams(out);
    const bool enough = roster_.count_present(now_) + 1 + abroad_ >= config_.crew_min;
    const auto length = chain_.length();
    if (!enough) {
        planner_.clear();
    } else if (chain_.state()) {
        planner::books b;
        b.open = length <= shape_.rounds ? book(length) : nullptr;
        for (auto round = settled_; round < length; ++round) {
            if (const auto* closed = book(round)) b.closed.push_back(closed);
        }
        b.may_check = [this](const base::node_id& node, item_key key) {
            return may_check(node, key);
        };
        b.awaited = !window_open() || chain_.complete();
        b.lost = lost_lanes();
        if (grouped()) {
            lost_here_ = b.lost;
            b.column = groups_.column(groups_.own(), shape_.lanes);
            b.elsewhere = [this](item_key key) { return elsewhere(key); };
        }
        planner_.plan(now_, b, slots());
    }
    if (sums_in_groups()) {
        plan_rows();
    } else {
        plan_shards();
    }
    if (grouped() && noted_ != length) send_notes(out);
    place_ = planner_.place_of(config_.self);
    if (planner_.assignments() != told_ || planner_.next_assignments() != told_next_ ||
        hinted_shards() != told_shards_ || teams_ != told_teams_ || mean_told_ != told_mean_) {
        send_round_open(out);
    }
}

void crew::core::send_round_open(effects& out) {
    told_ = planner_.assignments();
    told_next_ = planner_.next_assignments();
    round_open m;
    m.round = chain_.length();
    m.term = leadership_->current()->term;
    if (chain_.state()) m.state = *chain_.state();
    m.assignments = told_;
    told_shards_ = hinted_shards();
    if ((sums_in_groups() ? rows_round_ : shards_.round()) == m.round) m.shards = told_shards_;
    m.depth = groups_.depth();
    if (grouped()) m.groups = live_;
    m.abroad = abroad_;
    for (const auto lane : lost_here_) {
        if (m.lost.size() < missing_max) m.lost.push_back(lane);
    }
    m.next = told_next_;
    told_teams_ = teams_;
    told_mean_ = mean_told_;
    m.slices = teams_.count;
    m.seats = teams_.seats;
    m.mean = mean_told_;
    m.again = {told_again_.begin(), told_again_.end()};
    for (const auto& node : roster_.present(now_)) {
        const auto place = planner_.place_of(node);
        m.place = place.index;
        m.places = place.count;
        send(node, m, out);
    }
}

}  // namespace tequio::training
