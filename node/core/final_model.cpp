// The final model of a job that is done: written from the state that the worker holds, or else
// rebuilt from S(0) by the stored means, slice by slice where the model is divided.

#include "base/text.hpp"
#include "node/core/node_state.hpp"
#include "training/slices.hpp"

namespace tequio::node {
namespace {

constexpr auto export_retry_after = std::chrono::seconds(30);

/// Into as few slices as this room allows, or what is missing.
base::result<std::uint32_t> division_for(const training::task& task, const slice_room& room) {
    const auto max =
        std::min<std::uint64_t>(training::slices_max(task.work), training::crew_slices_max);
    if (max == 1 || !room.need_bytes) return 1;
    std::uint64_t largest = 0;
    for (std::uint32_t count = 1; count <= max; ++count) {
        largest = 0;
        for (std::uint32_t i = 0; i < count; ++i) {
            largest = std::max(largest, room.need_bytes(task, {i, count}));
        }
        if (largest <= room.memory_bytes) return count;
    }
    return fail(errc::refused, "the largest of " + std::to_string(max) + " slices needs " +
                                   base::human_size(largest) + ", and " +
                                   base::human_size(room.memory_bytes) + " are allowed here");
}

}  // namespace

void node_logic::state::crew_finished(held_job& j, const training::job_finished& finished) {
    say(log_level::info,
        "job " + j.id.brief() +
            (finished.state == training::job_state::done ? " is done" : " failed") +
            (finished.reason.empty() ? "" : ": " + finished.reason));
    note_end(j);
    if (finished.state != training::job_state::done || !j.files.empty() || j.exporting) {
        out_->push_back(close_compute{j.id});
        return;
    }
    export_whole(j);
}

void node_logic::state::export_whole(held_job& j) {
    j.exporting = true;
    j.export_retry = base::time_point::max();
    auto facts = j.crew->view(true);
    const auto digest = facts.state_digest;
    out_->push_back(export_model{j.id, std::move(facts), {}, digest});
}

void node_logic::state::export_failed(held_job& j, const std::string& what) {
    say(log_level::warn, "job " + j.id.brief() + ": " + what + "; trying again in " +
                             std::to_string(export_retry_after.count()) + " s");
    j.exporting = false;
    j.rebuild.reset();
    j.export_retry = at_.now + export_retry_after;
}

void node_logic::state::export_again(held_job& j) {
    // What ended the first attempt may have ended the worker too.
    out_->push_back(open_compute{j.id, j.task});
    export_whole(j);
}

void node_logic::state::begin_rebuilding(held_job& j) {
    const auto count = division_for(*j.task, config_.room);
    if (!count) {
        // Whoever has more room makes it; here no time will help.
        say(log_level::warn, "job " + j.id.brief() + ": the final model cannot be made here: " +
                                 count.error().message() +
                                 "; raise limits.idle.memory, or fetch it from a larger node");
        j.exporting = false;
        out_->push_back(close_compute{j.id});
        return;
    }
    j.rebuild.emplace().slice.count = *count;
    rebuild_next(j);
}

void node_logic::state::rebuild_next(held_job& j) {
    auto& r = *j.rebuild;
    training::work_item item;
    item.slice = r.slice;
    if (r.prepared) {
        if (r.applied == j.task->work.train.rounds) return write_slice(j);
        const auto mean = j.crew->view(true).chronicle.at(r.applied).mean;
        if (r.mean != mean) {
            r.mean = mean;
            std::vector<base::node_id> holders;
            for (const auto& m : j.crew->view().members) {
                if (m.present && m.rounds > r.applied && m.means_from <= r.applied) {
                    holders.push_back(m.node);
                }
            }
            return fetch(j, {mean, std::move(holders)});
        }
        r.mean.reset();
        item.kind = training::work_kind::apply;
        item.round = {r.applied};
        item.state = r.state;
        item.inputs = {mean};
    }
    j.waiting_work = std::move(item);
}

void node_logic::state::mean_came(held_job& j, const base::blob_ref& ref) {
    if (j.rebuild && j.rebuild->mean == ref) rebuild_next(j);
}

void node_logic::state::mean_is_gone(held_job& j, const base::blob_ref& ref,
                                     const std::string& reason) {
    if (!j.rebuild || j.rebuild->mean != ref) return;
    export_failed(j, "the final model cannot be rebuilt here without the mean of round " +
                         std::to_string(j.rebuild->applied) + ": " + reason);
}

void node_logic::state::rebuilt(held_job& j, base::result<training::work_outcome>& outcome) {
    if (!outcome) {
        return export_failed(
            j, "the final model cannot be rebuilt here: " + outcome.error().message());
    }
    auto& r = *j.rebuild;
    if (r.prepared) ++r.applied;
    r.prepared = true;
    r.state = outcome->state_after;
    r.tensors = std::move(outcome->tensors);
    rebuild_next(j);
}

/// One slice is where it should be. What the slices come to together is compared before the last
/// one is written: then a file with a wrong slice is never called the model.
void node_logic::state::write_slice(held_job& j) {
    auto& r = *j.rebuild;
    auto facts = j.crew->view(true);
    auto expected = r.state;
    if (r.slice.whole()) {
        expected = facts.state_digest;
    } else {
        r.done.push_back(std::move(r.tensors));
        if (r.done.size() == r.slice.count) {
            const auto all = training::join_state_digests(j.task->work, r.done);
            if (!all || *all != facts.state_digest) {
                return export_failed(j,
                                     "the slices that were rebuilt here are not the state of "
                                     "the chronicle: run tequio doctor");
            }
        }
    }
    r.writing = true;
    out_->push_back(export_model{j.id, std::move(facts), r.slice, expected});
}

void node_logic::state::on(model_exported& e) {
    auto* j = job_of(e.task);
    if (!j || !j->exporting) return;
    if (e.files.empty()) {
        if (!e.failure.empty()) {
            // The worker holds another state, as after a restart.
            if (!j->rebuild) return begin_rebuilding(*j);
            return export_failed(*j, "the final model cannot be written: " + e.failure);
        }
        auto& r = *j->rebuild;
        const model_rebuild before = std::move(r);
        r = {};
        r.slice = {before.slice.index + 1, before.slice.count};
        r.done = before.done;
        return rebuild_next(*j);
    }
    j->exporting = false;
    j->rebuild.reset();
    j->files = e.files;
    for (const auto& [name, ref] : e.files)
        remember("job/" + e.task.hex(), "file:" + name, ref.text());
    out_->push_back(close_compute{e.task});
    say(log_level::info, "job " + e.task.brief() + ": the model can be fetched");
}

}  // namespace tequio::node
