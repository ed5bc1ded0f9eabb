// Which item this node works on, and what came of it.
#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"
#include "training/crew/core.hpp"

namespace tequio::training {

using namespace crew_protocol;

namespace {

/// Failures in a row after which an item of a closed round is let be (guess; three also end a
/// node's company).
constexpr unsigned closed_tries_max = 3;

std::string name_of(const job_shape& shape, item_key key) {
    const std::string round = "round " + std::to_string(key.round);
    if (key.item == shape.validation_item()) return "the validation of " + round;
    if (key.item == shape.merge_item()) return "the merge of " + round;
    return round + " lane " + std::to_string(key.item);
}

}  // namespace

/// Takes part in the work: wants to, and its worker works.
bool crew::core::able() const {
    return !paused_ && !suspended_ && !draining_ && !left_ && !inexact_ && failures_ < 3 &&
           (job_ == job_state::waiting || job_ == job_state::running);
}

bool crew::core::caught_up() const {
    return prepared_ && !states_.jump() && applied_ == std::min(chain_.length(), shape_.rounds) &&
           (!sliced() || (proven_ == applied_ && !stranded_));
}

bool crew::core::available() const {
    return able() && caught_up() && !resting_until_;
}

/// This node could begin on it and it would be of use.
bool crew::core::to_do(item_key key) const {
    const auto* b = book(key.round);
    if (b == nullptr || key.round > applied_ || own_claims_.contains(key) ||
        hopeless_.contains(key)) {
        return false;
    }
    const bool undrawn = b->standing(key.item) == item_standing::undrawn;
    // Whoever orders a check may know less of the worker than this node does; but while the round
    // is open the lane was to be computed, and has been; unless that went with its node.
    return orphaned(key) || (undrawn ? b->closed() : !b->decided(key.item));
}

/// The steward's order, or the one to go on with; before it has given any for the open round, and
/// when it has fallen silent, what this node begins with by its place.
std::optional<item_key> crew::core::ordered() const {
    // What it was told last, or would begin with, is another's since it lost its seat.
    if (unseated()) return std::nullopt;
    const bool leading = leadership_->leading();
    const auto present = leading ? planner_.of(config_.self) : order_;
    if (present && to_do(*present)) return present;
    const auto next = leading ? planner_.next_of(config_.self) : next_order_;
    if (next && to_do(*next)) return next;
    return lane_by_place();
}

std::optional<item_key> crew::core::lane_by_place() const {
    const auto length = chain_.length();
    const auto* b = book(length);
    const bool unordered = place_.count > 0 && ordered_round_ && *ordered_round_ < length;
    const bool silent = leadership_->silent_for(now_, 3 * config_.timings.beat);
    if (b == nullptr || job_ != job_state::running || leadership_->leading() ||
        (!unordered && !(place_.count > 0 && silent)) ||
        roster_.present(now_).size() + 1 + abroad_ < config_.crew_min) {
        return std::nullopt;
    }
    std::set<std::uint32_t> taken;
    for (const auto& node : roster_.present(now_)) {
        const auto& said = roster_.find(node)->said;
        if (said.doing == doing_kind::item && said.item.round == length) {
            taken.insert(said.item.item);
        }
    }
    // Before the steward has spoken only the first of its own: the others' come in a moment.
    const auto own =
        grouped() ? groups_.column(groups_.own(), shape_.lanes) : contribution_run{0, shape_.lanes};
    const auto lane = grouped() ? lane_for(place_, own, b->unclaimed(), taken, shape_.lanes, false)
                                : lane_for(place_, b->unclaimed(), taken, shape_.lanes);
    if (!lane || (!silent && *lane != own.first + place_.index)) return std::nullopt;
    return item_key{length, *lane};
}

/// What is in hand serves nothing any more.
bool crew::core::in_hand_is_moot() const {
    switch (in_hand_->why) {
        case purpose::prepare:
            return prepared_ || (slicing() && !seat_);
        case purpose::called:
            return !call_ || call_->session != in_hand_->work.session;
        case purpose::again:
            return again_is_moot(in_hand_->key);
        case purpose::apply_ahead:
            return applied_ != in_hand_->key.round || applied_ != chain_.length();
        case purpose::item: {
            const auto* b = book(in_hand_->key.round);
            if (b == nullptr) return true;
            if (orphaned(in_hand_->key)) return false;
            const bool undrawn = b->standing(in_hand_->key.item) == item_standing::undrawn;
            return undrawn ? in_hand_->work.kind != work_kind::check
                           : b->decided(in_hand_->key.item);
        }
        case purpose::own_lane:
        case purpose::own_sum:
        case purpose::apply_own:
            return !own_.works_on(in_hand_->key.round);
        case purpose::audit_lane:
        case purpose::audit_sum:
            return !audit_.works_on(in_hand_->key.round);
        case purpose::shard_lane:
            return !mine_.works_on(in_hand_->key.round);
        case purpose::shard_sum:
            return !mine_.works_on(in_hand_->key.round) || mine_units_ != in_hand_->work.units;
        case purpose::lane_sums:
            return !mine_.works_on(in_hand_->key.round) || gathered_for_ != in_hand_->work.sums[0];
        case purpose::add_sums:
            return in_hand_->key.round != chain_.length() || !sums_in_groups();
        case purpose::join:
            return joined_ || in_hand_->key.round != chain_.length() || !sharded();
        case purpose::apply_entry:
        case purpose::keep_state:
            return applied_ != in_hand_->key.round;
        case purpose::load_state:
            return !states_.jump() || states_.jump()->to.blob != in_hand_->work.inputs.front();
    }
    return false;
}

void crew::core::begin(purpose why, work_item work, item_key key, effects& out) {
    base::ensure(!in_hand_, "one item at a time");
    in_hand_ = in_hand{work, why, key};
    out.push_back(begin_work{std::move(work)});
    out.push_back(crew_progress{});
    if (call_out_) call_team(false, out);
}

/// In hand is an item of a round, rather than something of this node's own.
bool crew::core::works_on_item() const {
    return in_hand_->why == purpose::item || in_hand_->why == purpose::called ||
           in_hand_->why == purpose::again;
}

/// Work that begins at S(round): alone, or by this node's team, which is then to be called. Nothing
/// when this node leads no team that could.
std::optional<work_item> crew::core::item_from_state(work_kind kind, item_key key) {
    work_item work;
    work.kind = kind;
    work.round = base::round_index{key.round};
    if (key.item < shape_.lanes) work.lane = base::lane_index{key.item};
    work.state = chain_.state_at(key.round);
    if (!sliced()) return work;
    const auto state = slice_states_.find(key.round);
    if (state == slice_states_.end() || !leads_team()) return std::nullopt;
    team_call call;
    call.item = key;
    call.attempt = rng_.next();
    call.state = work.state;
    call.nodes = own_team();
    call.check = kind == work_kind::check || kind == work_kind::check_validation;
    work.state = state->second;
    work.slice = *seat_;
    work.team = call.nodes;
    work.session = session_of(shape_.task, call);
    call_out_ = std::move(call);
    names_.begin();
    return work;
}

/// A lane whose contribution nobody can give.
bool crew::core::begin_lane_again(purpose why, item_key key, effects& out) {
    auto work = item_from_state(work_kind::check, key);
    if (!work) return false;
    begin(why, std::move(*work), key, out);
    return true;
}

void crew::core::stop(effects& out) {
    if (!in_hand_) return;
    if (call_out_) call_team(true, out);
    if (in_hand_->why == purpose::called) leave_call(in_hand_->work.session, out);
    // Which state the worker holds now, this node cannot know.
    if (in_hand_->why == purpose::load_state) forget_state();
    in_hand_.reset();
    unnamed_.reset();
    out.push_back(stop_work{});
    out.push_back(crew_progress{});
}

void crew::core::choose(effects& out) {
    const bool over = job_ != job_state::waiting && job_ != job_state::running;
    if (in_hand_) {
        // Draining finishes what is in hand, and a suspended node keeps it for later; everything
        // else that ends the work ends it now.
        const bool must_stop = over || paused_ || left_ || inexact_ || in_hand_is_moot() ||
                               (suspended_ && in_hand_->why == purpose::keep_state) ||
                               (!in_hand_->work.team.empty() && (suspended_ || team_fell_apart()));
        // Others wait for a round that nobody has closed yet. It closes with its validation, so
        // that is not begun again for the sum unless another has it.
        const bool closed = chain_.next() != nullptr;
        const auto* b = book(in_hand_->key.round);
        const bool closes = in_hand_->work.kind == work_kind::validation && b != nullptr &&
                            b->claims(in_hand_->key.item).empty();
        const bool sum_waits = works_on_item() && !closed && !closes &&
                               ((own_.complete() && own_.round() == chain_.length() &&
                                 round_resolved() && window_open() && !(own_.sum && sliced())) ||
                                shard_work_waits());
        // Another has closed the round that this node is closing.
        const auto* candidate = chain_.next();
        const bool entry_waits = !works_on_item() && in_hand_->why != purpose::apply_ahead &&
                                 in_hand_->why != purpose::apply_entry &&
                                 in_hand_->why != purpose::keep_state && caught_up() &&
                                 candidate != nullptr && !candidate->entry->closes() &&
                                 desk_.here(candidate->entry->mean);
        const bool slice_waits = works_on_item() && ahead_is_due();
        if (!must_stop && (suspended_ || (!sum_waits && !entry_waits && !slice_waits))) return;
        stop(out);
    }
    if (resting_until_ && now_ >= *resting_until_) resting_until_.reset();
    const bool may =
        !over && !paused_ && !suspended_ && !draining_ && !left_ && !inexact_ && !resting_until_;
    if (!may) return;
    if (!prepared_) {
        begin_prepare(out);
        return;
    }
    if (states_.jump()) {
        begin_load_state(out);
        return;
    }
    const auto length = chain_.length();
    const chronicle_entry* entry = nullptr;
    if (applied_ < std::min(length, shape_.rounds)) {
        entry = &chain_.entries()[applied_];
    } else if (const auto* candidate = chain_.next(); candidate && !candidate->entry->closes()) {
        entry = &*candidate->entry;
    }
    if (sliced() && applied_ == length && !far_behind()) {
        if (begin_ahead(out)) return;
    } else if (entry != nullptr && desk_.here(entry->mean)) {
        begin(purpose::apply_entry, apply_item(applied_, entry->mean),
              {applied_, shape_.merge_item()}, out);
        return;
    }
    if (begin_shard_work(out)) return;
    if (begin_exchange_work(own_, true, out)) return;
    if (!caught_up() || begin_keep_state(out)) return;
    if (begin_exchange_work(audit_, false, out) || begin_called(out)) return;
    begin_ordered(out);
}

bool crew::core::begin_exchange_work(exchange& x, bool own, effects& out) {
    if (!x.active()) return false;
    const auto round = x.round();
    const item_key merge{round, shape_.merge_item()};
    const bool closes = own && round == chain_.length();
    if (x.complete()) {
        if (closes && (!round_resolved() || !window_open())) return false;
        if (!x.sum) {
            work_item work{work_kind::sum, base::round_index{round}, {}, {}, x.inputs()};
            if (!own && audit_units_) {
                work.kind = work_kind::sum_shard;
                work.units = *audit_units_;
            }
            begin(own ? purpose::own_sum : purpose::audit_sum, std::move(work), merge, out);
            return true;
        }
        if (!closes || sliced()) return false;
        begin(purpose::apply_own, apply_item(round, x.sum->blob), merge, out);
        return true;
    }
    const auto lane = x.lost();
    if (!lane || round > applied_) return false;
    return begin_lane_again(own ? purpose::own_lane : purpose::audit_lane, {round, *lane}, out);
}

/// True when one result of this item is not enough. Lanes by standing and lottery; a divergence
/// ends the job, and of validations and merges, which are cheap, there is one a round: always.
bool crew::core::check_wanted(const round_book& b, std::uint32_t item) const {
    const auto& claims = b.claims(item);
    if (item >= shape_.lanes || claims.size() != 1 || claims.front().said.divergence) return true;
    if (lottery_.takes_all() || standing_.newcomer(claims.front().said.node)) return true;
    return b.closed() && !lottery_.drawers(b.round(), item).empty();
}

/// A claim, a draw or somebody's standing changed.
void crew::core::weigh(round_book& b, std::uint32_t item) {
    if (item < shape_.lanes && shape_.has({b.round(), item})) {
        b.waive(item, !check_wanted(b, item));
    }
}

void crew::core::weigh_all(round_book& b) {
    auto lanes = b.undecided();
    lanes.insert(b.undrawn().begin(), b.undrawn().end());
    for (const auto lane : lanes) weigh(b, lane);
}

/// Whether `node` should compute an item that another has: those who have drawn it, as long as they
/// are there to do so and the crew does not wait for it.
bool crew::core::may_check(const base::node_id& node, item_key key) const {
    const auto* b = book(key.round);
    if (node == config_.self && hopeless_.contains(key)) return false;
    if (b == nullptr || !b->closed() || b->claims(key.item).size() != 1) return true;
    if (grouped() && elsewhere(key)) return false;
    const auto& drawers = lottery_.drawers(key.round, key.item);
    if (drawers.empty() || drawers.contains(node)) return true;
    const auto there = [&](const base::node_id& drawer) {
        if (!can_work(drawer)) return false;
        if (drawer == config_.self) return able();
        const auto* m = roster_.find(drawer);
        return roster_.present(now_, drawer) && m->said.able && !m->apart;
    };
    if (!std::any_of(drawers.begin(), drawers.end(), there)) return true;
    const bool awaited = !window_open() || chain_.complete();
    const auto since = closed_at_.find(key.round);
    return awaited && since != closed_at_.end() &&
           now_ - since->second > config_.timings.opening_timeout;
}

/// A check that this node wants and nobody makes: the steward may be the one that lies. Only when
/// it had no order for a while, so that lanes come first.
std::optional<item_key> crew::core::volunteered() const {
    if (unseated() || !without_order_since_ ||
        now_ - *without_order_since_ < config_.timings.steward_lost) {
        return std::nullopt;
    }
    std::set<item_key> doing;
    for (const auto& node : roster_.present(now_)) {
        const auto& said = roster_.find(node)->said;
        if (said.doing == doing_kind::item) doing.insert(said.item);
    }
    for (const auto& [round, b] : books_) {
        if (!b.closed() || round < settled_) continue;
        for (const std::uint32_t item : b.undecided()) {
            const item_key key{round, item};
            if (item < shape_.lanes && !own_claims_.contains(key) && !doing.contains(key) &&
                !hopeless_.contains(key) && may_check(config_.self, key)) {
                return key;
            }
        }
    }
    return std::nullopt;
}

/// A dispute that this node has not judged yet. It needs nobody's order: the steward may be the one
/// that lies.
std::optional<item_key> crew::core::unjudged() const {
    for (const auto& [round, b] : books_) {
        if (round > applied_) break;
        for (const std::uint32_t item : b.disputed()) {
            const item_key key{round, item};
            if (item != shape_.merge_item() && !hopeless_.contains(key)) return key;
        }
    }
    return std::nullopt;
}

bool crew::core::begin_ordered(effects& out) {
    if (sliced() && (!leads_team() || begin_again(out))) return true;
    const auto dispute = unjudged();
    auto key = dispute ? dispute : ordered();
    if (key) {
        without_order_since_.reset();
    } else {
        if (!without_order_since_) without_order_since_ = now_;
        key = volunteered();
    }
    if (!key || key->item == shape_.merge_item() || !to_do(*key)) return false;
    const bool first = book(key->round)->claims(key->item).empty();
    auto kind = first ? work_kind::lane : work_kind::check;
    if (key->item == shape_.validation_item()) {
        kind = first ? work_kind::validation : work_kind::check_validation;
    }
    auto work = item_from_state(kind, *key);
    if (!work) return false;
    begin(purpose::item, std::move(*work), *key, out);
    return true;
}

base::result<void> crew::core::on(const work_done& e, effects& out) {
    if (!in_hand_ || !(in_hand_->work == e.item)) return {};
    if (names_.owed(shape_, call_out_)) {
        unnamed_ = {now_, e};
        return {};
    }
    const auto hand = *in_hand_;
    auto team = names_.team(shape_, call_out_);
    // Whoever is not through with its part need not be.
    if (call_out_) call_team(true, out);
    in_hand_.reset();
    failures_ = 0;
    if (!hand.work.team.empty()) team_failures_ = 0;
    measure_speed(hand.work, e.computed);
    without_order_since_.reset();
    failed_.erase(hand.key);
    ++activity_;
    out.push_back(crew_progress{});
    if (e.outcome.blob.size > 0) {
        const bool mean = e.item.kind == work_kind::sum || e.item.kind == work_kind::join;
        if (mean) {
            means_coded_.add(e.outcome.counts);
        } else if (e.item.kind != work_kind::sum_shard && e.item.kind != work_kind::sum_lanes &&
                   e.item.kind != work_kind::add_sums && e.item.kind != work_kind::keep_state) {
            lanes_coded_.add(e.outcome.counts);
        }
    }
    switch (hand.why) {
        case purpose::prepare:
            if (sliced()) {
                slice_prepared(e.item, e.outcome);
                break;
            }
            prepared_ = true;
            if (!chain_.set_initial(e.outcome.state_after)) {
                inexact_ = true;
                trouble_ = "this machine begins with state " + e.outcome.state_after.brief() +
                           ", the chronicle with another: run tequio doctor";
            }
            break;
        case purpose::called:
            session_over_ = hand.work.session;
            session_failed_ = false;
            break;
        case purpose::apply_ahead:
            applied_ahead(e.item, e.outcome, out);
            break;
        case purpose::item:
        case purpose::again:
        case purpose::own_lane:
        case purpose::audit_lane:
        case purpose::shard_lane:
            item_done(hand.key, e.outcome, std::move(team), out);
            break;
        case purpose::shard_sum:
            shard_summed(e.item, e.outcome, out);
            break;
        case purpose::lane_sums:
            sums_made(e.item, e.outcome, out);
            break;
        case purpose::add_sums:
            part_added(e.item, e.outcome, out);
            break;
        case purpose::join:
            parts_joined(e.item, e.outcome);
            break;
        case purpose::own_sum:
            if (!own_.works_on(hand.key.round) || !own_.complete() ||
                own_.inputs() != e.item.inputs) {
                break;
            }
            desk_.made(e.outcome.blob, hand.key.round);
            if (e.outcome.blob.size != shape_.mean_bytes || !std::isfinite(e.outcome.loss)) {
                work_trouble("the worker's sum has the wrong size");
            } else {
                own_.sum = e.outcome;
            }
            break;
        case purpose::audit_sum:
            if (e.item.kind == work_kind::sum_shard) {
                shard_checked(e.item, e.outcome, out);
            } else {
                merge_checked(e.outcome, out);
            }
            break;
        case purpose::apply_entry:
            after_apply(e.item, e.outcome, false, out);
            break;
        case purpose::apply_own:
            after_apply(e.item, e.outcome, true, out);
            break;
        case purpose::keep_state:
            states_.kept(hand.key.round, e.outcome.blob, chain_, desk_, out);
            break;
        case purpose::load_state:
            state_loaded(e.outcome, out);
            break;
    }
    return {};
}

base::result<void> crew::core::on(const work_failed& e, effects& out) {
    if (!in_hand_ || !(in_hand_->work == e.item)) return {};
    const auto hand = *in_hand_;
    if (call_out_) call_team(true, out);
    if (hand.why == purpose::called) leave_call(hand.work.session, out);
    in_hand_.reset();
    unnamed_.reset();
    if (hand.why == purpose::keep_state) {
        states_.not_kept(hand.key.round);  // it serves others
        return {};
    }
    if (hand.why == purpose::load_state) forget_state();
    if (hand.work.team.empty()) {
        work_trouble("work failed: " + e.reason);
    } else {
        team_trouble("the team's work failed: " + e.reason);
    }
    if (hand.why == purpose::join) parts_refused();
    if (hand.why == purpose::add_sums) sums_refused(hand.work);
    if (hand.why == purpose::item) give_up_closed(hand.key);
    out.push_back(crew_progress{});
    return {};
}

/// An item of a closed round that fails again and again (its state is gone) is not tried for ever.
void crew::core::give_up_closed(item_key key) {
    auto* b = book(key.round);
    if (b == nullptr || !b->closed() || ++failed_[key] < closed_tries_max) return;
    failed_.erase(key);
    hopeless_.insert(key);
    failures_ = 0;
    if (b->standing(key.item) == item_standing::disputed) {
        b->mark_unchecked(key.item);
        trouble_ = name_of(shape_, key) + " is disputed and cannot be computed here any more; " +
                   "job replay decides";
    }
}

/// As after a restart: the chronicle, the claims and the blobs are known, no state is held.
base::result<void> crew::core::on(const states_lost&, effects& out) {
    stop(out);
    own_.end();
    audit_.end();
    mine_.end();
    standbys_.clear();
    joined_.reset();
    forget_state();
    out.push_back(crew_progress{});
    return {};
}

void crew::core::work_trouble(const std::string& reason) {
    const auto& t = config_.timings;
    const auto doublings = std::min(failures_, 10u);
    ++failures_;
    resting_until_ = now_ + std::min(t.work_retry_max, t.work_retry_min * (1u << doublings));
    trouble_ = reason;
}

/// What differs from what others claim is computed twice before it is said.
bool crew::core::confirm(item_key key, const base::digest& result, effects& out) {
    const auto* b = book(key.round);
    if (b == nullptr) return false;
    const auto& claims = b->claims(key.item);
    const bool differs = std::any_of(claims.begin(), claims.end(),
                                     [&](const auto& k) { return k.said.result != result; });
    const auto first = first_try_.find(key);
    if (first != first_try_.end() && first->second != result) {
        first_try_.erase(first);
        if (sliced()) {
            trouble_ = name_of(shape_, key) + " came to different results in this node's team";
            return false;
        }
        inexact_ = true;
        trouble_ = "this machine computed " + name_of(shape_, key) +
                   " twice, with different results: run tequio doctor";
        out.push_back(crew_progress{});
        return false;
    }
    if (!differs || first != first_try_.end()) {
        first_try_.erase(key);
        return true;
    }
    first_try_[key] = result;
    return false;
}

void crew::core::item_done(item_key key, const work_outcome& outcome, claim_team team,
                           effects& out) {
    claim said;
    said.node = config_.self;
    said.key = key;
    said.team = std::move(team);
    base::digest trace;
    if (outcome.divergence) {
        said.divergence = outcome.divergence;
        said.result = outcome.divergence->digest();
        trace = outcome.trace;
    } else if (!std::isfinite(outcome.loss)) {
        said.divergence = diverged{0, "loss"};
        said.result = said.divergence->digest();
    } else if (key.item == shape_.validation_item()) {
        said.loss = outcome.loss;
        said.result = validation_result(outcome.loss);
    } else {
        if (outcome.blob.size != shape_.contribution_bytes) {
            work_trouble("the worker's contribution has the wrong size");
            return;
        }
        said.loss = outcome.loss;
        said.result = outcome.blob.root;
        said.blob_size = outcome.blob.size;
        trace = outcome.trace;
        desk_.made(outcome.blob, key.round);
    }
    if (!own_claims_.contains(key) && confirm(key, said.result, out)) {
        claim_result(std::move(said), trace, out);
    }
    own_.offer(key.item);
    audit_.offer(key.item);
    if (mine_.works_on(key.round)) mine_.offer(key.item);
    for (auto& [first, x] : standbys_) {
        if (x.works_on(key.round)) x.offer(key.item);
    }
}

/// Signs, stores and tells: the one place where this node makes a claim.
void crew::core::claim_result(claim said, const base::digest& trace, effects& out) {
    auto* b = book(said.key.round);
    if (b == nullptr || own_claims_.contains(said.key)) return;
    const known_claim* of = nullptr;
    for (const auto& k : b->claims(said.key.item)) {
        const bool alike = k.said.result == said.result;
        const bool better = of == nullptr || (alike && of->said.result != said.result) ||
                            (alike && !of->said.of.is_zero() && k.said.of.is_zero());
        if (better) of = &k;
    }
    if (of != nullptr) said.of = of->said.node;
    said.state = b->state();
    said.commitment = commitment_of(said.result, trace, said.node);
    signed_fact fact;
    fact.body = claim_body(shape_.task, said);
    fact.signature = config_.keys.sign(signed_bytes(fact_kind::claim, fact.body));
    const auto key = said.key;
    keep_keys(said.team, out);
    out.push_back(store_fact{"claim/" + std::to_string(key.round) + "/" + std::to_string(key.item),
                             encode_stored_claim(fact, trace)});
    if (key.item < shape_.lanes) checks_.own_trace(key, trace);
    own_claims_[key] = {said, fact, trace};
    b->add({std::move(said), fact});
    weigh(*b, key.item);
    ++activity_;
    if (key.item < shape_.lanes) {
        for (const auto& member : team_of(own_claims_[key].said)) ++lanes_by_[member];
    }
    note_taint();
    checks_.pair_up(now_, *b, key.item, out);
    send_claims(roster_.present(now_), {&own_claims_[key]}, out);
    if (grouped()) relay({own_claims_[key].said, own_claims_[key].fact}, out);
    out.push_back(crew_progress{});
}

/// This node stands behind an entry: it summed it, checked the sum, or (the closing one) saw it.
void crew::core::claim_merge(std::uint64_t round, effects& out) {
    claim said;
    said.node = config_.self;
    said.key = {round, shape_.merge_item()};
    said.result = chain_.entry_ref(round).root;
    said.blob_size = chain_.entry_ref(round).size;
    claim_result(std::move(said), {}, out);
}

void crew::core::merge_checked(const work_outcome& outcome, effects& out) {
    if (!audit_.active() || audit_.round() >= chain_.length()) return;
    claim_checked_merge(audit_.round(), outcome, out);
}

void crew::core::claim_checked_merge(std::uint64_t round, const work_outcome& outcome,
                                     effects& out) {
    const auto& entry = chain_.entries()[round];
    const item_key key{round, shape_.merge_item()};
    const bool same =
        outcome.sum == entry.sum && outcome.blob == entry.mean && outcome.loss == entry.loss;
    claim said;
    said.node = config_.self;
    said.key = key;
    if (same) {
        said.result = chain_.entry_ref(round).root;
        said.blob_size = chain_.entry_ref(round).size;
    } else {
        // The entry as it should read: what follows from its contributions. Its state_after is not
        // known without applying; the sum alone tells it from what the chronicle has.
        chronicle_entry right = entry;
        right.sum = outcome.sum;
        right.mean = outcome.blob;
        right.loss = outcome.loss;
        const auto text = chronicle_entry_text(right);
        const auto ref = base::blob_ref_of(base::as_bytes(text));
        said.result = ref.root;
        said.blob_size = ref.size;
    }
    if (!confirm(key, said.result, out)) {
        audit_.sum.reset();
        return;
    }
    audit_.end();
    if (!same) desk_.drop(outcome.blob, out);
    claim_result(std::move(said), {}, out);
}

}  // namespace tequio::training
