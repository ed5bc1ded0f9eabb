// The state of one slice of the model, and how the digest of a whole state is known by it.
#include <algorithm>

#include "base/ensure.hpp"
#include "training/crew/core.hpp"

namespace tequio::training {

using namespace crew_protocol;

/// Another slice than before: its state is made from S(0) on. Sums go on, for they need none.
void crew::core::take_seat(model_slice seat, effects& out) {
    if (seat_ == seat) return;
    if (in_hand_ && (needs_state(in_hand_->work.kind) || in_hand_->why == purpose::prepare)) {
        stop(out);
    }
    if (!seat_ || seat_->count != seat.count) {
        lists_.clear();
        first_tensors_.assign(seat.count, {});
    }
    // What was said of the seat before would be taken for this one's.
    lists_.forget_own();
    seat_ = seat;
    call_.reset();
    forget_state();
    ++activity_;
    out.push_back(crew_progress{});
}

/// The worker holds no state.
void crew::core::forget_state() {
    prepared_ = false;
    applied_ = 0;
    states_.end_jump(chain_);
    proven_ = 0;
    state_mismatch_.reset();
    slice_states_.clear();
    ahead_.reset();
    stranded_ = false;
}

/// S(0): of this node's slice alone when the chronicle says what all of it comes to; else of every
/// slice, one after the other, the own one last, so that S(0) needs nobody's word.
void crew::core::begin_prepare(effects& out) {
    work_item work;
    if (slicing() && !seat_) return;
    if (sliced()) {
        work.slice = *seat_;
        for (std::uint32_t i = 0; i < seat_->count && !chain_.state(); ++i) {
            if (i == seat_->index || !first_tensors_[i].empty()) continue;
            work.slice.index = i;
            break;
        }
    }
    begin(purpose::prepare, work, {}, out);
}

void crew::core::slice_prepared(const work_item& item, const work_outcome& outcome) {
    if (item.slice.count != seat_->count) return;
    if (outcome.tensors.empty()) {
        work_trouble("the worker's slice of the initial state has no tensors");
        return;
    }
    first_tensors_[item.slice.index] = outcome.tensors;
    if (item.slice != *seat_) return;
    if (!chain_.state()) {
        const auto all = config_.slices.compose(first_tensors_);
        if (!all) {
            work_trouble("the slices of the initial state do not fit: " + all.error().message());
            return;
        }
        chain_.set_initial(*all);
    }
    prepared_ = true;
    keep_slice_state(0, outcome.state_after);
}

void crew::core::keep_slice_state(std::uint64_t round, const base::digest& state) {
    slice_states_[round] = state;
    // As many as the worker holds.
    const auto kept = config_.settle + 1;
    if (round > kept) {
        slice_states_.erase(slice_states_.begin(), slice_states_.lower_bound(round - kept));
    }
}

work_item crew::core::apply_item(std::uint64_t round, const base::blob_ref& mean) const {
    work_item work;
    work.kind = work_kind::apply;
    work.round = base::round_index{round};
    work.inputs = {mean};
    if (sliced()) {
        work.slice = *seat_;
        work.state = slice_states_.at(round);
    } else {
        work.state = chain_.state_at(round);
    }
    return work;
}

/// The others are further on than they keep the lists of: their entries are taken as they come, and
/// what they lead to is compared at the end of the way.
bool crew::core::far_behind() const {
    const auto present = roster_.present(now_);
    return std::any_of(present.begin(), present.end(), [&](const auto& node) {
        const auto* m = roster_.find(node);
        return !m->apart && m->said.chronicle >= chain_.length() + slice_lists_kept;
    });
}

/// The open round's mean, when it is here: what the next entry has, else what this node's own sum
/// comes to, else what the steward says.
std::optional<base::blob_ref> crew::core::mean_ahead() {
    const auto round = chain_.length();
    if (round >= shape_.rounds) return std::nullopt;
    if (const auto* candidate = chain_.next()) {
        if (candidate->entry->closes() || !desk_.here(candidate->entry->mean)) return std::nullopt;
        return candidate->entry->mean;
    }
    if (own_.works_on(round) && own_.sum) return own_.sum->blob;
    if (joined_ && joined_->round == round) {
        const auto* s = summed_lanes();
        if (s != nullptr && s->inputs == joined_->inputs) return joined_->outcome.blob;
    }
    if (mean_told_.size > 0 && desk_.here(mean_told_)) return mean_told_;
    return std::nullopt;
}

/// The others wait to hear what the open round's mean comes to in this slice. Checks go on as long
/// as they are what everybody waits for.
bool crew::core::ahead_is_due() {
    return sliced() && prepared_ && applied_ == chain_.length() && window_open() &&
           mean_to_apply().has_value();
}

/// `mean_ahead`, unless that was applied.
std::optional<base::blob_ref> crew::core::mean_to_apply() {
    const auto mean = mean_ahead();
    const bool done = mean && ahead_ && ahead_->round == applied_ && ahead_->mean == *mean;
    return done ? std::nullopt : mean;
}

bool crew::core::begin_ahead(effects& out) {
    const auto mean = mean_to_apply();
    if (!mean) return false;
    begin(purpose::apply_ahead, apply_item(applied_, *mean), {applied_, shape_.merge_item()}, out);
    return true;
}

void crew::core::tell_slice(std::uint64_t round, const base::digest& mean,
                            const work_outcome& outcome, effects& out) {
    auto [bytes, ref] = lists_.own(round, mean, *seat_, outcome.tensors);
    desk_.made(ref, round);
    out.push_back(put_blob{ref, std::move(bytes)});
    lists_.forget_before(round > slice_lists_kept ? round - slice_lists_kept : 0);
}

/// The mean of an entry that the chronicle has, or of the next one when that is far behind.
void crew::core::slice_applied(const work_item& item, const work_outcome& outcome, effects& out) {
    const auto round = item.round.value;
    if (round != applied_ || outcome.tensors.empty()) return;
    if (round == chain_.length()) {
        const auto* candidate = chain_.next();
        if (candidate == nullptr || candidate->entry->closes() ||
            candidate->entry->mean != item.inputs.front()) {
            return;
        }
        append(chronicle_entry(*candidate->entry), out);
    }
    keep_slice_state(round + 1, outcome.state_after);
    tell_slice(round + 1, item.inputs.front().root, outcome, out);
    applied_ = round + 1;
    ++activity_;
}

void crew::core::applied_ahead(const work_item& item, const work_outcome& outcome, effects& out) {
    const auto round = item.round.value;
    if (round != applied_ || round != chain_.length() || outcome.tensors.empty()) return;
    ahead_ = state_ahead{round, item.inputs.front(), outcome.state_after, now_};
    tell_slice(round + 1, ahead_->mean.root, outcome, out);
    ++activity_;
}

/// Gathers the other slices' lists of the state that is ahead, and of the one that this node is at
/// while it does not know whether its slice belongs to it.
void crew::core::compare_slices(effects& out) {
    const auto length = chain_.length();
    if (!prepared_) return;
    if (mean_told_.size > 0 && leadership_->current() && !leadership_->leading() &&
        !mean_comes_in_parts()) {
        desk_.want(now_, {mean_told_, {leadership_->current()->node}, length, false}, out);
    }
    if (leadership_->leading()) {
        const bool summed = own_.works_on(length) && own_.sum && length < shape_.rounds;
        mean_told_ = summed ? own_.sum->blob : base::blob_ref{};
    }
    if (ahead_ && ahead_->round == length) {
        lists_.step(now_, length + 1, ahead_->mean.root, *seat_, roster_, desk_, out);
    }
    if (applied_ != std::min(length, shape_.rounds) || proven_ == applied_) return;
    const auto& mean = chain_.entries()[applied_ - 1].mean.root;
    lists_.step(now_, applied_, mean, *seat_, roster_, desk_, out);
    if (lists_.prove(applied_, mean, *seat_, chain_.state_at(applied_), config_.slices.compose)) {
        proven_ = applied_;
        ++activity_;
        out.push_back(crew_progress{});
    }
}

/// What was ahead is where this node is now.
void crew::core::arrived_ahead() {
    keep_slice_state(ahead_->round + 1, ahead_->state);
    applied_ = proven_ = ahead_->round + 1;
    ahead_.reset();
    ++activity_;
}

/// The whole state that is ahead. Most of a slice's holders have to say the same of it; who has
/// said nothing for a while is not waited for.
std::optional<base::digest> crew::core::composed_ahead() const {
    const bool agreed = now_ - ahead_->since < config_.timings.silent_after;
    return lists_.composed(ahead_->round + 1, ahead_->mean.root, {now_, *seat_, roster_}, agreed,
                           config_.slices.compose);
}

/// This node's own sum, once every slice has said what its mean comes to.
bool crew::core::close_by_slices(effects& out) {
    const auto round = chain_.length();
    if (!sliced() || !ahead_ || ahead_->round != round || applied_ != round ||
        !own_.works_on(round) || !own_.sum || own_.sum->blob != ahead_->mean || !caught_up() ||
        !should_own() || !round_resolved() || !window_open()) {
        return false;
    }
    const auto state = composed_ahead();
    if (!state) return false;
    finish_own_round(*state, out);
    if (chain_.length() == round) return false;
    arrived_ahead();
    return true;
}

/// Two others stand where this node's slice, and what it hears of the others, does not lead. If it
/// is its own slice that the others see otherwise, once more; then it is this machine.
void crew::core::doubt_own_slice() {
    if (!lists_.outvoted(ahead_->round + 1, ahead_->mean.root, {now_, *seat_, roster_})) return;
    if (state_mismatch_ == ahead_->state) {
        inexact_ = true;
        trouble_ = "round " + std::to_string(ahead_->round) +
                   ": this machine's slice comes to another state than the others': run tequio "
                   "doctor";
    } else {
        state_mismatch_ = ahead_->state;
        ahead_.reset();
        unlike_since_.reset();
    }
}

/// Whoever is ahead of this node works on the job no more: a finished chronicle is taken from those
/// who have it, for what the slices come to nobody else will say.
bool crew::core::adopt_finished(effects& out) {
    const auto* candidate = chain_.next();
    if (!slicing() || candidate == nullptr) return false;
    bool some = false;
    for (const auto& node : roster_.present(now_)) {
        const auto& said = roster_.find(node)->said;
        if (said.chronicle <= chain_.length()) continue;
        if (said.job != job_state::done) return false;
        some = true;
    }
    if (!some) return false;
    append(chronicle_entry(*candidate->entry), out);
    return true;
}

/// Another's entry: true when the slices' lists come to the state that it names.
bool crew::core::prove_candidate(effects& out) {
    const auto round = chain_.length();
    const auto* candidate = chain_.next();
    if (!sliced() || !ahead_ || ahead_->round != round || applied_ != round || proven_ != round ||
        candidate == nullptr || candidate->entry->closes() ||
        candidate->entry->mean != ahead_->mean) {
        unlike_since_.reset();
        return false;
    }
    const chronicle_entry entry = *candidate->entry;
    const auto state = composed_ahead();
    if (state == entry.state_after) {
        append(entry, out);
        arrived_ahead();
        return true;
    }
    // The right list, or one at all, may still be on its way.
    if (!unlike_since_) unlike_since_ = now_;
    if (now_ - *unlike_since_ < config_.timings.silent_after) return false;
    const bool complete = lists_.complete(round + 1, ahead_->mean.root, *seat_);
    if (others_arrived_at(entry.state_after, round + 1)) {
        // Without the other lists: the others may divide the model in another way by now.
        stranded_ = true;
        if (complete) doubt_own_slice();
        return false;
    }
    if (!complete) return false;
    trouble_ = "round " + std::to_string(round) + ": the slices' lists do not come to state " +
               entry.state_after.brief() + ", which the chronicle says";
    unlike_since_.reset();
    set_apart(std::set(candidate->from));
    chain_.reject(base::blob_ref(candidate->ref));
    distrusted_ = round;
    return false;
}

}  // namespace tequio::training
