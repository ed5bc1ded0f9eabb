// A crew in groups: each sums its own lanes; who is to make a part adds what all groups came to.
#include <algorithm>
#include <bit>

#include "base/ensure.hpp"
#include "training/crew/core.hpp"

namespace tequio::training {

using namespace crew_protocol;

namespace {

/// Of sums, and of a part: then they are not waited for (as elsewhere).
constexpr unsigned fetch_failures_max = 3;
/// Parts that are made ready at a time: the first is out while the next come.
constexpr int parts_at_a_time = 4;
/// Facts a message: with a certificate each it stays below its cap.
constexpr std::size_t sums_a_message = 32;
/// Of `shard_patience`, before sums that do not come are made here (guess).
constexpr int sums_patience = 2;
/// Likewise, before a row whose sums are made goes to another (guess: longer than the former).
constexpr int row_patience = 4;
/// Beats between two times that all parts are told again to those who lack some; in between they
/// are told what was not told yet (guess: eight tellings, of which one in a hundred is lost).
constexpr int tell_all_beats = 16;

bool overlap(contribution_run a, contribution_run b) {
    return a.first < b.end() && b.first < a.end();
}

}  // namespace

/// The crew is in groups, and its sums can be divided.
bool crew::core::sums_in_groups() const {
    return grouped() && config_.sums && shape_.mean_units > 1;
}

/// The parts of a crew in groups are of shards that follow from the job alone: whoever is steward,
/// and however many groups there are, parts fit together.
void crew::core::open_group_shards() {
    const auto round = chain_.length();
    if (round >= shape_.rounds) return;
    if (shards_.round() != round) shards_.open(round);
    if (sums_.round() != round) sums_.open(round);
    if (plans_opened_ == shards_.plans()) return;
    plans_opened_ = shards_.plans();
    if (shards_.plan().size() == group_shards_.size() &&
        std::equal(group_shards_.begin(), group_shards_.end(), shards_.plan().begin(),
                   [](const auto& units, const shard& s) { return s.units == units; })) {
        return;
    }
    std::vector<shard> plan;
    for (const auto& units : group_shards_) plan.push_back({units, config_.self});
    shards_.adopt(plan);
    plans_opened_ = shards_.plans();
}

/// What the steward says of who sums what.
const std::vector<shard>& crew::core::hinted_shards() const {
    return sums_in_groups() ? rows_ : shards_.plan();
}

const shard* crew::core::row_of(contribution_run units) const {
    for (const auto& row : rows_) {
        if (row.units.first <= units.first && units.end() <= row.units.end()) return &row;
    }
    return nullptr;
}

/// As the steward: the units that each of the group sums, by how fast its uplink is; those of who
/// is gone, or gets nowhere, go to others.
void crew::core::plan_rows() {
    const auto round = chain_.length();
    const auto* b = book(round);
    if (b == nullptr || round >= shape_.rounds) return;
    std::vector<base::node_id> fit;
    for (const auto& node : roster_.present(now_)) {
        const auto* m = roster_.find(node);
        if (m->said.able && !m->apart && m->said.chronicle + 1 >= round) fit.push_back(node);
    }
    if (rows_.empty() || rows_round_ != round) {
        std::vector<shard_candidate> candidates{{config_.self, std::nullopt}};
        for (const auto& node : fit) candidates.push_back({node, shards_.rate_of(node)});
        rows_ = cut_rows(group_shards_, candidates);
        rows_round_ = round;
        ++rows_changes_;
        rows_tried_.clear();
        rows_changed_ = now_;
        return;
    }
    const auto lanes = groups_.column(groups_.own(), shape_.lanes);
    const auto inputs = lanes.count == 0 ? std::nullopt : column_inputs(lanes);
    for (auto& row : rows_) {
        if (row.owner == config_.self) continue;
        bool lost = std::find(fit.begin(), fit.end(), row.owner) == fit.end();
        // All of the group's lanes are known, and what they come to is not; or the row's parts do
        // not come, which may be another group's doing.
        if (!lost && inputs && resolved_since_ && !joined_) {
            const auto* m = roster_.find(row.owner);
            const auto rests = now_ - std::max({*resolved_since_, m->active, rows_changed_});
            const bool summed = sums_.find(lanes, row.units, *inputs) != nullptr;
            lost = rests > shard_patience(row.units) * (summed ? row_patience : 1);
        }
        if (!lost) continue;
        rows_tried_.emplace(row.units.first, row.owner);
        const auto load = [&](const base::node_id& node) {
            return std::count_if(rows_.begin(), rows_.end(),
                                 [&](const shard& other) { return other.owner == node; });
        };
        auto best = config_.self;
        for (const auto& node : fit) {
            if (!rows_tried_.contains({row.units.first, node}) && load(node) < load(best)) {
                best = node;
            }
        }
        row.owner = best;
        ++rows_changes_;
        rows_changed_ = now_;
    }
}

/// Names what the sum of a run of lanes of the open round is of, once all of them are known.
std::optional<base::digest> crew::core::column_inputs(contribution_run lanes) {
    const auto* s = summed_lanes();
    const std::pair now_known{summands_.fold, summands_.entry};
    if (column_inputs_of_ != now_known) {
        column_inputs_.clear();
        column_inputs_of_ = now_known;
    }
    const auto known = column_inputs_.find(lanes.first);
    if (known != column_inputs_.end()) return known->second;
    std::vector<base::digest> of;
    const auto* b = book(chain_.length());
    for (auto lane = lanes.first; lane < lanes.end(); ++lane) {
        if (s != nullptr) {
            of.push_back(s->contributions[lane]);
            continue;
        }
        const auto* k = b == nullptr ? nullptr : b->resolved(static_cast<std::uint32_t>(lane));
        if (k == nullptr || k->said.divergence) break;
        of.push_back(k->said.result);
    }
    auto& out = column_inputs_[lanes.first];
    if (of.size() == lanes.count) out = inputs_digest(of);
    return out;
}

/// Which sums this node is to make next: over its own run of units, of its group's lanes, and of
/// those of groups that nobody is heard of; in the end of those that do not come, as much as own
/// parts are made of.
std::optional<partial_sums> crew::core::sums_in_turn(const summands* s) {
    const auto own = groups_.own();
    const auto lacks = [&](const partial_sums& which) {
        const auto* made = sums_.own(which);
        const auto inputs = column_inputs(which.lanes);
        return made == nullptr || (inputs && made->said.inputs != *inputs);
    };
    for (const auto& row : rows_) {
        if (row.owner != config_.self) continue;
        const bool late = s != nullptr && resolved_since_ &&
                          now_ - std::max(*resolved_since_, rows_changed_) >
                              sums_patience * shard_patience(row.units);
        for (std::uint32_t i = 0; i < groups_.count(); ++i) {
            const auto g = (own + i) % groups_.count();
            const auto lanes = groups_.column(g, shape_.lanes);
            if (lanes.count == 0) continue;
            if (serves(g)) {
                if (lacks({row.units, lanes})) return partial_sums{row.units, lanes};
                continue;
            }
            if (!late || (sums_look_.wanted >> g & 1) == 0) continue;
            const auto inputs = column_inputs(lanes);
            for (auto [at, end] = shards_of(row, group_shards_); at < end; ++at) {
                const auto& units = group_shards_[at];
                const bool comes = inputs && sums_.find(lanes, units, *inputs) != nullptr;
                const bool adds = serves(static_cast<std::uint32_t>(at % groups_.count()));
                if (!adds || comes || part_comes(units, *s)) continue;
                if (lacks({units, lanes})) return partial_sums{units, lanes};
            }
        }
    }
    return std::nullopt;
}

void crew::core::drive_groups(effects& out) {
    parts_wanted_ = false;
    if (chain_.length() < shape_.rounds) open_group_shards();
    if (!sharded() || !caught_up()) {
        sums_look_ = {};
        mine_.end();
        return;
    }
    standbys_.clear();
    const auto* s = summed_lanes();
    const auto round = chain_.length();
    if (s != nullptr && joined_ && (joined_->round != round || joined_->inputs != s->inputs)) {
        joined_.reset();
    }
    const bool over = joined_ || chain_.next() != nullptr || rows_round_ != round;
    if (s != nullptr && !over) {
        want_sums(*s, out);
    } else {
        sums_look_ = {};
    }
    const auto next = over || !able() ? std::nullopt : sums_in_turn(s);
    if (!next) {
        mine_.end();
    } else if (!mine_.works_on(round) || gathered_for_ != *next) {
        gathered_for_ = *next;
        mine_.begin(round, {}, book(round), lane_pieces(next->units), next->lanes);
    }
    mine_.step(now_, book(round), roster_, desk_, out);
    if (mine_.active() && !mine_.complete() && mine_.all_lost().empty()) gathering_until_ = now_;
    if (s != nullptr && !joined_) want_group_parts(*s, out);
}

/// Fetches what this node's parts are to be made of: of each group's sums the pieces that a shard
/// needs. Asked after every event, and seldom anything else than the last time.
void crew::core::want_sums(const summands& s, effects& out) {
    const sums_look::circumstances now{s.inputs,
                                       s.round,
                                       live_,
                                       sums_.changes(),
                                       shards_.changes(),
                                       desk_.changes(),
                                       roster_.stamp(now_),
                                       rows_changes_,
                                       able()};
    auto& seen = sums_look_;
    if (seen.at == now && now_ < seen.due) return;
    seen = {now, base::time_point::max(), std::nullopt, 0};
    int begun = 0;
    for (const auto& row : rows_) {
        if (row.owner != config_.self) continue;
        const auto [first, end] = shards_of(row, group_shards_);
        for (auto i = first; i < end && begun < parts_at_a_time && able(); ++i) {
            const auto& units = group_shards_[i];
            if (!serves(static_cast<std::uint32_t>(i % groups_.count()))) continue;
            if (part_comes(units, s)) continue;
            auto ready = want_sums_of(units, s, out);
            if (ready && !seen.addable) seen.addable = std::move(ready);
            ++begun;
        }
    }
}

/// Of one shard; what it is to be made of when all is here.
std::optional<addable_part> crew::core::want_sums_of(contribution_run units, const summands& s,
                                                     effects& out) {
    auto& seen = sums_look_;
    addable_part ready{units, {}, {}};
    bool whole = true;
    for (std::uint32_t g = 0; g < groups_.count(); ++g) {
        const auto lanes = groups_.column(g, shape_.lanes);
        if (lanes.count == 0) continue;
        const auto inputs = column_inputs(lanes);
        const auto* k = inputs ? sums_.find(lanes, units, *inputs) : nullptr;
        if (k == nullptr) {
            seen.wanted |= std::uint64_t{1} << g;
            whole = false;
            continue;
        }
        ready.sums.push_back(k->said.which);
        ready.inputs.push_back(k->said.blob);
        if (k->said.node == config_.self) continue;
        const auto pieces = config_.sums(k->said.which, units).pieces;
        blob_desk::wish w{k->said.blob, {}, s.round, false, {pieces.first, pieces.count}};
        if (roster_.reachable(now_, k->said.node)) w.holders.push_back(k->said.node);
        if (desk_.want(now_, w, out)) continue;
        whole = false;
        const auto after = desk_.look(w.ref, w.pieces);
        if (now_ < after.next) seen.due = std::min(seen.due, after.next);
        const auto patience = w.holders.empty() ? 1 : fetch_failures_max;
        if (after.failures >= patience) sums_.distrust(k->said.node, w.ref);
    }
    if (!whole) return std::nullopt;
    return ready;
}

/// Who may have a part. Parts cross from one group to another once, to whose run of units they are
/// of; the others have them from there.
std::vector<base::node_id> crew::core::part_holders(const known_part& k, bool crosses) const {
    std::vector<base::node_id> out;
    for (const auto& node : shards_.makers(k.said)) {
        const bool here = roster_.present(now_, node);
        if (here || (crosses && groups_.foreign(node))) out.push_back(node);
    }
    if (const auto told = tellers_.find(k.said.blob); told != tellers_.end()) {
        for (const auto& node : told->second) {
            const bool named = std::find(out.begin(), out.end(), node) != out.end();
            if (!named && roster_.present(now_, node)) out.push_back(node);
        }
    }
    return out;
}

/// Fetches the parts that are not here.
void crew::core::want_group_parts(const summands& s, effects& out) {
    awaited_.look(s.round, s.inputs, shards_, desk_);
    if (awaited_.unknown() > 0) parts_wanted_ = true;
    const bool closed = chain_.next() != nullptr;
    awaited_.under({roster_.stamp(now_), rows_changes_, closed});
    const auto ask = [&](std::size_t shard, const base::blob_ref& blob,
                         const blob_desk::standing& look) {
        const auto& units = shards_.plan()[shard].units;
        const auto* row = row_of(units);
        // Who is beyond this round tells nothing of it any more.
        const bool owned = row != nullptr && row->owner != config_.self &&
                           roster_.present(now_, row->owner) &&
                           roster_.find(row->owner)->said.chronicle <= s.round;
        const bool crosses = !owned || look.failures > 0;
        blob_desk::wish w{blob, part_holders(*shards_.resolved(units, s.inputs), crosses), s.round,
                          false};
        // Once the round is closed, what nobody gives is to fail: then the whole mean is fetched.
        if (w.holders.empty() && (!crosses || !closed)) return true;
        const auto effects_before = out.size();
        desk_.want(now_, w, out);
        return out.size() > effects_before;
    };
    awaited_.each_due(now_, desk_, ask);
    tell_rows(false, out);
}

bool crew::core::begin_group_work(effects& out) {
    const auto round = chain_.length();
    const item_key merge{round, shape_.merge_item()};
    if (mine_.complete()) {
        work_item work{work_kind::sum_lanes, base::round_index{round}, {}, {}, mine_.inputs()};
        work.sums = {gathered_for_};
        begin(purpose::lane_sums, std::move(work), merge, out);
        return true;
    }
    const auto& addable = sums_look_.addable;
    if (!addable || joined_) return false;
    work_item work{work_kind::add_sums, base::round_index{round}, {}, {}, addable->inputs};
    work.units = addable->units;
    work.sums = addable->sums;
    begin(purpose::add_sums, std::move(work), merge, out);
    return true;
}

/// Signs and tells what some lanes come to.
void crew::core::sums_made(const work_item& item, const work_outcome& outcome, effects& out) {
    const auto& which = item.sums.front();
    if (!mine_.works_on(item.round.value) || gathered_for_ != which || !mine_.complete() ||
        mine_.inputs() != item.inputs) {
        return;
    }
    if (outcome.blob.size != config_.sums(which, which.units).bytes) {
        work_trouble("the worker's sums have the wrong size");
        return;
    }
    desk_.made(outcome.blob, item.round.value);
    std::vector<base::digest> contributions;
    for (const auto& ref : item.inputs) contributions.push_back(ref.root);
    known_sums k{
        {config_.self, item.round.value, which, inputs_digest(contributions), outcome.blob}, {}};
    k.fact.body = sums_body(shape_.task, k.said);
    k.fact.signature = config_.keys.sign(signed_bytes(fact_kind::sums, k.fact.body));
    mine_.end();
    ++activity_;
    if (sums_.add(k)) pass_on(k, out);
}

/// Signs and tells what a shard comes to.
void crew::core::part_added(const work_item& item, const work_outcome& outcome, effects& out) {
    const auto* s = sharded() ? summed_lanes() : nullptr;
    // Of what was known when it began: a dispute may have changed that meanwhile.
    for (std::size_t i = 0; s != nullptr && i < item.sums.size(); ++i) {
        const auto inputs = column_inputs(item.sums[i].lanes);
        const auto* k = inputs ? sums_.find(item.sums[i].lanes, item.units, *inputs) : nullptr;
        if (k == nullptr || k->said.blob != item.inputs[i]) return;
    }
    if (s == nullptr || outcome.blob.size != config_.shard(item.units).part_bytes) return;
    desk_.made(outcome.blob, item.round.value);
    sign_part(item.units, s->inputs, outcome.blob);
    ++activity_;
    if (const auto* own = shards_.own(item.units, s->inputs)) pass_on(*own, out);
    tell_rows(false, out);
}

/// Some of them are none; whose is not said. They are made here, in time.
void crew::core::sums_refused(const work_item& item) {
    for (const auto& ref : item.inputs) {
        for (const auto& k : sums_.all()) {
            if (k.said.blob == ref && k.said.node != config_.self) {
                sums_.distrust(k.said.node, ref);
            }
        }
    }
}

/// Several a message, with the certificates of those who signed them.
void crew::core::send_sums(const std::vector<base::node_id>& to,
                           const std::vector<const known_part*>& parts,
                           const std::vector<const known_sums*>& sums, effects& out) {
    facts m;
    std::set<base::node_id> signers;
    const auto flush = [&] {
        for (const auto& node : signers) {
            const auto* certificate = keys_.certificate(node);
            if (certificate != nullptr) m.certificates.emplace_back(node, *certificate);
        }
        if (!signers.empty()) send(to, m, out);
        m = {};
        signers.clear();
    };
    for (const auto* p : parts) {
        m.parts.push_back(p->fact);
        signers.insert(p->said.node);
        if (m.parts.size() == sums_a_message) flush();
    }
    flush();
    for (const auto* k : sums) {
        m.sums.push_back(k->fact);
        signers.insert(k->said.node);
        if (m.sums.size() == sums_a_message) flush();
    }
    flush();
}

/// A part that is new here goes from its maker to the group's steward, from there to the other
/// groups', and there to whose run of units it is of.
void crew::core::pass_on(const known_part& p, effects& out) {
    const bool foreign = groups_.foreign(p.said.node);
    if (!leadership_->leading()) {
        const auto& steward = leadership_->current();
        if (p.said.node == config_.self && steward) send_sums({steward->node}, {&p}, {}, out);
        return;
    }
    if (!foreign) return send_sums(stewards_abroad(), {&p}, {}, out);
    const auto* row = row_of(p.said.units);
    if (row != nullptr && row->owner != config_.self) send_sums({row->owner}, {&p}, {}, out);
}

/// Sums take the same way, to all whose runs they reach into.
void crew::core::pass_on(const known_sums& s, effects& out) {
    const bool foreign = groups_.foreign(s.said.node);
    if (!leadership_->leading()) {
        const auto& steward = leadership_->current();
        if (s.said.node == config_.self && steward) send_sums({steward->node}, {}, {&s}, out);
        return;
    }
    if (!foreign) send_sums(stewards_abroad(), {}, {&s}, out);
    std::set<base::node_id> owners;
    for (const auto& row : rows_) {
        const bool known = row.owner == config_.self || row.owner == s.said.node;
        if (!known && overlap(row.units, s.said.which.units)) owners.insert(row.owner);
    }
    send_sums({owners.begin(), owners.end()}, {}, {&s}, out);
}

/// Somebody of this group says that it has a part.
void crew::core::teller(const base::blob_ref& part, const base::node_id& node) {
    if (groups_.foreign(node)) return;
    if (tellers_[part].insert(node).second) awaited_.told(part);
}

void crew::core::take_sums(known_sums s, effects& out) {
    if (!sums_in_groups()) return;
    open_group_shards();
    if (s.said.node == config_.self || s.said.round != chain_.length() ||
        s.said.blob.size != config_.sums(s.said.which, s.said.which.units).bytes) {
        return;
    }
    const auto copy = s;
    if (!sums_.add(std::move(s))) return;
    ++activity_;
    pass_on(copy, out);
}

/// Tells the group the parts of the own runs of units once all of a run are here, whoever made
/// them. `again`: those who lack some, and the steward what this node has signed. What was told is
/// not told again at every beat: in a crew of a thousand that was most of all messages.
void crew::core::tell_rows(bool again, effects& out) {
    const auto* s = summed_lanes();
    if (s == nullptr) return;
    open_group_shards();
    std::vector<base::node_id> to;
    if (again) {
        const auto members = roster_.stamp(now_);
        const bool others = std::exchange(parts_told_to_, members) != members;
        if (others || beats_ % tell_all_beats == 1) parts_told_.clear();
        roster_.each_present(now_, [&](const base::node_id& node, const member& m) {
            if (m.said.parts_wanted && m.said.chronicle == s->round) to.push_back(node);
        });
        const auto& steward = leadership_->current();
        if (steward && steward->node != config_.self && chain_.next() == nullptr) {
            std::vector<const known_sums*> own_sums;
            for (const auto& k : sums_.all()) {
                if (k.said.node == config_.self) own_sums.push_back(&k);
            }
            std::vector<const known_part*> own_parts;
            for (const auto* p : shards_.all()) {
                if (p->said.node == config_.self) own_parts.push_back(p);
            }
            send_sums({steward->node}, own_parts, own_sums, out);
        }
    }
    for (const auto& row : rows_) {
        if (row.owner != config_.self || (!again && rows_told_.contains(row.units.first))) continue;
        std::vector<const known_part*> parts;
        bool whole = true;
        const auto [first, end] = shards_of(row, group_shards_);
        for (auto i = first; i < end && (whole || again); ++i) {
            const auto& x = shards_.plan()[i];
            const auto* k = shards_.resolved(x.units, s->inputs);
            if (k == nullptr || !desk_.here(k->said.blob)) {
                whole = false;
            } else if (!again || !parts_told_.contains(i)) {
                parts.push_back(k);
                if (again && !to.empty()) parts_told_.insert(i);
            }
        }
        if (again) {
            send_sums(to, parts, {}, out);
        } else if (whole) {
            rows_told_.insert(row.units.first);
            send_sums(roster_.present(now_), parts, {}, out);
        }
    }
}

/// As the steward: facts that a member says it lacks.
void crew::core::answer_wants(const base::node_id& from, const status& said, effects& out) {
    if (!leadership_->leading() || !sums_in_groups() || said.chronicle != chain_.length()) return;
    if (said.sums_wanted == 0 && !said.parts_wanted) return;
    std::vector<const known_sums*> sums;
    std::vector<const known_part*> parts;
    for (const auto& row : rows_) {
        if (row.owner != from) continue;
        for (const auto& k : sums_.all()) {
            const auto g = groups_.column_of(static_cast<std::uint32_t>(k.said.which.lanes.first),
                                             shape_.lanes);
            const bool wanted = (said.sums_wanted >> g & 1) != 0;
            if (wanted && k.said.node != from && overlap(k.said.which.units, row.units)) {
                sums.push_back(&k);
            }
        }
        for (const auto* p : shards_.all()) {
            if (said.parts_wanted && p->said.node != from && groups_.foreign(p->said.node) &&
                overlap(p->said.units, row.units)) {
                parts.push_back(p);
            }
        }
    }
    send_sums({from}, parts, sums, out);
}

/// Facts on sums and parts by members of a group that are known here.
std::uint32_t crew::core::sums_known(std::uint32_t group) const {
    if (!sums_in_groups() || shards_.round() != chain_.length()) return 0;
    std::size_t out = 0;
    for (const auto& k : sums_.all()) out += groups_.of(k.said.node) == group;
    for (const auto* p : shards_.all()) out += groups_.of(p->said.node) == group;
    return static_cast<std::uint32_t>(std::min<std::size_t>(out, group_sums_max));
}

/// All of those of this group, to the steward of one that lacks some.
void crew::core::push_sums(const base::node_id& to, effects& out) {
    std::vector<const known_sums*> sums;
    std::vector<const known_part*> parts;
    for (const auto& k : sums_.all()) {
        if (!groups_.foreign(k.said.node)) sums.push_back(&k);
    }
    for (const auto* p : shards_.all()) {
        if (!groups_.foreign(p->said.node)) parts.push_back(p);
    }
    send_sums({to}, parts, sums, out);
}

}  // namespace tequio::training
