// Rounds: applying means, closing, settling, failing, finishing.
#include <algorithm>

#include "base/ensure.hpp"
#include "training/crew/core.hpp"

namespace tequio::training {

using namespace crew_protocol;

namespace {

/// Of `owner_patience`: eight minutes (guess: twice what a busy owner of a shard gets).
constexpr int stuck_patience = 16;

}  // namespace

round_book* crew::core::book(std::uint64_t round) {
    const auto it = books_.find(round);
    return it == books_.end() ? nullptr : &it->second;
}

const round_book* crew::core::book(std::uint64_t round) const {
    const auto it = books_.find(round);
    return it == books_.end() ? nullptr : &it->second;
}

/// The chronicle runs at most `settle` rounds ahead of its oldest unsettled one.
bool crew::core::window_open() const {
    return chain_.length() < settled_ + config_.settle;
}

/// Every lane of the open round, and its validation, has a result to build on.
bool crew::core::round_resolved() const {
    const auto* b = book(chain_.length());
    if (b == nullptr || b->closed()) return false;
    const auto others = [&](const std::set<std::uint32_t>& items) {
        return std::any_of(items.begin(), items.end(),
                           [&](std::uint32_t item) { return item != shape_.merge_item(); });
    };
    if (others(b->unclaimed()) || others(b->disputed())) return false;
    if (!shape_.validation) return true;
    const auto* validation = b->resolved(shape_.validation_item());
    return validation != nullptr && !validation->said.divergence;
}

/// The steward closes the round. When it gets nowhere others do too: two owners waste work only.
bool crew::core::should_own() const {
    if (!able()) return false;
    if (distrusted_ == chain_.length()) return true;
    // One of a crew's stewards is enough; and two that put one merge together from the same parts
    // would match, though nobody had looked at a part.
    if (leadership_->leading()) return lead_group();
    return !unseated() && steward_rests_for(config_.timings.owner_patience);
}

/// Every item of the open round is known, and since then its steward has got nowhere for so long.
bool crew::core::steward_rests_for(base::duration time) const {
    if (!resolved_since_) return false;
    auto since = std::max(*resolved_since_, gathering_until_);
    if (const auto& steward = leadership_->current()) {
        if (const auto* m = roster_.find(steward->node)) since = std::max(since, m->active);
    }
    return now_ - since > time;
}

/// The steward of a round in shards shows no sign of life for so long that the parts are given up.
/// As long as a part may come nobody else fetches whole contributions: that is more than all parts
/// together, and on slow links the parts would then be later still. Who has every part closes the
/// round with them, steward or not.
bool crew::core::stuck() const {
    return !leadership_->leading() &&
           steward_rests_for(config_.timings.owner_patience * stuck_patience);
}

void crew::core::drive_exchanges(effects& out) {
    const auto length = chain_.length();
    if (!round_resolved()) {
        resolved_since_.reset();
    } else if (!resolved_since_) {
        resolved_since_ = now_;
    }
    if (!prepared_) return;
    if (states_.jump()) {
        own_.end();
        return;
    }
    if (sums_in_groups()) {
        drive_groups(out);
    } else {
        drive_shards(out);
    }
    const auto* sum_of = joined_ && distrusted_ != length ? summed_lanes() : nullptr;
    if (applied_ < std::min(length, shape_.rounds)) {
        const auto& entry = chain_.entries()[applied_];
        blob_desk::wish w{entry.mean, {}, applied_, false};
        for (const auto& node : roster_.present(now_)) {
            const auto& said = roster_.find(node)->said;
            // A slice is walked to from S(0) with means that are on the disk.
            const auto passed = slicing() ? said.chronicle : said.applied;
            if (passed > applied_ && said.means_from <= applied_) w.holders.push_back(node);
        }
        const bool here = desk_.want(now_, w, out);
        const bool lost = desk_.failures(entry.mean) >= (w.holders.empty() ? 1u : 3u);
        if (here || !lost) {
            own_.end();
        } else if (!own_.works_on(applied_)) {
            own_.begin(applied_, entry.contributions, book(applied_));
        }
    } else if (length < shape_.rounds && should_own() && sum_of != nullptr) {
        if (!own_.works_on(length) || !own_.sum) {
            own_.adopt(length, sum_of->contributions, joined_->outcome);
        }
    } else if (sharded() && distrusted_ != length && !stuck()) {
        own_.end();  // its parts are on their way, to every node
    } else if (length < shape_.rounds && should_own()) {
        if (!own_.works_on(length)) own_.begin(length, {}, book(length));
    } else {
        own_.end();
    }
    own_.step(now_, own_.active() ? book(own_.round()) : nullptr, roster_, desk_, out);
    drive_audit(out);
}

/// Another node's closing entry: it follows from what this node has, so seeing is checking.
bool crew::core::accept_closing(effects& out) {
    if (chain_.length() != shape_.rounds || !prepared_ || applied_ != shape_.rounds) return false;
    const auto* candidate = chain_.next();
    if (candidate == nullptr) return false;
    const chronicle_entry entry = *candidate->entry;
    if (shape_.validation) {
        const auto* b = book(shape_.rounds);
        const auto* known = b == nullptr ? nullptr : b->resolved(shape_.validation_item());
        if (known == nullptr) return false;
        if (known->said.result != validation_result(*entry.validation_loss)) {
            chain_.reject(base::blob_ref(candidate->ref));
            return false;
        }
    }
    append(entry, out);
    claim_merge(shape_.rounds, out);
    return true;
}

/// The closing entry, as the owner.
bool crew::core::close_last(effects& out) {
    if (chain_.length() != shape_.rounds || !prepared_ || applied_ != shape_.rounds ||
        !round_resolved() || !window_open() || !should_own()) {
        return false;
    }
    chronicle_entry entry;
    entry.round = base::round_index{shape_.rounds};
    entry.state_before = entry.state_after = *chain_.state();
    if (shape_.validation) {
        entry.validation_loss = book(shape_.rounds)->resolved(shape_.validation_item())->said.loss;
    }
    append(entry, out);
    claim_merge(shape_.rounds, out);
    return true;
}

void crew::core::finish_own_round(const base::digest& state_after, effects& out) {
    chronicle_entry entry;
    const auto round = chain_.length();
    entry.round = base::round_index{round};
    entry.state_before = *chain_.state();
    for (const auto& ref : own_.inputs()) entry.contributions.push_back(ref.root);
    entry.sum = own_.sum->sum;
    entry.mean = own_.sum->blob;
    entry.loss = own_.sum->loss;
    entry.state_after = state_after;
    if (shape_.validation) {
        entry.validation_loss = book(round)->resolved(shape_.validation_item())->said.loss;
    }
    own_.end();
    if (!chain_.fits(entry)) {
        trouble_ = "the worker's sum of round " + std::to_string(round) + " makes no entry";
        return;
    }
    append(entry, out);
    applied_ = chain_.length();
    claim_merge(round, out);
}

void crew::core::append(const chronicle_entry& entry, effects& out) {
    auto [text, ref] = chain_.append(entry);
    if (!entry.closes()) desk_.keep(entry.mean);
    out.push_back(put_blob{ref, std::move(text)});
    out.push_back(store_entry{entry});
    close_shards(entry, out);
    resolved_since_.reset();
    state_mismatch_.reset();
    distrusted_.reset();
    order_.reset();
    next_order_.reset();
    mean_told_ = {};
    unlike_since_.reset();
    stranded_ = false;
    ++activity_;
    open_books();
    note_taint();
    leadership_->advance(chain_.length());
    out.push_back(crew_progress{});
}

void crew::core::after_apply(const work_item& item, const work_outcome& outcome, bool own,
                             effects& out) {
    if (sliced()) {
        slice_applied(item, outcome, out);
        return;
    }
    const auto round = applied_;
    if (own && own_.works_on(round) && own_.sum && round == chain_.length()) {
        finish_own_round(outcome.state_after, out);
        return;
    }
    const auto* candidate = round == chain_.length() ? chain_.next() : nullptr;
    if (round == chain_.length() && candidate == nullptr) return;
    const chronicle_entry entry =
        candidate != nullptr ? *candidate->entry : chain_.entries()[round];
    if (outcome.state_after == entry.state_after) {
        state_mismatch_.reset();
        if (candidate != nullptr) append(entry, out);
        applied_ = round + 1;
        ++activity_;
        return;
    }
    // Once may be this machine: it is tried again, with what else the worker had warmed up gone.
    if (!state_mismatch_) {
        state_mismatch_ = outcome.state_after;
        return;
    }
    const bool steady = *state_mismatch_ == outcome.state_after;
    state_mismatch_.reset();
    trouble_ = "round " + std::to_string(round) + ": the mean leads to state " +
               outcome.state_after.brief() + " here, the chronicle says " +
               entry.state_after.brief();
    if (candidate == nullptr || !steady || others_arrived_at(entry.state_after, round + 1)) {
        inexact_ = true;
        return;
    }
    set_apart(std::set(candidate->from));
    chain_.reject(base::blob_ref(candidate->ref));
    distrusted_ = round;
}

/// Their chronicle is not this node's: neither their orders nor their company count.
void crew::core::set_apart(const std::set<base::node_id>& nodes) {
    for (const auto& node : nodes) {
        if (auto* m = roster_.find(node)) m->apart = true;
        leadership_->disown(now_, node);
    }
}

/// Two other nodes stand where this one did not arrive: then it is this machine.
bool crew::core::others_arrived_at(const base::digest& state, std::uint64_t rounds) const {
    const auto present = roster_.present(now_);
    return std::count_if(present.begin(), present.end(), [&](const auto& node) {
               const auto& said = roster_.find(node)->said;
               return said.chronicle == rounds && said.state == state;
           }) >= 2;
}

/// A diverged lane is a result, and fails the job. The one named is the first in order, validation
/// before lanes, so that every node and a replay name the same place; nobody is accused.
bool crew::core::judge_divergence(effects& out) {
    const auto* b = book(chain_.length());
    if (b == nullptr || b->closed() || b->diverged().empty()) return false;
    const auto accepted = [&](std::uint32_t item) {
        return b->claim_of(item, config_.self) != nullptr ||
               (b->resolved(item) != nullptr && (b->decided(item) || (sliced() && alone())));
    };
    std::vector<std::uint32_t> order;
    if (shape_.has({b->round(), shape_.validation_item()})) {
        order.push_back(shape_.validation_item());
    }
    const auto last = *b->diverged().begin();
    for (std::uint32_t lane = 0; lane < shape_.lanes && lane <= last; ++lane) {
        if (shape_.has({b->round(), lane})) order.push_back(lane);
    }
    for (const std::uint32_t item : order) {
        const auto* k = b->resolved(item);
        if (k == nullptr) return false;
        if (!k->said.divergence) continue;
        if (!accepted(item)) return false;
        const auto& where = *k->said.divergence;
        const std::string what =
            item < shape_.lanes ? "lane " + std::to_string(item) : std::string("validation");
        finish(job_state::failed, "diverged",
               "the recipe diverges: round " + std::to_string(b->round()) + ", " + what +
                   ", step " + std::to_string(where.step) + ", tensor " + where.tensor +
                   "; a smaller learning rate may help",
               out);
        return true;
    }
    return false;
}

void crew::core::note_taint() {
    for (const auto& [round, b] : books_) {
        if (b.closed() && !b.refuted().empty()) {
            tainted_from_ = std::min(tainted_from_.value_or(round), round);
        }
    }
}

/// Nobody else could work for a while. Not while a member holds another chronicle: one of the two
/// is wrong, and going on as if nobody had objected would hide it.
bool crew::core::alone() const {
    return now_ - *company_ > config_.timings.silent_after && !apart();
}

/// The draws of closed rounds, as far as their secrets are known.
void crew::core::draw_checks() {
    for (auto& [round, b] : books_) {
        if (round < settled_ || !b.closed() || round >= shape_.rounds) continue;
        const auto lane = b.unclaimed().begin();
        if (lane != b.unclaimed().end() && *lane < shape_.lanes) continue;
        if (lottery_.step(b)) weigh_all(b);
    }
}

/// Nobody who is here still has to show what it drew. A member that says the round is settled, and
/// one that is slow to speak, is not waited for.
bool crew::core::drawn_up(const round_book& b) const {
    const auto round = b.round();
    if (!lottery_.drawn_up(round)) return false;
    const auto closed = closed_at_.find(round);
    if (closed == closed_at_.end() || now_ - closed->second > config_.timings.silent_after) {
        return true;
    }
    const auto present = roster_.present(now_);
    return std::none_of(present.begin(), present.end(), [&](const auto& node) {
        const auto* m = roster_.find(node);
        return m->said.able && !m->apart && m->said.settled <= round && lottery_.owes(round, node);
    });
}

/// Most of the others have settled this round for a while: they know its workers better.
bool crew::core::overtaken(std::uint64_t round) {
    std::size_t others = 0, ahead = 0;
    roster_.each_present(now_, [&](const base::node_id&, const member& m) {
        if (m.apart) return;
        ++others;
        ahead += m.said.settled > round;
    });
    if (2 * ahead <= others) {
        overtaken_since_.reset();
        return false;
    }
    if (!overtaken_since_) overtaken_since_ = now_;
    return now_ - *overtaken_since_ > config_.timings.silent_after;
}

bool crew::core::settle(effects& out) {
    const auto round = settled_;
    if (round >= chain_.length()) return false;
    auto* b = book(round);
    const std::uint64_t lanes = round < shape_.rounds ? shape_.lanes : 0;
    if (b == nullptr) {
        // Whoever closed the rounds after it had it settled, or could not have closed them.
        ++settled_;
        lanes_settled_ += lanes;
        settled_by_hearsay_ = true;
        store_settled(out);
        return true;
    }
    if (!b->settled() && alone() && (!window_open() || chain_.complete())) {
        // What another left unchecked this node can check; its own work it cannot.
        std::vector<std::uint32_t> given_up;
        const auto give_up = [&](std::uint32_t item) {
            const auto lanes_of = b->mark_unchecked(item);
            given_up.insert(given_up.end(), lanes_of.begin(), lanes_of.end());
        };
        for (const auto item : std::set<std::uint32_t>(b->unclaimed())) give_up(item);
        for (const auto item : std::set<std::uint32_t>(b->undecided())) {
            // Of a single team nobody can check another's.
            if (sliced() || b->claim_of(item, config_.self) != nullptr) give_up(item);
        }
        record_unchecked(round, given_up, out);
    }
    if (!b->settled() && b->disputed().empty() && overtaken(round)) {
        for (const auto item : std::set<std::uint32_t>(b->undecided())) {
            if (item >= shape_.lanes) continue;
            for (const auto& k : b->claims(item)) standing_.believe(k.said.node);
            weigh(*b, item);
        }
    }
    if (!b->settled() || !drawn_up(*b)) return false;
    record_unchecked(round, {b->undrawn().begin(), b->undrawn().end()}, out);
    const auto matched = b->lanes_matched();
    if (lanes > 0) {
        auto news = standing_.count(*b, shape_.lanes);
        out.insert(out.end(), news.begin(), news.end());
        out.push_back(store_fact{"standing", standing_.encode()});
        for (auto& [later, other] : books_) {
            if (later > round) weigh_all(other);
        }
    }
    overtaken_since_.reset();
    ++settled_;
    lanes_settled_ += lanes;
    lanes_checked_ += matched;
    ++activity_;
    store_settled(out);
    out.push_back(round_settled{base::round_index{round}, matched, lanes - matched});
    out.push_back(crew_progress{});
    return true;
}

void crew::core::record_unchecked(std::uint64_t round, const std::vector<std::uint32_t>& lanes,
                                  effects& out) {
    const auto record = [&](const claim& said, const base::digest& trace) {
        auto r = record_of(said);
        r.trace = trace;
        out.push_back(std::move(r));
    };
    for (const std::uint32_t lane : lanes) {
        const auto own = own_claims_.find({round, lane});
        if (own != own_claims_.end()) {
            if (!checks_.has_checker(own->first)) record(own->second.said, own->second.trace);
            continue;
        }
        const auto* b = book(round);
        if (b == nullptr || b->claims(lane).size() != 1) continue;
        const auto& only = b->claims(lane).front().said;
        const auto team = team_of(only);
        if (std::find(team.begin(), team.end(), config_.self) != team.end()) record(only, {});
    }
}

/// What a member says it has settled counts for rounds that this node came too late to check.
void crew::core::adopt_settled(const status& said, effects& out) {
    if (said.chronicle != chain_.length() || !chain_.state() || said.state != *chain_.state()) {
        return;
    }
    // A dispute is judged here, whatever others say.
    const bool judged = std::all_of(books_.begin(), books_.end(),
                                    [](const auto& b) { return b.second.disputed().empty(); });
    if (said.job == job_state::done && chain_.complete() && settled_ < said.settled && judged) {
        settled_ = said.settled;
        lanes_settled_ = shape_.lanes * std::min(settled_, shape_.rounds);
        lanes_checked_ = std::min(said.lanes_checked, lanes_settled_);
        settled_by_hearsay_ = true;
        store_settled(out);
    } else if (settled_by_hearsay_ && said.settled == settled_ &&
               said.lanes_checked > lanes_checked_) {
        lanes_checked_ = std::min(said.lanes_checked, lanes_settled_);
    }
}

void crew::core::store_settled(effects& out) {
    base::byte_vector bytes;
    base::byte_writer w(bytes);
    w.u64(settled_);
    w.u64(lanes_checked_);
    w.u64(lanes_settled_);
    w.u64(tainted_from_ ? *tainted_from_ + 1 : 0);
    w.u8(settled_by_hearsay_ ? 1 : 0);
    if (slicing()) w.u64(speed_.told());
    out.push_back(store_fact{"settled", std::move(bytes)});
}

/// Rounds long closed: their contributions and facts are no longer needed by anyone.
void crew::core::drop_old_books(effects& out) {
    const auto low = books_low();
    if (low == 0) return;
    books_.erase(books_.begin(), books_.lower_bound(low));
    checks_.forget_before(low);
    parts_of_others_.erase(parts_of_others_.begin(), parts_of_others_.lower_bound(low));
    drawn_.erase(drawn_.begin(), drawn_.lower_bound(low));
    lottery_.forget_before(low);
    closed_at_.erase(closed_at_.begin(), closed_at_.lower_bound(low));
    hopeless_.erase(hopeless_.begin(), hopeless_.lower_bound({low, 0}));
    failed_.erase(failed_.begin(), failed_.lower_bound({low, 0}));
    names_.forget_before(low);
    desk_.drop_before(low, out);
    for (auto it = own_claims_.begin(); it != own_claims_.end() && it->first.round < low;) {
        const auto& said = it->second.said;
        if (said.key.item < shape_.lanes && said.blob_size > 0) desk_.drop(said.blob(), out);
        out.push_back(forget_fact{"claim/" + std::to_string(said.key.round) + "/" +
                                  std::to_string(said.key.item)});
        it = own_claims_.erase(it);
    }
}

void crew::core::finish(job_state state, std::string code, std::string reason, effects& out) {
    job_ = state;
    reason_code_ = std::move(code);
    reason_ = std::move(reason);
    const std::string text =
        std::to_string(static_cast<unsigned>(state)) + "\n" + reason_code_ + "\n" + reason_;
    const auto view = base::as_bytes(text);
    out.push_back(store_fact{"final", {view.begin(), view.end()}});
    stop(out);
    own_.end();
    audit_.end();
    mine_.end();
    standbys_.clear();
    order_.reset();
    next_order_.reset();
    planner_.clear();
    out.push_back(job_finished{state, reason_});
    out.push_back(crew_progress{});
}

}  // namespace tequio::training
