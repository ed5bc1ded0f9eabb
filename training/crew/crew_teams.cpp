// Who holds which slice and works with whom: the steward's plan, and what a team's members tell one
// another.
#include <algorithm>
#include <map>
#include <set>

#include "base/ensure.hpp"
#include "training/crew/core.hpp"
#include "training/errc.hpp"

namespace tequio::training {

using namespace crew_protocol;

namespace {

/// Pause after a team's work failed: doubles up to 32 times that.
constexpr unsigned team_doublings_max = 5;
/// Failures in a row after which a node offers itself for no seat while it pauses (as
/// many end the company of a node that works alone).
constexpr unsigned team_failures_max = 3;
/// Operations a second; no machine is faster.
constexpr double speed_max = 1e18;

/// That node's slice in a team that is called. It is in it.
model_slice slice_in(const team_call& call, const base::node_id& node) {
    const auto place = std::find(call.nodes.begin(), call.nodes.end(), node);
    return {static_cast<std::uint32_t>(place - call.nodes.begin()),
            static_cast<std::uint32_t>(call.nodes.size())};
}

}  // namespace

/// What this node has room for, for 1, 2, ... slices.
slice_fits crew::core::fits_of(const crew_slicing& slices) {
    slice_fits out;
    for (std::uint32_t count = 1; slices.max > 1 && count <= slices.max; ++count) {
        std::uint32_t bits = 0;
        for (std::uint32_t i = 0; i < count; ++i) {
            if (slices.need_bytes({i, count}) <= slices.memory_bytes) bits |= 1u << i;
        }
        out.push_back(bits);
    }
    return out;
}

slice_status crew::core::own_slices() const {
    slice_status s;
    s.seat = seat_;
    s.memory = config_.slices.memory_bytes;
    s.speed = speed_.told();
    s.up = up_.told();
    s.delay = delay_.told();
    // Who does not take part holds no seat that others could wait for.
    if (able() && !withdrawn()) s.fits = fits_;
    s.lists = lists_.own_names();
    if (s.lists.size() > slice_lists_max) {
        s.lists.erase(s.lists.begin(), s.lists.end() - slice_lists_max);
    }
    if (sliced() && !leads_team()) s.lost = lost_lane();
    return s;
}

std::vector<seat_candidate> crew::core::seat_candidates() const {
    std::vector<seat_candidate> out;
    const auto& plan = team_desk_.plan();
    const auto add = [&](const base::node_id& node, const status& said) {
        if (!said.slices || !fit_any(said.slices->fits)) return;
        seat_candidate c;
        c.node = node;
        c.fits = said.slices->fits;
        c.speed = said.slices->speed;
        c.memory = said.slices->memory;
        c.up = said.slices->up;
        c.delay = said.slices->delay;
        c.working = said.doing == doing_kind::item;
        c.holds = said.slices->seat;
        if (const auto* s = plan.find(node)) {
            c.holds = model_slice{s->slice, plan.count};
            // Of S(0) any slice is made as soon as any other.
            c.unmade = chain_.length() == 0 && !said.available;
        }
        // Whoever is at the round before applies its mean as we speak; whoever rests does not.
        c.ready = c.holds && said.slices->seat == c.holds &&
                  said.applied + 2 >= std::min(chain_.length(), shape_.rounds) &&
                  (said.available || said.applied < said.chronicle);
        out.push_back(std::move(c));
    };
    add(config_.self, own_status());
    for (const auto& node : roster_.present(now_)) {
        const auto* m = roster_.find(node);
        if (!m->apart) add(node, m->said);
    }
    return out;
}

/// The steward's part.
void crew::core::plan_teams(effects& out) {
    // Towards the end of a job a walk from S(0) comes too late to be of use (guess).
    const bool walks = chain_.length() < shape_.rounds / 3 * 2;
    team_desk_.step(now_, seat_candidates(), config_.slices.max, config_.slices.lane,
                    walks ? change::all : change::teams);
    take_plan(team_desk_.plan(), out);
    order_again();
}

void crew::core::take_plan(team_plan plan, effects& out) {
    if (plan.count == 0 || plan.count > fits_.size()) return;
    if (plan.count == 1 && teams_.count > 1) names_.undivided();
    teams_ = std::move(plan);
    const auto* own = teams_.find(config_.self);
    if (own == nullptr) return;
    const model_slice seat{own->slice, teams_.count};
    if (fit(fits_, seat)) take_seat(seat, out);
}

/// How fast this node is, by what it computed for a lane. Stored when a round settles.
void crew::core::measure_speed(const work_item& item, base::duration computed) {
    const bool lane = item.kind == work_kind::lane || item.kind == work_kind::check;
    if (!lane || !slicing() || computed <= base::duration{}) return;
    const auto seconds = std::chrono::duration<double>(computed).count();
    const auto work = config_.slices.lane.work ? config_.slices.lane.work(item.slice) : 1;
    const double speed = static_cast<double>(work) / seconds;
    speed_.add(static_cast<std::uint64_t>(std::clamp(speed, 1.0, speed_max)));
}

base::result<void> crew::core::on(const links_measured& e, effects&) {
    up_.add(e.up);
    delay_.add(static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(e.delay).count()));
    return {};
}

