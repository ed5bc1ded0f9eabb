#include "node/core/team_desk.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "node/core/errc.hpp"
#include "training/slices.hpp"

namespace tequio::node {
namespace {

/// Not a lie yet, for a machine may be broken; a handful of them is too much.
constexpr std::uint64_t strikes_for_nonsense = 3;

base::result<void> check_team(const training::recipe& work, const training::work_item& item,
                              const base::node_id& self) {
    const auto refuse = [](const char* why) {
        return fail(errc::compute_failed, std::string("a team that cannot be: ") + why);
    };
    const auto& slice = item.slice;
    if (slice.count < 2 || slice.count > training::slices_max(work)) {
        return refuse("the recipe's cuts do not allow so many slices");
    }
    if (item.team.size() != slice.count || slice.index >= slice.count) {
        return refuse("it has not one member for each slice");
    }
    if (item.team[slice.index] != self) return refuse("this node's slice is another's");
    auto sorted = item.team;
    std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
        return refuse("a node is in it twice");
    }
    if (item.session == base::digest{}) return refuse("it has no name");
    return {};
}

}  // namespace

base::result<void> team_desk::begin(base::time_point now, const base::task_id& task,
                                    const training::recipe& work, const training::work_item& item,
                                    team_effects& out) {
    base::ensure(!session_, "one item at a time");
    TEQUIO_CHECK(check_team(work, item, self_));
    session_ = session{task, item.session, item.team, item.slice.index, {}, false, {}, now};
    given_up_.clear();
    const auto longest = training::team_tag_bytes + training::longest_team_message(work);
    for (const auto& node : item.team) {
        if (node == self_) continue;
        out.network.emplace_back(p2p::want_peer{node});
        out.network.emplace_back(p2p::open_stream{node, item.session, longest});
    }
    return {};
}

void team_desk::end(const std::string& reason, team_effects& out) {
    if (!session_) return;
    for (const auto& node : session_->team) {
        if (node == self_) continue;
        out.network.emplace_back(p2p::close_stream{node, session_->name, reason});
        out.network.emplace_back(p2p::unwant_peer{node});
    }
    session_.reset();
}

bool team_desk::current(const base::task_id& task, const base::digest& name) const {
    return session_ && session_->task == task && session_->name == name;
}

std::optional<std::uint32_t> team_desk::member(const base::node_id& node,
                                               const base::digest& name) const {
    if (!session_ || session_->name != name) return std::nullopt;
    const auto& team = session_->team;
    const auto at = std::find(team.begin(), team.end(), node);
    if (at == team.end()) return std::nullopt;
    return static_cast<std::uint32_t>(at - team.begin());
}

std::string team_desk::name_of(std::uint32_t member) const {
    return "node " + session_->team[member].brief() + ", which has slice " + std::to_string(member);
}

base::result<void> team_desk::said(base::time_point, const team_said& e, team_effects& out) {
    if (!current(e.task, e.session)) return {};
    if (e.to >= session_->team.size() || e.to == session_->self) {
        return fail(errc::compute_failed, "the worker speaks to a member that there is not");
    }
    base::byte_vector head;
    training::write_tag(e.tag, head);
    out.network.emplace_back(
        p2p::stream_send{session_->team[e.to], e.session, std::move(head), e.body});
    return {};
}

void team_desk::noted(base::time_point now, const team_note& e, team_effects& out) {
    if (!current(e.task, e.session) || e.member >= session_->team.size()) return;
    const auto& node = session_->team[e.member];
    switch (e.what) {
        case team_note_kind::taken:
            out.network.emplace_back(p2p::stream_take{node, e.session});
            break;
        case team_note_kind::waits:
            session_->waiting_for = e.member;
            session_->since = now;
            break;
        case team_note_kind::blames:
            out.shell.emplace_back(log_line{log_level::warn, name_of(e.member) +
                                                                 ", sent what was not due: it was "
                                                                 "dropped"});
            out.network.emplace_back(
                p2p::blame_peer{node, strikes_for_nonsense, "sent a team what was not due"});
            break;
    }
}

/// What the worker waits for, if it is this, is here.
void team_desk::arrived(base::time_point now, std::uint32_t from) {
    auto& s = *session_;
    s.any = true;
    if (s.waiting_for != from) return;
    s.longest = std::max(s.longest, now - s.since);
    s.waiting_for.reset();
}

void team_desk::heard(base::time_point now, p2p::stream_message& m, team_effects& out) {
    const auto from = member(m.from, m.name);
    if (!from) return;
    const auto tag = training::read_tag(m.bytes);
    if (!tag) {
        noted(now, {session_->task, m.name, *from, team_note_kind::blames}, out);
        out.network.emplace_back(p2p::stream_take{m.from, m.name});
        return;
    }
    arrived(now, *from);
    out.shell.emplace_back(team_deliver{session_->task, m.name, *from, *tag, std::move(m.bytes)});
}

void team_desk::taken(base::time_point now, const p2p::stream_taken& m, team_effects& out) {
    const auto by = member(m.by, m.name);
    if (!by) return;
    arrived(now, *by);
    out.shell.emplace_back(team_credit{session_->task, m.name, *by});
}

void team_desk::moved(base::time_point now, const p2p::stream_moved& m) {
    const auto from = member(m.from, m.name);
    if (from && session_->waiting_for == from) session_->since = now;
}

void team_desk::closed(const p2p::stream_closed& m, team_effects& out) {
    if (const auto by = member(m.by, m.name)) {
        give_up(name_of(*by) + ", gave the lane up: " + m.reason, out);
    }
}

void team_desk::give_up(std::string why, team_effects& out) {
    if (!given_up_.empty()) return;
    given_up_ = std::move(why);
    session_->waiting_for.reset();
    out.shell.emplace_back(stop_compute{session_->task});
}

base::duration team_desk::patience() const {
    if (!session_->any) return patience_.first;
    return std::max(patience_.least, patience_.times * session_->longest);
}

base::time_point team_desk::next_deadline() const {
    if (!session_ || !session_->waiting_for) return base::time_point::max();
    return session_->since + patience();
}

void team_desk::tick(base::time_point now, team_effects& out) {
    if (next_deadline() > now) return;
    const auto waited = std::chrono::duration_cast<std::chrono::seconds>(now - session_->since);
    give_up("nothing came for " + std::to_string(waited.count()) + " s from " +
                name_of(*session_->waiting_for),
            out);
}

}  // namespace tequio::node
