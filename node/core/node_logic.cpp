#include "node/core/node_logic.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "base/text.hpp"
#include "node/core/node_state.hpp"

namespace tequio::node {
namespace {

constexpr auto housekeeping_every = std::chrono::seconds(10);
constexpr std::size_t dial_failures_max = 1024;  // as many as an address book half full

p2p::network_config with_wall(p2p::network_config config, base::unix_time wall) {
    config.wall_at_start = wall;
    return config;
}

base::byte_view saved_peers(const node_memory& memory) {
    const auto it = memory.find({"node", "peers"});
    return it == memory.end() ? base::byte_view{} : base::as_bytes(it->second);
}

ledger::receipt_desk make_desk(const ledger::desk_config& config, const p2p::identity& self,
                               std::vector<ledger::open_offer> offers, moment at) {
    // The desk shares its key; identity keeps the root. The log key is derived anew from the same
    // seed.
    auto key = std::make_shared<base::signing_key>(
        base::signing_key::from_seed(self.key(p2p::key_role::log).seed()));
    auto certificate = ledger::certify_key(self.root(), ledger::log_role, key->public_part());
    return ledger::receipt_desk(config, self.node(), std::move(key), std::move(certificate),
                                std::move(offers), {at.now, at.wall});
}

}  // namespace

node_logic::state::state(node_logic_config config, const p2p::identity& self, node_memory memory,
                         std::vector<ledger::open_offer> offers, moment at, base::rng rng)
    : config_(std::move(config)),
      self_(self),
      rng_(rng),
      memory_(std::move(memory)),
      at_(at),
      network_(with_wall(config_.network, at.wall), self, rng.split("network"),
               saved_peers(memory_)),
      desk_(make_desk(config_.desk, self, std::move(offers), at)),
      team_(config_.team, self.node()),
      activity_since_(at.wall),
      housekeeping_at_(at.now) {
    if (const auto it = memory_.find({"node", "paused_until"}); it != memory_.end()) {
        paused_ = true;
        if (const auto until = base::parse_i64(it->second)) paused_until_ = base::unix_time{*until};
    }
}

void node_logic::state::enter(moment at, node_effects& out) {
    base::ensure(at.now >= at_.now, "time does not run backwards");
    at_ = at;
    out_ = &out;
    if (!memory_.empty()) restore_jobs();
}

void node_logic::state::settle() {
    if (network_.next_deadline() <= at_.now) (void)tell_network(p2p::tick{});
    if (desk_.next_deadline() <= at_.now) tell_desk(ledger::desk_tick{});
    if (team_.next_deadline() <= at_.now) wait_for_team_no_longer();
    for (auto& [id, j] : jobs_) {
        if (j.crew && j.crew->next_deadline() <= at_.now) tell_crew(j, training::crew_tick{});
        if (j.data_retry <= at_.now) look_for_data(j);
        if (j.export_retry <= at_.now) export_again(j);
        drop_for_twins(j);
    }
    if (links_at_ <= at_.now) keep_links();
    begin_waiting_work();
    out_ = nullptr;
}

base::time_point node_logic::state::next_deadline() const {
    auto next = std::min({network_.next_deadline(), desk_.next_deadline(), team_.next_deadline(),
                          housekeeping_at_, links_at_});
    if (paused_ && paused_until_) {
        const std::int64_t left =
            std::max<std::int64_t>(0, paused_until_->seconds - at_.wall.seconds);
        next = std::min(next, at_.now + std::chrono::seconds(std::min<std::int64_t>(left, 3600)));
    }
    for (const auto& [id, j] : jobs_) {
        if (j.crew) next = std::min(next, j.crew->next_deadline());
        next = std::min({next, j.data_retry, j.export_retry});
    }
    return next;
}

base::result<void> node_logic::state::tell_network(p2p::network_event e) {
    p2p::network_effects effects;
    TEQUIO_CHECK(network_.handle(at_.now, std::move(e), effects));
    for (auto& effect : effects) {
        std::visit([this](auto& wanted) { carry_out(wanted); }, effect);
    }
    return {};
}

void node_logic::state::carry_out(p2p::peer_up& up) {
    say(log_level::info, "peer " + up.node.brief() + " at " + up.address.text() + " is linked");
    send(up.node, topic::introduction, self_.certificate(p2p::key_role::message).encode());
    tell_desk(ledger::peer_reachable{up.node});
    for (auto& [id, j] : jobs_) {
        if (!j.missing.empty()) look_for_data(j);
    }
}

void node_logic::state::carry_out(p2p::peer_down& down) {
    say(log_level::info, "peer " + down.node.brief() + " is gone: " + down.ending.message());
    certificates_.erase(down.node);
    tell_crews(training::member_down{down.node});
}

void node_logic::state::carry_out(p2p::note_received& note) {
    on_note(note);
}

void node_logic::state::carry_out(p2p::blob_complete& complete) {
    if (runs_wanted(complete.ref).contains(complete.pieces)) {
        confirm(complete.ref, complete.pieces);
    }
}

void node_logic::state::carry_out(p2p::blob_failed& failed) {
    run_is_gone(failed.ref, failed.pieces, failed.reason);
}

void node_logic::state::carry_out(p2p::store_peers& peers) {
    remember("node", "peers", std::string(base::as_text(peers.bytes)));
}

void node_logic::state::carry_out(p2p::app_message& message) {
    const base::byte_view bytes = message.bytes;
    const auto about = static_cast<topic>(message.topic);
    if (about == topic::introduction) return on_introduction(message.from, message.bytes);
    if (about == topic::receipt) {
        return tell_desk(ledger::desk_message{message.from, std::move(message.bytes)});
    }
    if ((about != topic::crew && about != topic::refusal) || bytes.size() < 32) return;
    auto* j = job_of(*base::id_from_bytes<base::task_id>(bytes.first(32)));
    if (!j) return;
    j->traffic.received += message.bytes.size();
    if (about == topic::refusal) {
        on_refusal(*j, message.from, base::as_text(bytes.subspan(32)));
    } else if (j->crew) {
        tell_crew(*j, training::crew_message{message.from, {bytes.begin() + 32, bytes.end()}});
    }
}

void node_logic::state::on_introduction(const base::node_id& from,
                                        const base::byte_vector& certificate) {
    if (!p2p::verify_role_certificate(from, p2p::key_role::message, certificate)) {
        return say(log_level::warn,
                   "peer " + from.brief() +
                       " introduced itself with a key that its identity did not certify");
    }
    certificates_[from] = certificate;
    tell_crews(training::member_up{from, certificate});
}

void node_logic::state::on_refusal(held_job& j, const base::node_id& from,
                                   std::string_view reason) {
    if (reason.size() > 1024 || j.refusals.size() >= training::crew_members_max) return;
    std::string line(reason);
    std::replace_if(
        line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
    std::erase_if(j.refusals, [&](const refusal& r) { return r.node == from; });
    j.refusals.push_back({from, std::move(line)});
}

void node_logic::state::send(const base::node_id& to, topic about, base::byte_vector bytes) {
    // Lossy by contract: whoever needs an answer asks again.
    (void)tell_network(p2p::send_app{to, static_cast<std::uint8_t>(about), std::move(bytes)});
}

void node_logic::state::explain_dial(const p2p::dial_failed& failed) {
    // Once an address and reason: dials are repeated for ever.
    auto sentence = failed.ending.message();
    auto& last = dial_failures_[failed.address];
    if (last == sentence) return;
    say(log_level::warn,
        "cannot reach " + failed.address.text() + ": " + sentence + "; trying again");
    last = std::move(sentence);
    if (dial_failures_.size() > dial_failures_max) dial_failures_.erase(dial_failures_.begin());
}

void node_logic::state::on(p2p::network_event& e) {
    if (const auto* failed = std::get_if<p2p::dial_failed>(&e)) explain_dial(*failed);
    if (const auto* up = std::get_if<p2p::link_up>(&e)) dial_failures_.erase(up->address);
    if (const auto* read = std::get_if<p2p::piece_read>(&e)) count_served(*read);
    if (const auto done = tell_network(std::move(e)); !done) {
        say(log_level::warn, done.error().message());
    }
}

std::set<base::piece_run> node_logic::state::runs_wanted(const base::blob_ref& ref) const {
    std::set<base::piece_run> out;
    for (const auto& [id, j] : jobs_) {
        if (j.missing.contains(ref)) out.insert(base::piece_run{});
        for (const auto& pieces : runs_of(j, ref)) out.insert(pieces);
    }
    return out;
}

void node_logic::state::confirm(const base::blob_ref& ref, const base::piece_run& pieces) {
    const bool deliver =
        pieces.whole() && std::any_of(jobs_.begin(), jobs_.end(), [&](const auto& item) {
            const auto want = item.second.wanted.find({ref, pieces});
            return want != item.second.wanted.end() && want->second.deliver;
        });
    out_->push_back(confirm_blob{ref, deliver, pieces});
}

std::vector<base::node_id> node_logic::state::whom_to_ask(const base::blob_ref& ref,
                                                          const base::piece_run& pieces) const {
    std::set<base::node_id> out;
    for (const auto& [id, j] : jobs_) {
        if (pieces.whole() && j.missing.contains(ref)) {
            for (const auto& node : linked_nodes()) out.insert(node);
        }
        if (const auto want = j.wanted.find({ref, pieces}); want != j.wanted.end()) {
            out.insert(want->second.holders.begin(), want->second.holders.end());
        }
    }
    out.erase(self_.node());
    return {out.begin(), out.end()};
}

void node_logic::state::on(blob_looked_up& e) {
    const std::string code = used_up_ ? "traffic_used_up" : "no_room";
    if (used_up_ && !e.whole) e.no_room = used_up_->reason();
    for (auto& [id, j] : jobs_) {
        if (!j.missing.contains(e.ref) && runs_of(j, e.ref).empty()) continue;
        note_room(j, e);
        j.no_room_code = code;
    }
    if (e.whole) return confirm(e.ref, {});
    for (const auto& run : runs_wanted(e.ref)) {
        const auto pieces = run.within(e.ref);
        bool here = !e.have.empty() && pieces.fits(e.ref);
        for (auto i = pieces.first; here && i < pieces.first + pieces.count; ++i) here = e.have[i];
        if (here) {
            confirm(e.ref, run);
        } else if (!e.no_room.empty()) {
            run_is_gone(e.ref, run, e.no_room);
        } else if (auto holders = whom_to_ask(e.ref, run); holders.empty()) {
            run_is_gone(e.ref, run, "no other node is linked");
        } else if (const auto done =
                       tell_network(p2p::fetch_blob{e.ref, std::move(holders), e.have, run});
                   !done) {
            run_is_gone(e.ref, run, done.error().message());
        }
    }
}

/// Says once that a job waits for room on the disk, and once that it goes on.
void node_logic::state::note_room(held_job& j, const blob_looked_up& e) {
    if (e.whole) return;
    if (j.no_room.empty() != e.no_room.empty()) {
        say(e.no_room.empty() ? log_level::info : log_level::warn,
            "job " + j.id.brief() +
                (e.no_room.empty() ? " has room again" : " fetches nothing more: " + e.no_room));
    }
    j.no_room = e.no_room;
}

void node_logic::state::on(blob_confirmed& e) {
    for (auto& [id, j] : jobs_) {
        if (e.pieces.whole() && j.missing.erase(e.ref) != 0 && j.missing.empty()) {
            j.data_retry = base::time_point::max();
            if (j.phase == job_phase::fetching) start_crew(j, {});
        }
        // What is whole serves whoever waits for less of it.
        std::vector<training::blob_ready> ready;
        for (const auto& run : runs_of(j, e.ref)) {
            if (!e.pieces.whole() && run != e.pieces) continue;
            const auto want = j.wanted.extract({e.ref, run}).mapped();
            stop_fetching(e.ref, run);  // it may have been made here meanwhile
            const bool bytes = want.deliver && run.whole();
            ready.push_back({e.ref, bytes ? e.bytes : base::byte_vector{}, run});
        }
        for (auto& r : ready) tell_crew(j, std::move(r));
        if (e.pieces.whole()) mean_came(j, e.ref);
    }
}

void node_logic::state::on(blob_lost& e) {
    say(log_level::warn, "blob " + e.ref.root.brief() + ": " + e.reason);
    blob_is_gone(e.ref, e.reason);
}

void node_logic::state::on(compute_answer& e) {
    const bool stopped = !computing_ || computing_->task != e.task || computing_->item != e.item ||
                         computing_->stopped;
    if (computing_) say_work(!e.outcome ? "fails at " : "ends ");
    computing_.reset();
    end_team(e.outcome, stopped);
    auto* j = job_of(e.task);
    if (!j) return;
    if (j->exporting && j->phase == job_phase::crewed && j->rebuild && !j->rebuild->writing) {
        if (stopped) return;  // of the crew's last item; the rebuilding has not begun
        return rebuilt(*j, e.outcome);
    }
    if (!j->crew || stopped) return;
    if (e.outcome) {
        if (e.outcome->blob.size > 0) blob_of(*j, e.outcome->blob);
        tell_crew(*j, training::work_done{e.item, std::move(*e.outcome), e.computed});
    } else {
        tell_crew(*j, training::work_failed{e.item, e.outcome.error().message()});
    }
}

void node_logic::state::on(compute_states_lost& e) {
    auto* j = job_of(e.task);
    if (!j || !j->crew) return;
    tell_crew(*j, training::states_lost{});
    // The final model was on its way to the same end; a step in hand fails and is tried again.
    const bool in_hand = computing_ && computing_->task == e.task;
    if (j->rebuild && !j->rebuild->writing && !in_hand) begin_rebuilding(*j);
}

void node_logic::state::on(compute_progress& e) {
    if (auto* j = job_of(e.task); j && j->crew) {
        tell_crew(*j, training::work_progress{e.steps, e.steps_total});
    }
}

void node_logic::state::on(connection_seen& e) {
    for (auto& [id, j] : jobs_) {
        if (j.crew) tell_crew(j, training::links_measured{e.up, e.round_trip / 4});
    }
}

void node_logic::state::on(ledger_written& e) {
    tell_desk(ledger::written{e.request, std::move(e.outcome)});
}

void node_logic::state::on(machine_released& e) {
    if (released_ == e.level) return;
    released_ = e.level;
    for (auto& [id, j] : jobs_) tell_standing(j);
}

bool node_logic::state::pause_is_over() const {
    return paused_ && paused_until_ && *paused_until_ <= at_.wall;
}

void node_logic::state::on(node_tick&) {
    if (pause_is_over()) set_pause(false, {});
    if (at_.now < housekeeping_at_) return;
    housekeeping_at_ = at_.now + housekeeping_every;
    (void)tell_network(p2p::wall_time{at_.wall});
    for (auto& [id, j] : jobs_) {
        if (j.phase == job_phase::ended) continue;
        const auto so_far = j.crew ? j.crew->view().state : training::job_state::waiting;
        const bool open =
            so_far == training::job_state::waiting || so_far == training::job_state::running;
        if (open && j.task->deadline <= at_.wall) {
            end_job(j, training::job_state::failed, "deadline", "the deadline passed");
        } else if (open && at_.wall.seconds - j.accepted_at.seconds >
                               static_cast<std::int64_t>(config_.hours_per_job * 3600)) {
            end_job(j, training::job_state::failed, "owner_limit",
                    "accept.hours_per_job is used up at this node");
        }
    }
    keep_house();
}

void node_logic::state::set_pause(bool paused, std::optional<base::unix_time> until) {
    paused_ = paused;
    paused_until_ = until;
    remember("node", "paused_until",
             !paused
                 ? std::nullopt
                 : std::optional<std::string>(until ? std::to_string(until->seconds) : "forever"));
    activity_since_ = at_.wall;
    for (auto& [id, j] : jobs_) tell_standing(j);
}

void node_logic::state::tell_standing(held_job& j) {
    using training::crew_command;
    if (j.left) return tell_crew(j, crew_command::leave);
    if (released_ == release_level::ended) {
        tell_crew(j, crew_command::pause);
    } else if (released()) {
        tell_crew(j, crew_command::suspend);
    } else {
        // `resume` would begin an item before a `drain` behind it could be heard.
        tell_crew(j, draining_ ? crew_command::go_on : crew_command::resume);
    }
}

// The public face.

node_logic::node_logic(node_logic_config config, const p2p::identity& self, node_memory memory,
                       std::vector<ledger::open_offer> log_offers, moment at, base::rng rng)
    : state_(std::make_unique<state>(std::move(config), self, std::move(memory),
                                     std::move(log_offers), at, rng)) {}
node_logic::~node_logic() = default;

void node_logic::handle(moment at, node_event event, node_effects& out) {
    state_->enter(at, out);
    std::visit([&](auto& e) { state_->on(e); }, event);
    state_->settle();
}

base::time_point node_logic::next_deadline() const {
    return state_->next_deadline();
}

void node_logic::check() const {
    state_->network_.check();
    state_->desk_.check();
    for (const auto& [id, j] : state_->jobs_) {
        if (j.crew) j.crew->check();
        base::ensure((j.phase == job_phase::fetching) == !j.crew || j.phase == job_phase::ended,
                     "a job has a crew once its data is here");
    }
}

base::result<void> node_logic::cancel(moment at, std::string_view note, node_effects& out) {
    state_->enter(at, out);
    const auto apply = [&]() -> base::result<void> {
        TEQUIO_TRY(const auto parsed, base::parse_signed_note(note));
        TEQUIO_TRY(const auto c, training::parse_cancellation(parsed));
        if (!state_->job_of(c.task))
            return fail(errc::not_found, "no job " + c.task.hex() + " here");
        if (view_of(*state_->job_of(c.task), state_->network_).crew.state ==
            training::job_state::done) {
            return fail(errc::refused, "job " + c.task.brief() + " is done already");
        }
        return state_->apply_cancellation(c, std::string(note));
    };
    auto done = apply();
    state_->settle();
    return done;
}

base::result<void> node_logic::leave(moment at, const base::task_id& id, node_effects& out) {
    state_->enter(at, out);
    auto* j = state_->job_of(id);
    if (j) {
        if (j->crew) state_->tell_crew(*j, training::crew_command::leave);
        j->left = true;
        state_->remember("job/" + id.hex(), "left", "1");
        out.push_back(close_compute{id});
    }
    state_->settle();
    if (!j) return fail(errc::not_found, "no job " + id.hex() + " here");
    return {};
}

void node_logic::pause(moment at, std::optional<base::unix_time> until, node_effects& out) {
    state_->enter(at, out);
    state_->set_pause(true, until);
    state_->settle();
}

void node_logic::resume(moment at, node_effects& out) {
    state_->enter(at, out);
    state_->draining_ = false;
    state_->set_pause(false, {});
    state_->settle();
}

void node_logic::drain(moment at, node_effects& out) {
    state_->enter(at, out);
    state_->draining_ = true;
    state_->tell_crews(training::crew_command::drain);
    state_->activity_since_ = at.wall;
    state_->settle();
}

owner_wish node_logic::owner() const {
    return {state_->paused_, state_->paused_until_, state_->draining_};
}

void node_logic::set_policy(const node_logic_config& policy) {
    state_->config_.accept = policy.accept;
    state_->config_.jobs_per_submitter = policy.jobs_per_submitter;
    state_->config_.hours_per_job = policy.hours_per_job;
    state_->config_.disk = policy.disk;
}

void node_logic::set_disk(const disk_use& use) {
    state_->disk_use_ = use;
}

void node_logic::set_swarm(const base::swarm_id& swarm) {
    state_->config_.swarm = swarm;
}

bool node_logic::drained() const {
    return state_->draining_ && !state_->computing_ && state_->desk_.waiting() == 0;
}

base::result<base::task_id> node_logic::find(std::string_view prefix) const {
    std::optional<base::task_id> found;
    for (const auto& [id, j] : state_->jobs_) {
        if (!id.hex().starts_with(prefix)) continue;
        if (found)
            return fail(errc::not_found, "more than one job begins with " + std::string(prefix));
        found = id;
    }
    if (!found || prefix.size() < 4) {
        return fail(errc::not_found, "no job " + std::string(prefix) +
                                         " at this node; `tequio job list` shows them");
    }
    return *found;
}

std::vector<job_view> node_logic::jobs() const {
    std::vector<job_view> out;
    for (const auto& [id, j] : state_->jobs_) out.push_back(view_of(j, state_->network_));
    return out;
}

base::result<job_view> node_logic::job(const base::task_id& id) const {
    auto* j = state_->job_of(id);
    if (!j) return fail(errc::not_found, "no job " + id.hex() + " at this node");
    return view_of(*j, state_->network_);
}

base::result<std::string> node_logic::task_note(const base::task_id& id) const {
    auto* j = state_->job_of(id);
    if (!j) return fail(errc::not_found, "no job " + id.hex() + " at this node");
    return j->note;
}

activity_view node_logic::activity() const {
    activity_view v;
    v.since = state_->activity_since_;
    if (!state_->config_.exact) {
        v.state = "refusing";
        v.reason_code = "self_test_failed";
        v.reason = "this machine failed the exactness self-test; see `tequio doctor`";
    } else if (state_->paused_) {
        v.state = "paused";
        v.reason_code = "paused_by_owner";
        v.reason = "paused by its owner";
        v.until = state_->paused_until_;
    } else if (state_->used_up_) {
        v.state = "paused";
        v.reason_code = "traffic_used_up";
        v.reason = state_->used_up_->reason();
        v.until = state_->used_up_->until;
    } else if (state_->draining_) {
        v.state = "draining";
        v.reason_code = "draining";
        v.reason = state_->computing_ ? "finishing the work in hand"
                                      : "drained: takes no work until `tequio resume`";
    } else if (state_->computing_) {
        v.state = "working";
        v.reason_code = "job";
        v.reason = "working on job " + state_->computing_->task.brief();
    } else {
        v.state = "idle";
        v.reason_code = "no_work";
        v.reason = state_->jobs_.empty() ? "no job is here" : "no job has work for this node";
    }
    return v;
}

const p2p::network& node_logic::network() const {
    return state_->network_;
}

}  // namespace tequio::node