/// This node's team, by slice; empty when it is in none.
std::vector<base::node_id> crew::core::own_team() const {
    const auto* own = teams_.find(config_.self);
    if (own == nullptr || !seat_ || seat_->count != teams_.count || seat_->index != own->slice) {
        return {};
    }
    return teams_.team(own->team);
}

bool crew::core::leads(const base::node_id& node) const {
    const auto* s = teams_.find(node);
    return s != nullptr && s->team != 0 && s->slice == 0;
}

/// It holds that slice of the open round's state, on this node's chronicle, and takes work.
bool crew::core::is_ready(const base::node_id& node, model_slice seat) const {
    if (node == config_.self) return available() && seat_ == seat;
    if (!roster_.present(now_, node)) return false;
    const auto* m = roster_.find(node);
    return !m->apart && m->said.available && m->said.chronicle == chain_.length() &&
           m->said.slices && m->said.slices->seat == seat && chain_.state() &&
           m->said.state == *chain_.state();
}

/// This node is the first of a team that can begin on something.
bool crew::core::leads_team() const {
    const auto team = own_team();
    return !team.empty() && team.front() == config_.self && are_ready(team, 1);
}

/// The members of a team from slice `first` on are.
bool crew::core::are_ready(const std::vector<base::node_id>& team, std::uint32_t first) const {
    for (auto i = first; i < team.size(); ++i) {
        if (!is_ready(team[i], {i, teams_.count})) return false;
    }
    return true;
}

/// Teams whose members are all here and take part, wherever they are. Cost: seats and members, both
/// by node, side by side: this is asked after every event.
std::size_t crew::core::teams_here() const {
    std::map<std::uint32_t, std::uint64_t> here;  // by team, a bit for each slice
    const auto all = (std::uint64_t{1} << teams_.count) - 1;
    auto place = teams_.seats.begin();
    const auto see = [&](const base::node_id& node) {
        if (place->team != 0 && place->slice < teams_.count && place->node == node) {
            here[place->team] |= std::uint64_t{1} << place->slice;
        }
    };
    roster_.each_present(now_, [&](const base::node_id& node, const member& m) {
        while (place != teams_.seats.end() && place->node < node) ++place;
        if (place != teams_.seats.end() && m.said.able && !m.apart) see(node);
    });
    const auto* own = teams_.find(config_.self);
    if (own != nullptr && able()) {
        place = teams_.seats.begin() + (own - teams_.seats.data());
        see(config_.self);
    }
    return static_cast<std::size_t>(
        std::count_if(here.begin(), here.end(), [&](const auto& t) { return t.second == all; }));
}

/// Could compute a lane, by itself or at the head of a team.
bool crew::core::can_work(const base::node_id& node) const {
    return !sliced() || leads(node);
}

/// Somebody else could check what is done here. A lone team is alone, as a lone node is; while none
/// is whole everything waits.
bool crew::core::has_company() const {
    if (sliced()) return teams_whole_ != 1;
    return roster_.has_company(now_) || abroad_ > 0;
}

/// Seats come before any state: where the model is divided whoever takes part may lead until
/// somebody stands where work can go on.
bool crew::core::may_lead() const {
    // Without a seat it would lead nobody, and compute what the crew computes.
    if (unseated()) return false;
    if (!slicing() || available()) return available();
    const auto present = roster_.present(now_);
    return able() && fit_any(fits_) &&
           std::none_of(present.begin(), present.end(), [&](const auto& node) {
               const auto* m = roster_.find(node);
               return m->said.available && !m->apart;
           });
}

/// Who else could lead.
std::vector<base::node_id> crew::core::rivals() const {
    std::vector<base::node_id> available_ones, others;
    for (const auto& node : roster_.present(now_)) {
        const auto* m = roster_.find(node);
        if (m->apart) continue;
        if (m->said.available) available_ones.push_back(node);
        const bool helps = m->said.slices && !m->said.slices->fits.empty();
        if (slicing() && helps) others.push_back(node);
    }
    return available_ones.empty() && !available() ? others : available_ones;
}

