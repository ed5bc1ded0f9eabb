// Tasks and cancellations as they arrive: what is taken up, what is passed on, what is refused and
// why.

#include "node/core/node_state.hpp"

namespace tequio::node {
namespace {

constexpr std::size_t cancelled_early_max = 1024;

p2p::judge_note judged(const p2p::note_received& note, p2p::note_verdict verdict,
                       std::string reason = {}) {
    return {note.id, verdict, std::move(reason)};
}

}  // namespace

void node_logic::state::on_note(p2p::note_received& note) {
    switch (static_cast<note_kind>(note.kind)) {
        case note_kind::task:
            (void)tell_network(judge_task(note));
            return;
        case note_kind::cancellation:
            (void)tell_network(judge_cancellation(note));
            return;
    }
    (void)tell_network(
        judged(note, p2p::note_verdict::ignore, "a kind of note that this version does not know"));
}

base::result<void> node_logic::state::acceptable(const training::task& t,
                                                 const base::task_id& id) const {
    training::task_circumstances here{at_.wall, config_.swarm, config_.exactness,
                                      jobs_.contains(id) || forgotten_.contains(id)};
    TEQUIO_CHECK(training::task_acceptable(t, here, config_.accept));
    if (!t.trust.accept.empty() && std::find(t.trust.accept.begin(), t.trust.accept.end(),
                                             self_.node()) == t.trust.accept.end()) {
        return fail(errc::refused, "trust.accept does not name this node");
    }
    std::uint64_t of_submitter = 0;
    std::size_t open_jobs = 0;
    for (const auto& [other, j] : jobs_) {
        open_jobs += is_open(j) ? 1 : 0;
        of_submitter += is_open(j) && !j.left && j.task->submitter == t.submitter ? 1 : 0;
    }
    if (of_submitter >= config_.jobs_per_submitter) {
        return fail(errc::refused, "accept.jobs_per_submitter is " +
                                       std::to_string(config_.jobs_per_submitter) +
                                       ", and so many of this submitter are here");
    }
    if (open_jobs >= config_.jobs_max)
        return fail(errc::refused, "this node has as many jobs as it keeps");
    if (!config_.exact) return fail(errc::refused, "this machine failed the exactness self-test");
    if (used_up_) return fail(errc::refused, used_up_->reason());
    return fits_disk(t);
}

base::result<void> node_logic::state::fits_disk(const training::task& t) const {
    return has_room(disk_need(t), t.submitter);
}

base::result<void> node_logic::state::has_room(std::uint64_t bytes,
                                               const base::public_key& submitter) const {
    disk_promised promised;
    for (const auto& [other, j] : jobs_) {
        auto need = is_open(j) || j.exporting
                        ? disk_need(*j.task)
                        : disk_need_ended(*j.task, view_of(j, network_).crew.round);
        if (j.crew) {
            for (const auto& ref : j.crew->view().full_states) need += ref.size;
        }
        promised.all += need;
        if (j.task->submitter == submitter) promised.of_submitter += need;
    }
    const auto why = does_not_fit(bytes, promised, config_.disk, disk_use_);
    return why.empty() ? base::result<void>() : fail(errc::refused, why);
}

p2p::judge_note node_logic::state::judge_task(const p2p::note_received& note) {
    const auto text = base::as_text(note.bytes);
    auto task = training::parse_task(text);
    if (!task) {
        say(log_level::warn,
            "a task from peer " + note.from.brief() + " is refused: " + task.error().message());
        return judged(note, p2p::note_verdict::reject, task.error().message());
    }
    const auto id = training::task_id_of(*task);
    if (const auto good = acceptable(*task, id); !good) {
        const auto& error = good.error();
        if (!error.is(training::errc::task_replayed)) {
            say(log_level::info, "task " + id.brief() + " is refused: " + error.message());
            base::byte_vector bytes(id.bytes.begin(), id.bytes.end());
            base::byte_writer(bytes).raw(base::as_bytes(error.message().substr(0, 1024)));
            // To every peer, not to the sender alone: the submitter's node may be any of them.
            for (const auto& node : linked_nodes()) send(node, topic::refusal, bytes);
        }
        // A good task that only this owner does not want is still passed on.
        const bool own_choice =
            error.is(errc::refused) || error.is(training::errc::refused_by_policy);
        return judged(note, own_choice ? p2p::note_verdict::accept : p2p::note_verdict::ignore,
                      error.message());
    }
    take_up(std::move(*task), note.id, text);
    return judged(note, p2p::note_verdict::accept);
}

void node_logic::state::take_up(training::task task, const base::digest& note_id,
                                std::string_view note) {
    const auto id = training::task_id_of(task);
    auto& j = add_job(std::move(task), std::string(note), at_.wall);
    j.note_id = note_id;
    remember("job/" + id.hex(), "note", j.note);
    remember("job/" + id.hex(), "accepted", std::to_string(at_.wall.seconds));
    say(log_level::info, "task " + id.brief() + " (" + j.task->name + ") is taken up");
    if (const auto early = cancelled_early_.extract({id, j.task->submitter})) {
        if (const auto parsed = base::parse_signed_note(early.mapped())) {
            if (const auto c = training::parse_cancellation(*parsed))
                (void)apply_cancellation(*c, early.mapped());
        }
    }
    if (is_open(j)) look_for_data(j);
}

p2p::judge_note node_logic::state::judge_cancellation(const p2p::note_received& note) {
    const std::string text(base::as_text(note.bytes));
    const auto parsed = base::parse_signed_note(text);
    const auto c = parsed ? training::parse_cancellation(*parsed)
                          : base::result<training::cancellation>(parsed.error());
    if (!c) return judged(note, p2p::note_verdict::reject, c.error().message());
    if (!job_of(c->task)) {
        // It may have overtaken its task.
        if (cancelled_early_.size() < cancelled_early_max) {
            cancelled_early_.emplace(std::pair(c->task, c->submitter), text);
        }
        return judged(note, p2p::note_verdict::accept);
    }
    if (const auto done = apply_cancellation(*c, text); !done) {
        // Whoever passed it on need not know the task, and is not to blame.
        return judged(note, p2p::note_verdict::ignore, done.error().message());
    }
    return judged(note, p2p::note_verdict::accept);
}

base::result<void> node_logic::state::apply_cancellation(const training::cancellation& c,
                                                         const std::string& note) {
    auto* j = job_of(c.task);
    TEQUIO_CHECK(training::cancels(c, *j->task));
    // What is over stays as it ended: a model that is done is not taken back.
    if (is_open(*j)) {
        remember("job/" + c.task.hex(), "cancelled", note);
        end_job(*j, training::job_state::cancelled, "cancelled",
                c.reason.empty() ? "cancelled by its submitter"
                                 : "cancelled by its submitter: " + c.reason);
    }
    // Again is no fault: the network knows the note already.
    (void)tell_network(p2p::publish_note{static_cast<std::uint8_t>(note_kind::cancellation),
                                         {note.begin(), note.end()}});
    return {};
}

base::result<base::task_id> node_logic::submit(moment at, std::string_view note,
                                               node_effects& out) {
    state_->enter(at, out);
    const auto apply = [&]() -> base::result<base::task_id> {
        TEQUIO_TRY(auto task, training::parse_task(note));
        const auto id = training::task_id_of(task);
        TEQUIO_CHECK(state_->acceptable(task, id));
        const base::byte_vector bytes(note.begin(), note.end());
        auto& j = state_->add_job(std::move(task), std::string(note), at.wall);
        j.note_id = p2p::note_id_of(static_cast<std::uint8_t>(note_kind::task), bytes);
        // Remembered before it is spread: the effects stand in this order.
        state_->remember("job/" + id.hex(), "note", j.note);
        state_->remember("job/" + id.hex(), "accepted", std::to_string(at.wall.seconds));
        state_->remember("job/" + id.hex(), "own", "1");
        j.own = true;
        if (const auto spread = state_->tell_network(
                p2p::publish_note{static_cast<std::uint8_t>(note_kind::task), bytes});
            !spread) {
            state_->remember("job/" + id.hex(), "note", std::nullopt);
            state_->remember("job/" + id.hex(), "accepted", std::nullopt);
            state_->remember("job/" + id.hex(), "own", std::nullopt);
            state_->jobs_.erase(id);
            return spread.error();
        }
        state_->look_for_data(j);
        return id;
    };
    auto id = apply();
    state_->settle();
    return id;
}

}  // namespace tequio::node
