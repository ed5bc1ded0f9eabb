// The open round's sum, shard by shard: who sums what, the parts, putting them together.
#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"
#include "training/crew/core.hpp"
#include "training/errc.hpp"

namespace tequio::training {

using namespace crew_protocol;

namespace {

/// Of a part: then the shard goes to another (guess: p2p has tried every holder each time).
constexpr unsigned part_failures_max = 3;
/// What comes sooner was in the store, or the uplink does not matter.
constexpr base::duration instant = std::chrono::milliseconds(20);
/// Who gathers for a shard beside its owner, where any do.
constexpr std::size_t standbys_max = 1;
/// Lanes of another's shard that are fetched at a time: owners come first.
constexpr std::size_t standby_fetches_max = 2;
/// Bytes a second of the slowest link that is waited for (guess).
constexpr std::uint64_t slow_link = 64 * 1024;

}  // namespace

/// The open round is summed in shards, for all that this node knows.
bool crew::core::sharded() const {
    return shards_.several() && shards_.round() == chain_.length() &&
           chain_.length() < shape_.rounds && unjoinable_ != chain_.length();
}

/// What the open round's sum is of, once that is known: what the next entry says, else what the
/// book resolves to.
const crew::core::summands* crew::core::summed_lanes() {
    const auto round = chain_.length();
    const auto* candidate = chain_.next();
    const auto* b = book(round);
    const auto fold = b == nullptr ? 0 : b->fold();
    const auto entry = candidate == nullptr ? base::blob_ref{} : candidate->ref;
    auto& s = summands_;
    if (s.round != round || s.fold != fold || s.entry != entry) {
        s = {round, fold, entry, {}, {}};
        if (candidate != nullptr) {
            s.contributions = candidate->entry->contributions;
        } else if (b != nullptr) {
            for (std::uint32_t lane = 0; lane < shape_.lanes; ++lane) {
                const auto* k = b->resolved(lane);
                if (k == nullptr || k->said.divergence) break;
                s.contributions.push_back(k->said.result);
            }
        }
        s.inputs = inputs_digest(s.contributions);
    }
    return s.contributions.size() == shape_.lanes ? &s : nullptr;
}

base::piece_run crew::core::lane_pieces(contribution_run units) const {
    const auto lane_units = config_.shard(units).lane_units;
    return {lane_units.first, lane_units.count};
}

/// Somebody who is here has signed what this shard comes to, and it can be had.
bool crew::core::part_comes(contribution_run units, const summands& s) const {
    const auto* k = shards_.resolved(units, s.inputs);
    if (k == nullptr) return false;
    if (k->said.node == config_.self || desk_.here(k->said.blob)) return true;
    const auto makers = shards_.makers(k->said);
    return desk_.failures(k->said.blob) < part_failures_max &&
           std::any_of(makers.begin(), makers.end(),
                       [&](const auto& node) { return roster_.reachable(now_, node); });
}

/// What this node is to sum next: a shard that it has gathered for and that was given to another
/// meanwhile, for that one has all of it to fetch yet; else one of its own. `s`: of the open round;
/// nullptr while lanes are computed.
const shard* crew::core::shard_in_turn(const summands* s) const {
    const shard* own = nullptr;
    for (const auto& shard : shards_.plan()) {
        const bool begun = s != nullptr && able() && mine_.works_on(s->round) &&
                           mine_units_ == shard.units && mine_.all_lost().empty();
        if (begun && shard.owner != config_.self && !part_comes(shard.units, *s)) return &shard;
        const bool judges =
            s != nullptr && leadership_->leading() && shards_.disputed(shard.units, s->inputs);
        if (own != nullptr || (shard.owner != config_.self && !judges)) continue;
        if (s == nullptr || shards_.own(shard.units, s->inputs) == nullptr) own = &shard;
    }
    return own;
}

/// Gathers for the own shards, one after the other, and the parts of all.
void crew::core::drive_shards(effects& out) {
    if (!sharded() || !caught_up()) {
        mine_.end();
        standbys_.clear();
        return;
    }
    const auto* s = summed_lanes();
    const auto round = chain_.length();
    if (s != nullptr && joined_ && (joined_->round != round || joined_->inputs != s->inputs)) {
        joined_.reset();
    }
    const auto* next = shard_in_turn(s);
    const auto index = next == nullptr ? 0 : static_cast<std::size_t>(next - shards_.plan().data());
    // Whoever closed the round had every part.
    if (next == nullptr || joined_ || chain_.next() != nullptr) {
        mine_.end();
    } else if (!mine_.works_on(round) || mine_units_ != next->units) {
        mine_units_ = next->units;
        mine_.begin(round, {}, book(round), lane_pieces(mine_units_));
    }
    if (mine_.active()) mine_.lean_on(gatherers(index));
    mine_.step(now_, book(round), roster_, desk_, out);
    // What comes here slowly the others do not have either: the last lanes go to all at once.
    if (mine_.active() && !mine_.complete() && mine_.all_lost().empty() &&
        !shards_.reassigned(mine_units_)) {
        gathering_until_ = now_;
    }
    if (s != nullptr && !joined_) fetch_parts(*s, out);
    drive_standbys(out);
}

/// How many gather for a shard beside its owner: nobody while members stay, for it is sent once
/// more for each. When one vanished in the last hour, one: with two the links are so busy that
/// lanes are safe elsewhere later than without (tests/simulation/README.md).
std::size_t crew::core::standbys_wanted() const {
    return vanished_.empty() ? 0 : standbys_max;
}

/// Who gathers for shard `index` beside its owner: perhaps this node.
std::vector<base::node_id> crew::core::standbys_of(std::size_t index) const {
    return shards_.standbys(index, standbys_wanted(), [&](const base::node_id& node) {
        return node == config_.self || roster_.present(now_, node);
    });
}

/// The shards beside whose owners this node gathers. Asked after every event: worked out when plan
/// or members are others.
const std::set<std::size_t>& crew::core::stands_by() {
    auto& p = standby_place_;
    const auto members = roster_.stamp(now_);
    if (p.members == members && p.plan == shards_.plan()) return p.shards;
    p = {shards_.plan(), members, {}};
    for (std::size_t i = 0; i < p.plan.size(); ++i) {
        if (p.plan[i].owner == config_.self) continue;
        const auto nodes = shards_.standbys(i, standbys_max, [&](const base::node_id& node) {
            return node == config_.self || roster_.present(now_, node);
        });
        if (std::find(nodes.begin(), nodes.end(), config_.self) != nodes.end()) p.shards.insert(i);
    }
    return p.shards;
}

/// Other members that gather what shard `index` is summed of.
std::vector<base::node_id> crew::core::gatherers(std::size_t index) const {
    const auto& owner = shards_.plan()[index].owner;
    auto out = standbys_of(index);
    std::erase(out, config_.self);
    if (owner != config_.self) out.insert(out.begin(), owner);
    return out;
}

/// Gathers for the own shards that are not in turn yet, and, from those who have it, what other
/// shards are summed of: so that it does not go with its owner. While lanes are computed the links
/// are idle; when the last is there they belong to the owners.
void crew::core::drive_standbys(effects& out) {
    const auto round = chain_.length();
    const auto wanted = standbys_wanted();
    const bool early = able() && !round_resolved();
    const auto* standing_by = early && wanted > 0 ? &stands_by() : nullptr;
    const auto& plan = shards_.plan();
    for (std::size_t i = 0; i < plan.size(); ++i) {
        const bool own = plan[i].owner == config_.self;
        const bool gathers =
            own ? plan[i].units != mine_units_ : standing_by != nullptr && standing_by->contains(i);
        const auto first = plan[i].units.first;
        if (!gathers) {
            standbys_.erase(first);
            continue;
        }
        auto& x = standbys_.try_emplace(first, shape_).first->second;
        const auto pieces = lane_pieces(plan[i].units);
        if (!x.works_on(round) || x.pieces() != pieces) x.begin(round, {}, book(round), pieces);
        x.lean_on(gatherers(i), !own);
        x.step(now_, book(round), roster_, desk_, out, own ? exchange::all : standby_fetches_max);
    }
}

/// Everybody who has computed this lane of the open round is gone. Who of another group is there
/// nobody here knows: then it is gone when the steward says so.
bool crew::core::orphaned(item_key key) const {
    return away(key) && (!grouped() || lost_here_.contains(key.item));
}

/// Nobody who is here has computed this lane of the open round.
bool crew::core::away(item_key key) const {
    const auto* b = book(key.round);
    if (b == nullptr || b->closed() || key.item >= shape_.lanes) return false;
    const auto& claims = b->claims(key.item);
    return !claims.empty() && std::none_of(claims.begin(), claims.end(), [&](const auto& k) {
        return k.said.node == config_.self || roster_.present(now_, k.said.node);
    });
}

/// Lanes that the own shard needs and nobody gives, because their nodes are gone.
std::vector<std::uint32_t> crew::core::missing_lanes() const {
    std::vector<std::uint32_t> out;
    if (!mine_.active()) return out;
    for (const auto lane : mine_.all_lost()) {
        if (out.size() < missing_max && away({mine_.round(), lane})) out.push_back(lane);
    }
    return out;
}

/// As the steward: what anybody misses so. It is computed again once, for all.
std::set<std::uint32_t> crew::core::lost_lanes() const {
    const auto round = chain_.length();
    std::set<std::uint32_t> out;
    const auto add = [&](const std::vector<std::uint32_t>& lanes) {
        for (const auto lane : lanes) {
            if (away({round, lane})) out.insert(lane);
        }
    };
    add(missing_lanes());
    roster_.each_present(now_, [&](const base::node_id&, const member& m) {
        if (m.said.chronicle == round) add(m.said.missing);
    });
    return out;
}

void crew::core::fetch_parts(const summands& s, effects& out) {
    for (const auto& shard : shards_.plan()) {
        const auto* k = shards_.resolved(shard.units, s.inputs);
        if (k == nullptr || (desk_.here(k->said.blob) && !parts_asked_.contains(k->said.blob))) {
            continue;
        }
        blob_desk::wish w{k->said.blob, {}, s.round, false};
        for (const auto& node : shards_.makers(k->said)) {
            if (roster_.present(now_, node)) w.holders.push_back(node);
        }
        // Every owner waits for the last lanes, and whoever computed one has its part at once: side
        // by side both would take twice as long.
        if (w.holders.size() == 1 && mine_.awaits(w.holders.front(), book(s.round))) continue;
        // Others have fetched it too.
        if (desk_.failures(w.ref) > 0 || w.holders.empty()) w.holders = roster_.present(now_);
        const bool alone = w.holders.size() == 1;
        if (desk_.want(now_, w, out)) {
            parts_asked_.erase(w.ref);
        } else if (alone) {
            parts_asked_.try_emplace(w.ref, w.holders.front(), now_);
        } else {
            parts_asked_.erase(w.ref);
        }
    }
}

/// How fast a part came says how fast its owner's uplink is.
void crew::core::measure_part(const base::blob_ref& ref) {
    const auto it = parts_asked_.find(ref);
    if (it == parts_asked_.end()) return;
    const auto& [node, since] = it->second;
    const auto took = now_ - since;
    if (took > instant) shards_.measured(node, ref.size, took);
    parts_asked_.erase(it);
}

/// Every shard's part, in order, when all are here.
std::optional<std::vector<base::blob_ref>> crew::core::parts_here() {
    const auto* s = sharded() ? summed_lanes() : nullptr;
    if (s != nullptr && sums_in_groups()) awaited_.look(s->round, s->inputs, shards_, desk_);
    if (s == nullptr || (sums_in_groups() && !awaited_.all_here())) return std::nullopt;
    std::vector<base::blob_ref> out;
    for (const auto& shard : shards_.plan()) {
        const auto* k = shards_.resolved(shard.units, s->inputs);
        if (k == nullptr || !desk_.here(k->said.blob)) return std::nullopt;
        out.push_back(k->said.blob);
    }
    return out;
}

/// The open round's mean will be put together here: nobody needs to send it.
bool crew::core::mean_comes_in_parts() {
    const auto* s = sharded() ? summed_lanes() : nullptr;
    if (s == nullptr) return false;
    if (sums_in_groups()) {
        awaited_.look(s->round, s->inputs, shards_, desk_);
        return awaited_.all_may_come(desk_, part_failures_max);
    }
    return std::all_of(shards_.plan().begin(), shards_.plan().end(), [&](const shard& x) {
        const auto* k = shards_.resolved(x.units, s->inputs);
        return k != nullptr && desk_.failures(k->said.blob) < part_failures_max;
    });
}

/// Work on the sum that others wait for: it goes before items.
bool crew::core::shard_work_waits() {
    // A group's lanes may all be there while others are computed; what is in hand is one of those.
    if (sums_in_groups() && !round_resolved()) return false;
    if (sums_in_groups() && sums_look_.addable) return true;
    if (mine_.complete()) return true;
    return !joined_ && should_own() && window_open() && round_resolved() && parts_here();
}

bool crew::core::begin_shard_work(effects& out) {
    const auto round = chain_.length();
    const item_key merge{round, shape_.merge_item()};
    if (sums_in_groups()) {
        if (begin_group_work(out)) return true;
    } else if (mine_.complete()) {
        work_item work{work_kind::sum_shard, base::round_index{round}, {}, {}, mine_.inputs()};
        work.units = mine_units_;
        begin(purpose::shard_sum, std::move(work), merge, out);
        return true;
    }
    if (auto parts = joined_ ? std::nullopt : parts_here()) {
        begin(purpose::join, {work_kind::join, base::round_index{round}, {}, {}, std::move(*parts)},
              merge, out);
        return true;
    }
    // What its node has and does not give; what went with its node is the steward's to hand out.
    if (!mine_.active()) return false;
    for (const auto lane : mine_.all_lost()) {
        if (orphaned({round, lane})) continue;
        if (begin_lane_again(purpose::shard_lane, {round, lane}, out)) return true;
    }
    return false;
}

/// Signs and tells.
void crew::core::shard_summed(const work_item& item, const work_outcome& outcome, effects& out) {
    if (!mine_.works_on(item.round.value) || mine_units_ != item.units || !mine_.complete() ||
        mine_.inputs() != item.inputs) {
        return;
    }
    if (outcome.blob.size != config_.shard(item.units).part_bytes) {
        work_trouble("the worker's part of a sum has the wrong size");
        return;
    }
    desk_.made(outcome.blob, item.round.value);
    std::vector<base::digest> contributions;
    for (const auto& ref : item.inputs) contributions.push_back(ref.root);
    sign_part(item.units, inputs_digest(contributions), outcome.blob);
    mine_.end();
    ++activity_;
    tell_parts(out);
}

/// The one place where this node says what a shard comes to.
void crew::core::sign_part(contribution_run units, const base::digest& inputs,
                           const base::blob_ref& blob) {
    sum_part said{config_.self, chain_.length(), units, inputs, blob};
    signed_fact fact;
    fact.body = part_body(shape_.task, said);
    fact.signature = config_.keys.sign(signed_bytes(fact_kind::part, fact.body));
    shards_.add({std::move(said), std::move(fact)});
}

/// State, not steps: told again until the round is closed here.
void crew::core::tell_parts(effects& out) {
    if (!sharded()) return;
    if (sums_in_groups()) return tell_rows(true, out);
    facts m;
    m.parts = shards_.own_facts();
    if (m.parts.empty()) return;
    m.certificates.emplace_back(config_.self, config_.keys.certificate);
    send(roster_.present(now_), m, out);
}

void crew::core::take_part(known_part p, const base::node_id& from, effects& out) {
    if (sums_in_groups()) open_group_shards();
    if (p.said.round != chain_.length() || p.said.node == config_.self) return;
    if (!config_.shard || p.said.blob.size != config_.shard(p.said.units).part_bytes) return;
    const auto node = p.said.node;
    const auto units = p.said.units;
    const auto copy = grouped() ? std::optional(p) : std::nullopt;
    switch (shards_.add(std::move(p))) {
        case shard_book::added::fresh:
            ++activity_;
            if (copy) pass_on(*copy, out);
            break;
        case shard_book::added::contradiction:
            trouble_ = "node " + node.brief() + " signed two sums of units " +
                       std::to_string(units.first) + " to " + std::to_string(units.end() - 1);
            out.push_back(crew_progress{});
            break;
        case shard_book::added::known:
        case shard_book::added::stale:
            break;
    }
    if (copy) teller(copy->said.blob, from);
}

void crew::core::parts_joined(const work_item& item, const work_outcome& outcome) {
    const auto parts = parts_here();
    if (!parts || *parts != item.inputs) return;
    if (outcome.blob.size != shape_.mean_bytes || !std::isfinite(outcome.loss)) {
        parts_refused();
        return;
    }
    desk_.made(outcome.blob, item.round.value);
    const auto& inputs = summed_lanes()->inputs;
    joined_ = {item.round.value, inputs, outcome, {}};
    for (const auto& shard : shards_.plan()) {
        joined_->parts.push_back(shards_.resolved(shard.units, inputs)->said);
    }
}

/// One of the parts is none, and a signature on it does not say whose machine errs: this round's
/// sum is made in one piece. Once may be this machine's trouble.
void crew::core::parts_refused() {
    if (++joins_failed_ < 2) return;
    unjoinable_ = chain_.length();
    mine_.end();
}

/// The steward's part: makes the plan before lanes are claimed, gives shards of those that fail to
/// others.
void crew::core::plan_shards() {
    const auto round = chain_.length();
    const auto* b = book(round);
    if (!config_.shard || shape_.mean_units < 2 || b == nullptr || round >= shape_.rounds) return;
    if (shards_.round() != round) shards_.open(round);
    std::vector<base::node_id> fit;
    const auto fits = [&](const status& said) { return said.able && said.chronicle + 1 >= round; };
    for (const auto& node : roster_.present(now_)) {
        const auto* m = roster_.find(node);
        if (fits(m->said) && !m->apart) fit.push_back(node);
    }
    const auto& unclaimed = b->unclaimed();
    const auto others =
        unclaimed.count(shape_.validation_item()) + unclaimed.count(shape_.merge_item());
    const bool in_one_piece = own_.works_on(round) && own_.gathered() > 0;
    // Later when there is none: whoever took over may have come in the middle of the round.
    if (unclaimed.size() - others == shape_.lanes || (shards_.plan().empty() && !in_one_piece)) {
        std::vector<shard_candidate> candidates{{config_.self, std::nullopt}};
        for (const auto& node : fit) candidates.push_back({node, shards_.rate_of(node)});
        shards_.make(candidates);
    } else if (sharded()) {
        reassign_shards(fit);
    }
}

/// How long the owner of a shard may show nothing: what a piece of a lane takes to come over a slow
/// link is no sign of trouble.
base::duration crew::core::shard_patience(contribution_run units) const {
    const base::blob_ref any{{}, shape_.contribution_bytes};
    const auto bytes = lane_pieces(units).within(any).count * base::piece_size_bytes;
    return config_.timings.owner_patience + std::chrono::seconds(bytes / slow_link);
}

void crew::core::reassign_shards(const std::vector<base::node_id>& fit) {
    const auto* s = summed_lanes();
    for (std::size_t i = 0; i < shards_.plan().size(); ++i) {
        const auto& shard = shards_.plan()[i];
        const auto* k = s == nullptr ? nullptr : shards_.resolved(shard.units, s->inputs);
        if (k != nullptr && part_comes(shard.units, *s)) shards_.give_back(i, k->said);
        if (shard.owner == config_.self || (k != nullptr && desk_.here(k->said.blob))) continue;
        const bool here = roster_.present(now_, shard.owner);
        bool lost = !here;
        if (k != nullptr) {
            lost = lost || desk_.failures(k->said.blob) >= part_failures_max;
        } else if (here) {
            const auto* m = roster_.find(shard.owner);
            lost = !m->said.able || m->apart;
            if (s != nullptr && resolved_since_) {
                const auto given = shards_.reassigned(shard.units).value_or(*resolved_since_);
                const auto since = std::max({*resolved_since_, m->active, given, gathering_until_});
                const auto patience = shard_patience(shard.units);
                // Busy, but not with this: even so it has an end. Later each time, for it may be
                // that fetching takes so long.
                const auto times = std::min<std::size_t>(shards_.owners_before(i), 8);
                lost = lost || now_ - since > patience ||
                       now_ - std::max({*resolved_since_, given, gathering_until_}) >
                           patience * (8 << times);
            }
        }
        if (!lost) continue;
        // Early in a round to whoever has little to do, late to one that has the pieces.
        std::vector<base::node_id> preferred;
        if (resolved_since_) preferred = standbys_of(i);
        shards_.reassign(now_, i, fit, preferred);
    }
}

/// The merge of this round is to be checked, and this node could.
bool crew::core::audit_open(std::uint64_t round) const {
    return able() && !unseated() && round < std::min(chain_.length(), shape_.rounds) &&
           to_do({round, shape_.merge_item()});
}

/// How many are to check this merge before this node: who was there and has said nothing on it,
/// nearest to the entry's digest first, though it may have to close the round yet. All see the same
/// order and nobody knows it before the round is summed; so one node fetches for a check, the next
/// when that one is gone.
std::size_t crew::core::audit_turn(std::uint64_t round) const {
    const auto* b = book(round);
    const auto& entry = chain_.entry_ref(round).root.bytes;
    const auto nearer = [&](const base::node_id& x, const base::node_id& y) {
        for (std::size_t i = 0; i < entry.size(); ++i) {
            if (x.bytes[i] != y.bytes[i]) return (x.bytes[i] ^ entry[i]) < (y.bytes[i] ^ entry[i]);
        }
        return false;
    };
    const auto present = roster_.present(now_);
    // One of a crew's groups looks at a merge: another one than closes the rounds.
    const auto drawn = entry.back() % std::max<std::uint32_t>(groups_.count() - 1, 1);
    const std::size_t others = checks_for(drawn) ? 0 : 1;
    return others + static_cast<std::size_t>(
                        std::count_if(present.begin(), present.end(), [&](const auto& node) {
                            const auto* m = roster_.find(node);
                            return m->said.able && !m->apart && m->said.chronicle >= round &&
                                   nearer(node, config_.self) &&
                                   b->claim_of(shape_.merge_item(), node) == nullptr;
                        }));
}

/// Gathers for checking a merge, beside whatever else this node does: computing it is little,
/// fetching for it is much. Once begun it is seen through.
void crew::core::drive_audit(effects& out) {
    if (audit_.active() && !audit_open(audit_.round())) audit_.end();
    if (audit_.active() && audit_units_ && audit_.lost() && draw_again(audit_.round())) {
        audit_.end();
    }
    for (auto round = settled_; !audit_.active() && round < chain_.length(); ++round) {
        if (!audit_open(round)) continue;
        if (const auto turn = audit_turn(round); turn > 0) {
            // Another's, unless all wait for it and it does not come.
            const auto patience =
                config_.timings.owner_patience * (4 << std::min<std::size_t>(turn, 8));
            const auto closed = closed_at_.find(round);
            const bool awaited = !window_open() || chain_.complete();
            if (!awaited || closed == closed_at_.end() || now_ - closed->second < patience)
                continue;
        }
        audit_units_ = drawn_shard(round);
        audit_.begin(round, chain_.entries()[round].contributions, book(round),
                     audit_units_ ? lane_pieces(*audit_units_) : base::piece_run{});
    }
    if (const auto parts = parts_of_others_.find(audit_.round());
        audit_.active() && audit_units_ && parts != parts_of_others_.end()) {
        std::vector<base::node_id> summed;
        for (const auto& p : parts->second) {
            if (p.units == *audit_units_) summed.push_back(p.node);
        }
        audit_.lean_on(std::move(summed));
    }
    audit_.step(now_, audit_.active() ? book(audit_.round()) : nullptr, roster_, desk_, out);
}

/// A merge whose parts add up to what the chronicle says is right when every part is; which of
/// those that others made is summed again, only chance knows, and only once: another draw would
/// fetch other pieces. DESIGN.md section 6.
std::optional<contribution_run> crew::core::drawn_shard(std::uint64_t round) {
    const auto it = parts_of_others_.find(round);
    if (it == parts_of_others_.end() || it->second.empty()) return std::nullopt;
    auto& parts = it->second;
    if (const auto drawn = drawn_.find(round); drawn != drawn_.end()) return drawn->second;
    // Those who summed have the pieces, also of lanes whose nodes are gone.
    std::vector<sum_part> there;
    for (const auto& p : parts) {
        if (roster_.present(now_, p.node)) there.push_back(p);
    }
    const auto& from = there.empty() ? parts : there;
    return drawn_[round] = from[rng_.below(from.size())].units;
}

/// What was drawn cannot be gathered any more, for whoever summed it is gone too: another one.
bool crew::core::draw_again(std::uint64_t round) {
    const auto drawn = drawn_.find(round);
    const auto parts = parts_of_others_.find(round);
    if (drawn == drawn_.end() || parts == parts_of_others_.end()) return false;
    auto& list = parts->second;
    const auto here = [&](const sum_part& p) {
        return p.units != drawn->second && roster_.present(now_, p.node);
    };
    if (std::none_of(list.begin(), list.end(), here)) return false;
    std::erase_if(list, [&](const sum_part& p) { return p.units == drawn->second; });
    drawn_.erase(drawn);
    return true;
}

void crew::core::shard_checked(const work_item& item, const work_outcome& outcome, effects& out) {
    const auto round = item.round.value;
    const auto parts = parts_of_others_.find(round);
    drawn_.erase(round);
    if (!audit_.works_on(round) || audit_units_ != item.units || parts == parts_of_others_.end()) {
        return;
    }
    const auto& list = parts->second;
    const bool right = std::any_of(list.begin(), list.end(), [&](const sum_part& p) {
        return p.units == item.units && p.blob == outcome.blob;
    });
    if (!desk_.here(outcome.blob)) desk_.drop(outcome.blob, out);
    audit_.end();
    if (right) {
        const auto& entry = chain_.entries()[round];
        work_outcome as_said;
        as_said.sum = entry.sum;
        as_said.blob = entry.mean;
        as_said.loss = entry.loss;
        claim_checked_merge(round, as_said, out);
    } else {
        // What the whole merge should have come to is found out, and said, as ever.
        parts_of_others_.erase(parts);
    }
}

/// The round was closed: its parts stay for those who are behind by it, no longer.
void crew::core::close_shards(const chronicle_entry& entry, effects& out) {
    if (joined_ && joined_->round == entry.round.value && joined_->outcome.sum == entry.sum &&
        joined_->outcome.blob == entry.mean && joined_->outcome.loss == entry.loss &&
        joined_->inputs == inputs_digest(entry.contributions)) {
        std::erase_if(joined_->parts, [&](const auto& p) { return p.node == config_.self; });
        parts_of_others_[entry.round.value] = std::move(joined_->parts);
    }
    auto parts = shards_.blobs();
    for (const auto& k : sums_.all()) parts.insert(k.said.blob);
    for (const auto& ref : std::exchange(old_parts_, std::move(parts))) desk_.drop(ref, out);
    sums_.open(chain_.length());
    tellers_.clear();
    rows_told_.clear();
    parts_told_.clear();
    sums_look_ = {};
    lost_here_.clear();
    shards_.open(chain_.length());
    parts_asked_.clear();
    joined_.reset();
    joins_failed_ = 0;
    mine_.end();
    standbys_.clear();
}

}  // namespace tequio::training
