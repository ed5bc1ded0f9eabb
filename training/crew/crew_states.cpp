// Full states: writing them for others, and going on from one instead of over all means before it.
#include "training/crew/core.hpp"

namespace tequio::training {

using namespace crew_protocol;

namespace {

/// Books of so many appended rounds are let go of together.
constexpr std::uint64_t rounds_at_once = 64;

}  // namespace

void crew::core::drive_jump(effects& out) {
    const auto why =
        states_.look({now_, applied_, settled_, roster_, standing_, chain_, desk_}, out);
    if (!why.empty()) refuse_state(why, false, out);
}

/// The means are taken instead. `blamed`: what was named is not what the name says.
void crew::core::refuse_state(const std::string& why, bool blamed, effects& out) {
    const auto jump = *states_.jump();
    states_.refuse(chain_, desk_, out);
    trouble_ = "the full state of round " + std::to_string(jump.to.round) + " is not used: " + why;
    if (blamed) set_apart(jump.from);
    out.push_back(crew_progress{});
}

bool crew::core::begin_keep_state(effects& out) {
    if (!states_.due(applied_, chain_)) return false;
    states_.make_room(desk_, out);
    work_item work;
    work.kind = work_kind::keep_state;
    work.round = base::round_index{applied_};
    work.state = chain_.state_at(applied_);
    begin(purpose::keep_state, std::move(work), {applied_, shape_.merge_item()}, out);
    return true;
}

void crew::core::begin_load_state(effects& out) {
    const auto& jump = *states_.jump();
    if (!jump.ready) return;
    work_item work;
    work.kind = work_kind::load_state;
    work.round = base::round_index{jump.to.round};
    work.inputs = {jump.to.blob};
    begin(purpose::load_state, std::move(work), {jump.to.round, shape_.merge_item()}, out);
}

/// The worker holds what was in the blob. Only now, if it is what the chronicle says, are the
/// entries on the way there taken.
void crew::core::state_loaded(const work_outcome& outcome, effects& out) {
    if (!states_.jump()) return forget_state();
    const auto round = states_.jump()->to.round;
    std::vector<chronicle_entry> entries;
    for (const auto* c : chain_.way_to(round, states_.jump()->from)) entries.push_back(*c->entry);
    if (chain_.length() + entries.size() < round) {
        refuse_state("the rounds before it are gone", false, out);
        return forget_state();
    }
    const auto expected = entries.empty() ? chain_.state_at(round) : entries.back().state_after;
    if (outcome.state_after != expected) {
        refuse_state(
            "it is " + outcome.state_after.brief() + ", the chronicle says " + expected.brief(),
            true, out);
        return forget_state();
    }
    states_.arrived(!entries.empty(), chain_, desk_, out);
    for (const auto& entry : entries) {
        append(entry, out);
        if (entry.round.value % rounds_at_once == 0) drop_old_books(out);
    }
    drop_old_books(out);
    applied_ = round;
    ++activity_;
    out.push_back(crew_progress{});
}

}  // namespace tequio::training