/// A team is given work by its first member.
std::vector<worker_slot> crew::core::team_slots() const {
    std::vector<worker_slot> out;
    const auto own = own_status();
    const auto said_by = [&](const base::node_id& node) -> const status* {
        if (node == config_.self) return &own;
        return roster_.present(now_, node) ? &roster_.find(node)->said : nullptr;
    };
    for (const auto number : teams_.teams()) {
        const auto team = teams_.team(number);
        worker_slot slot;
        slot.node = team.front();
        slot.fit = are_ready(team);
        bool here = true;
        for (const auto& node : team) {
            const auto* said = said_by(node);
            here = here && said != nullptr;
            slot.able = slot.able && said != nullptr && said->able;
            slot.busy = slot.busy || (said != nullptr && said->doing == doing_kind::own);
        }
        const auto* lead = said_by(team.front());
        if (lead == nullptr) continue;
        if (lead->doing == doing_kind::item) slot.doing = lead->item;
        slot.busy = slot.busy || told_again_.contains(slot.node);
        slot.newcomer = standing_.newcomer(slot.node);
        slot.able = slot.able && here;
        out.push_back(slot);
    }
    return out;
}

/// To the others of the own team: begin, or it is over.
void crew::core::call_team(bool ended, effects& out) {
    auto call = *call_out_;
    call.ended = ended;
    for (const auto& node : call.nodes) {
        call.has_part = names_.has(node);
        if (node != config_.self) send(node, call, out);
    }
    if (ended) call_out_.reset();
}

/// This node takes part in its team's lane, and signs that it does.
void crew::core::say_part(effects& out) {
    auto call = call_->call;
    if (call.item.item >= shape_.lanes) return;
    const auto body =
        slice_body(shape_.task, call.item, slice_in(call, config_.self), call_->session);
    call.part = config_.keys.sign(signed_bytes(fact_kind::slice, body));
    send(call.nodes.front(), call, out);
}

/// As the first of the team. Errors: not its signature.
base::result<void> crew::core::part_said(const base::node_id& from, const base::signature& part,
                                         effects& out) {
    const auto& call = *call_out_;
    const auto body =
        slice_body(shape_.task, call.item, slice_in(call, from), in_hand_->work.session);
    TEQUIO_CHECK(keys_.verify(from, fact_kind::slice, {body, part}));
    names_.said(from, part);
    if (!unnamed_ || names_.owed(shape_, call_out_)) return {};
    const auto done = std::move(unnamed_->second);
    unnamed_.reset();
    return on(done, out);
}

/// Somebody computed a slice and does not say so: the lane is lost, as if it had not.
void crew::core::wait_for_parts_no_longer(effects& out) {
    if (!unnamed_ || now_ - unnamed_->first <= config_.timings.silent_after) return;
    stop(out);
    team_trouble("a member of the team does not sign that it took part");
}

/// A claim is of use only with the keys of all who signed it, which may be gone by then.
void crew::core::keep_keys(const claim_team& team, effects& out) {
    for (const auto& m : team.members) {
        const auto* certificate = keys_.certificate(m.node);
        if (certificate == nullptr || !names_.keep_key(m.node)) continue;
        out.push_back(store_fact{std::string(signer_key) + m.node.hex(), *certificate});
    }
}

/// Whether a claim is to be believed as to who computed it. Errors: somebody is named who did not
/// agree, or not to this. (Whose fault that is nobody can tell: a member may have two keys.)
base::result<bool> crew::core::names_team(const claim& said) {
    const auto parts = slice_facts(shape_.task, said);
    for (std::size_t i = 0; i < parts.size(); ++i) {
        TEQUIO_CHECK(keys_.verify(said.team.members[i].node, fact_kind::slice, parts[i]));
    }
    if (!names_.hides_team(said)) return true;
    names_.distrust(said.node);
    trouble_ = "node " + said.node.brief() + " claims round " + std::to_string(said.key.round) +
               " lane " + std::to_string(said.key.item) +
               " alone, and said that it worked on it with a team";
    return false;
}

/// This node does not go on with its part: the team's first member must not wait for it.
void crew::core::leave_call(const base::digest& session, effects& out) {
    session_over_ = session;
    session_failed_ = true;
    if (!call_ || call_->session != session) return;
    auto call = call_->call;
    call.ended = true;
    send(call.nodes.front(), call, out);
}

base::result<void> crew::core::heard(const base::node_id& from, team_call m, effects& out) {
    const auto session = session_of(shape_.task, m);
    const auto place = std::find(m.nodes.begin(), m.nodes.end(), from);
    if (place == m.nodes.end() || (place != m.nodes.begin() && !m.ended && !m.part)) {
        return fail(errc::bad_message, "a team called by another than its first member");
    }
    if (m.nodes.front() == config_.self) {
        if (!in_hand_ || !call_out_ || in_hand_->work.session != session) return {};
        if (m.part) return part_said(from, *m.part, out);
        stop(out);  // one of them cannot go on
        return {};
    }
    if (m.ended) {
        session_over_ = session;
        if (call_ && call_->session == session) call_.reset();
        return {};
    }
    if (!sliced() || m.nodes != own_team()) return {};
    if (call_ && call_->session == session) {
        call_->heard = now_;
        if (session_over_ == session && session_failed_) {
            leave_call(session, out);
        } else if (call_->begun && !m.has_part) {
            say_part(out);
        }
        return {};
    }
    m.part.reset();
    call_ = team_work{std::move(m), session, now_};
    return {};
}

