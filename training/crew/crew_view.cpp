// What people see.
#include <algorithm>

#include "base/text.hpp"
#include "training/crew/core.hpp"

namespace tequio::training {

using namespace crew_protocol;

namespace {

std::string doing_text(const job_shape& shape, const status& s) {
    if (s.doing == doing_kind::item) {
        const std::string round = "round " + std::to_string(s.item.round);
        if (s.item.item == shape.validation_item()) return "validation of " + round;
        if (s.item.item == shape.merge_item()) return "checking the sum of " + round;
        const std::string lane = round + " lane " + std::to_string(s.item.item);
        return (s.item.round < s.chronicle ? "checking " : "") + lane + (s.able ? "" : ", parked");
    }
    if (s.leaving) return "leaving";
    if (s.doing == doing_kind::own) {
        return s.applied < std::min(s.chronicle, shape.rounds) ? "catching up" : "merging";
    }
    return s.able ? "idle" : "not working";
}

}  // namespace

/// A member holds another chronicle: somebody's machine, or word, is wrong.
bool crew::core::apart() const {
    const auto present = roster_.present(now_);
    return std::any_of(present.begin(), present.end(),
                       [&](const auto& node) { return roster_.find(node)->apart; });
}

crew_view crew::core::view(bool with_chronicle) const {
    crew_view v;
    v.state = job_;
    v.round = chain_.length();
    v.rounds = shape_.rounds;
    v.settled_round = settled_;
    if (lanes_settled_ > 0) {
        v.checked_share = static_cast<double>(lanes_checked_) / static_cast<double>(lanes_settled_);
    }
    v.tainted_from = tainted_from_;
    v.tainted = tainted_from_.has_value();
    const auto& entries = chain_.entries();
    if (!entries.empty()) v.validation_loss = entries.back().validation_loss;
    if (!entries.empty() && !entries.back().closes()) {
        v.loss = entries.back().loss;
    } else if (entries.size() > 1) {
        v.loss = entries[entries.size() - 2].loss;
    }
    v.lanes_coded = lanes_coded_;
    v.means_coded = means_coded_;
    v.tokens = std::min(v.round, shape_.rounds) * shape_.lanes * config_.lane_tokens;
    v.groups = groups_.count();
    v.abroad = abroad_;
    if (grouped()) v.group = groups_.own();
    if (leadership_ && leadership_->current()) v.steward = leadership_->current()->node;
    if (chain_.state()) v.state_digest = *chain_.state();
    if (with_chronicle) v.chronicle = entries;
    const auto add = [&](const base::node_id& node, const status& s, bool present) {
        const auto lanes = lanes_by_.find(node);
        v.members.push_back({node, present, s.available, doing_text(shape_, s), s.chronicle,
                             lanes == lanes_by_.end() ? 0 : lanes->second});
        v.members.back().means_from = s.means_from;
        if (!s.slices || !s.slices->seat) return;
        auto& member = v.members.back();
        member.slice = s.slices->seat;
        member.slice_rounds = s.applied;
        const auto* seat = teams_.find(node);
        if (seat != nullptr && model_slice{seat->slice, teams_.count} == *member.slice) {
            member.team = seat->team;
            member.lead = leads(node);
        }
    };
    v.full_states = states_.blobs();
    v.slices = teams_.count;
    v.teams = static_cast<std::uint32_t>(teams_here());
    add(config_.self, own_status(), true);
    if (paused_) v.members.front().doing = "paused";
    if (suspended_) v.members.front().doing = "suspended";
    for (const auto& [node, m] : roster_.all()) {
        if (m.joined) add(node, m.said, roster_.present(now_, node));
    }
    std::sort(v.members.begin(), v.members.end(),
              [](const auto& a, const auto& b) { return a.node < b.node; });

    explain(v);
    return v;
}

/// Why nobody can work on a model that has to be divided; nothing when somebody can.
std::optional<std::pair<std::string, std::string>> crew::core::explain_slices() const {
    if (!slicing() || teams_here() > 0) return std::nullopt;
    auto members = seat_candidates();
    const auto count = choose_count(members, config_.slices.max, teams_.count);
    if (count != 0) {
        return std::pair("team_incomplete", "seats are being given: " + std::to_string(count) +
                                                " slices, " + std::to_string(members.size()) +
                                                " members");
    }
    std::uint64_t offered = config_.slices.memory_bytes;
    for (const auto& m : members) offered = std::max(offered, m.memory);
    // The division that comes nearest: the one of use to most members, with fewest slices.
    std::uint32_t nearest = config_.slices.max;
    std::size_t helpers = 0;
    for (std::uint32_t n = 1; n <= config_.slices.max; ++n) {
        const auto reach = reach_of(members, n);
        if (reach.helpers > helpers) {
            helpers = reach.helpers;
            nearest = n;
        }
    }
    const auto who = [](std::size_t n) {
        return std::to_string(n) + (n == 1 ? " member" : " members");
    };
    const auto reach = reach_of(members, nearest);
    const auto slices = std::to_string(nearest) + (nearest == 1 ? " slice" : " slices");
    const model_slice lacking{reach.lacking.value_or(0), nearest};
    const auto need = config_.slices.need_bytes(lacking);
    const std::string sentence = "slice " + std::to_string(lacking.index + 1) + " of " +
                                 std::to_string(nearest) + " needs " + base::human_size(need) +
                                 "; the largest member offers " + base::human_size(offered);
    if (helpers == 0) return std::pair("too_large", sentence);
    if (need > offered) return std::pair("team_incomplete", sentence);
    return std::pair("team_incomplete", "a team needs a member for each of " + slices + "; " +
                                            who(reach.helpers) + " here could hold one");
}

/// Why the job stands where it stands: a stable code and a sentence.
void crew::core::explain(crew_view& v) const {
    const auto here = static_cast<std::uint64_t>(
        std::count_if(v.members.begin(), v.members.end(), [](const auto& m) { return m.present; }));
    const auto say = [&](const char* code, std::string text) {
        v.reason_code = code;
        v.reason = std::move(text);
    };
    if (!reason_code_.empty()) {
        say(reason_code_.c_str(), reason_);
    } else if (inexact_) {
        say("inexact", trouble_);
    } else if (left_) {
        say("left", "this node has left the job");
    } else if (paused_) {
        say("paused", "this node is paused");
    } else if (suspended_) {
        say("suspended", in_hand_ ? "the machine is wanted; the work in hand is kept for later"
                                  : "the machine is wanted by its owner");
    } else if (draining_) {
        say("draining", "this node takes no more work");
    } else if (resting_until_) {
        say("work_failed", trouble_);
    } else if (unseated() && !apart()) {
        say("crew_full", "the crew is full: all of its " + std::to_string(config_.crew_max) +
                             " seats are taken; this node keeps up and takes the next free one");
    } else if (const auto slices = explain_slices()) {
        say(slices->first.c_str(), slices->second);
    } else if (!prepared_) {
        say("preparing", "making the initial state");
    } else if (const auto& jump = states_.jump()) {
        say("catching_up", "fetching the state of round " + std::to_string(jump->to.round) +
                               " in place of the rounds before it");
    } else if (!caught_up() || chain_.expecting()) {
        say("catching_up", "applying round " + std::to_string(applied_) + " of " +
                               std::to_string(std::max(chain_.length(), applied_ + 1)));
    } else if (apart()) {
        say("apart", "this node's chronicle differs from the others': compare it with job replay");
    } else if (here + abroad_ < config_.crew_min) {
        say("crew_min", "waiting for " + std::to_string(config_.crew_min) + " nodes, " +
                            std::to_string(here + abroad_) + " here");
    } else if (v.steward.is_zero()) {
        say("no_steward", "finding out who hands out the work");
    } else if (chain_.complete() || !window_open()) {
        say("settling", "waiting for checks of round " + std::to_string(settled_));
    } else {
        say("training", trouble_.empty() ? "training" : "training; " + trouble_);
    }
}

}  // namespace tequio::training