/// The call that was heard last is still one.
bool crew::core::call_stands() const {
    return call_ && call_->session != session_over_ && call_->call.nodes == own_team() &&
           now_ - call_->heard <= config_.timings.silent_after &&
           roster_.present(now_, call_->call.nodes.front());
}

bool crew::core::begin_called(effects& out) {
    if (!call_stands() || job_ != job_state::running) return false;
    const auto& call = call_->call;
    const auto state = slice_states_.find(call.item.round);
    if (state == slice_states_.end() || call.item.round > applied_ ||
        chain_.state_at(call.item.round) != call.state) {
        return false;
    }
    work_item work;
    work.round = base::round_index{call.item.round};
    if (call.item.item == shape_.validation_item()) {
        work.kind = call.check ? work_kind::check_validation : work_kind::validation;
    } else {
        work.kind = call.check ? work_kind::check : work_kind::lane;
        work.lane = base::lane_index{call.item.item};
    }
    work.state = state->second;
    work.slice = *seat_;
    work.team = call.nodes;
    work.session = call_->session;
    begin(purpose::called, std::move(work), call.item, out);
    call_->begun = true;
    say_part(out);
    return true;
}

/// The team that works on what is in hand is not what it was when that was begun.
bool crew::core::team_fell_apart() const {
    const auto& team = in_hand_->work.team;
    if (team != own_team()) return true;
    if (in_hand_->why == purpose::called) return !call_stands();
    for (std::uint32_t i = 1; i < team.size(); ++i) {
        const auto* m = roster_.find(team[i]);
        if (!roster_.present(now_, team[i]) || m->apart || !m->said.able || !m->said.slices ||
            m->said.slices->seat != model_slice{i, teams_.count}) {
            return true;
        }
    }
    return false;
}

/// Whose fault it is nobody can say: a pause, and the others may have found another by then.
void crew::core::team_trouble(const std::string& reason) {
    const auto doublings = std::min(team_failures_, team_doublings_max);
    ++team_failures_;
    resting_until_ = now_ + config_.timings.work_retry_min * (1u << doublings);
    trouble_ = reason;
}

/// Its teams' work failed here again and again: for the length of its pause it is no company, and
/// another may have its seat.
bool crew::core::withdrawn() const {
    return resting_until_ && team_failures_ >= team_failures_max;
}

/// A lane that this node needs the contribution of, and nobody can give it.
std::optional<item_key> crew::core::lost_lane() const {
    for (const auto* x : {&own_, &mine_, &audit_}) {
        const auto lane = x->active() ? x->lost() : std::nullopt;
        if (lane && x->round() < shape_.rounds) return item_key{x->round(), *lane};
    }
    return std::nullopt;
}

/// The steward finds a team for each lane that somebody misses the contribution of.
void crew::core::order_again() {
    std::set<item_key> lost;
    if (const auto own = leads_team() ? std::nullopt : lost_lane()) lost.insert(*own);
    for (const auto& node : roster_.present(now_)) {
        const auto& said = roster_.find(node)->said;
        if (said.slices && said.slices->lost) lost.insert(*said.slices->lost);
    }
    std::erase_if(told_again_, [&](const auto& told) {
        return !lost.contains(told.second) || !leads(told.first);
    });
    for (const auto& [node, key] : told_again_) lost.erase(key);
    for (const auto& key : lost) {
        for (const auto number : teams_.teams()) {
            const auto team = teams_.team(number);
            if (teams_.count <= 1 || told_again_.contains(team.front()) || !are_ready(team)) {
                continue;
            }
            told_again_.emplace(team.front(), key);
            break;
        }
    }
    const auto mine = told_again_.find(config_.self);
    again_ = mine == told_again_.end() ? std::nullopt : std::optional(mine->second);
}

/// Its contribution is here and this node says so, or nobody asks for it any more.
bool crew::core::again_is_moot(item_key key) const {
    if (again_ != key) return true;
    const auto* b = book(key.round);
    const auto own = own_claims_.find(key);
    return b == nullptr || (own != own_claims_.end() && desk_.here(own->second.said.blob()));
}

bool crew::core::begin_again(effects& out) {
    if (!again_ || again_is_moot(*again_)) return false;
    auto work = item_from_state(work_kind::check, *again_);
    if (!work) return false;
    begin(purpose::again, std::move(*work), *again_, out);
    return true;
}

}  // namespace tequio::training
