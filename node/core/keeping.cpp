// Keeping: when a job ended, what is let go after it, and when all of it is forgotten (DESIGN.md
// section 11). Losing what somebody may want is worse than keeping it: every doubt keeps.

#include <algorithm>

#include "base/text.hpp"
#include "node/core/node_state.hpp"

namespace tequio::node {
namespace {

/// A clock that is wrong for a while, as before its first synchronisation, ends nothing.
constexpr auto expired_for = std::chrono::minutes(10);
/// A job that others keep stays this long for whoever looks at it here (guess).
constexpr std::int64_t spare_after_end_seconds = base::day_seconds;
/// What a job's messages come to in minutes is not worth a write each time.
constexpr std::uint64_t traffic_worth_keeping = std::uint64_t{1} << 20;
/// Ids of forgotten jobs are remembered until their deadlines, so many at most (guess: 2 MiB).
constexpr std::size_t forgotten_max = 16384;

/// The members of its crew, this node included, that are here and hold the whole chronicle with
/// every mean.
std::set<base::node_id> holders_of(const held_job& j, const base::node_id& self) {
    std::set<base::node_id> out{self};
    if (!j.crew) return out;
    const auto all = j.task->work.train.rounds + 1;
    for (const auto& m : j.crew->view().members) {
        if (m.present && m.rounds == all && m.means_from == 0) out.insert(m.node);
    }
    return out;
}

}  // namespace

stored_job stored_of(const held_job& j, const p2p::network& network) {
    stored_job out;
    out.id = j.id;
    out.task = j.task;
    if (j.crew) out.chronicle = j.crew->view(true).chronicle;
    out.files = j.files;
    if (j.crew) out.full_states = j.crew->view().full_states;
    out.state = job_state_name(view_of(j, network).crew.state);
    out.open = is_open(j) || j.exporting;
    if (!out.open) out.ended = j.ended_at;
    return out;
}

void node_logic::state::keep_house() {
    std::vector<base::task_id> over;
    for (auto& [id, j] : jobs_) {
        keep_traffic(j, traffic_worth_keeping);
        if (is_open(j) || j.exporting) {
            j.expired_since.reset();
            continue;
        }
        note_end(j);
        drop_contributions(j);
        if (const auto why = may_be_forgotten(j); !why.empty()) {
            say(log_level::info, "job " + id.brief() + " (" + j.task->name +
                                     ") is forgotten here: " + why + "; its receipts stay");
            over.push_back(id);
        }
    }
    for (const auto& id : over) forget_job(id);
    for (auto it = forgotten_.begin(); it != forgotten_.end();) {
        // Past its deadline a task is refused without being known.
        if (it->second > at_.wall) {
            ++it;
            continue;
        }
        remember(std::string(forgotten_bucket), it->first.hex(), std::nullopt);
        it = forgotten_.erase(it);
    }
}

void node_logic::state::note_end(held_job& j) {
    if (j.ended_at) return;
    j.ended_at = at_.wall;
    remember("job/" + j.id.hex(), "ended", std::to_string(at_.wall.seconds));
    keep_traffic(j);
}

void node_logic::state::drop_contributions(held_job& j) {
    if (j.contributions_dropped ||
        at_.wall.seconds - j.ended_at->seconds < contributions_after_end_seconds) {
        return;
    }
    j.contributions_dropped = true;
    for (const auto& [ref, kind] : blobs_of(stored_of(j, network_))) {
        if (goes_after_end(kind)) forget_blob(j, ref);
    }
}

std::string node_logic::state::may_be_forgotten(held_job& j) {
    if (kept_until(*j.task, *j.ended_at) > at_.wall) {
        j.expired_since.reset();
        const bool others_have_it =
            !j.own && at_.wall.seconds - j.ended_at->seconds >= spare_after_end_seconds &&
            is_spare_copy(j.id, self_.node(), holders_of(j, self_.node()), j.task->keep.copies);
        return others_have_it
                   ? std::to_string(j.task->keep.copies) + " other nodes keep it (keep.copies)"
                   : "";
    }
    if (!j.expired_since) j.expired_since = at_.now;
    if (at_.now - *j.expired_since < expired_for) return "";
    return "its keep.days, " + std::to_string(j.task->keep.days) + ", are over";
}

void node_logic::state::forget_job(const base::task_id& id) {
    auto& j = jobs_.at(id);
    const auto hex = id.hex();
    links_.set(id, {});
    // First of all, so that a crash in between leaves blobs without a job and never a job without
    // its blobs.
    if (j.task->deadline > at_.wall) {
        if (forgotten_.size() >= forgotten_max) {
            remember(std::string(forgotten_bucket), forgotten_.begin()->first.hex(), std::nullopt);
            forgotten_.erase(forgotten_.begin());
        }
        forgotten_[id] = j.task->deadline;
        remember(std::string(forgotten_bucket), hex, std::to_string(j.task->deadline.seconds));
    }
    forget_memory(hex);
    if (j.crew) out_->push_back(close_compute{id});
    stop_fetching_data(j);
    for (const auto& [what, want] : std::exchange(j.wanted, {})) {
        stop_fetching(what.first, what.second);
    }
    // Cost: the chronicles of all jobs, once in a job's life.
    std::map<base::blob_ref, blob_kind> others;
    for (const auto& [other, held] : jobs_) {
        if (other != id) others.merge(blobs_of(stored_of(held, network_)));
    }
    auto* twin = twin_of(j);
    for (const auto& [ref, kind] : blobs_of(stored_of(j, network_))) {
        if (others.contains(ref)) continue;
        if (twin && goes_after_end(kind)) {
            twin->dropped_by_twin.insert(ref);
        } else {
            out_->push_back(drop_blob{ref});
        }
    }
    std::erase_if(job_of_blob_, [&](const auto& b) { return b.second == id; });
    jobs_.erase(id);
}

void node_logic::state::forget_memory(const std::string& hex) {
    for (const char* bucket : job_buckets) out_->push_back(forget_bucket{bucket + hex});
}

void node_logic::state::restore_forgotten(const node_memory& memory) {
    const std::string bucket(forgotten_bucket);
    for (auto it = memory.lower_bound({bucket, ""});
         it != memory.end() && it->first.first == bucket; ++it) {
        const auto id = base::parse_id<base::task_id>(it->first.second);
        const auto deadline = base::parse_i64(it->second);
        if (id && deadline) forgotten_[*id] = {*deadline};
    }
}

// The public face.

std::vector<stored_job> node_logic::stored_jobs() const {
    std::vector<stored_job> out;
    for (const auto& [id, j] : state_->jobs_) out.push_back(stored_of(j, state_->network_));
    return out;
}

base::result<void> node_logic::may_prune(const base::task_id& id) const {
    const auto* j = state_->job_of(id);
    if (!j) return fail(errc::not_found, "no job " + id.hex() + " at this node");
    if (is_open(*j) || j->exporting) {
        return fail(errc::refused, "job " + id.brief() +
                                       " is not over, and needs what it has; `tequio job leave` or "
                                       "`tequio job cancel` end it");
    }
    return {};
}

void node_logic::prune(moment at, const store_survey& survey, node_effects& out) {
    state_->enter(at, out);
    std::set<base::blob_ref> needed;
    for (const auto& share : survey.jobs) {
        const auto* j = state_->job_of(share.id);
        // It may have begun to need something since the survey was made.
        if (!share.expired || !j || is_open(*j) || j->exporting) continue;
        state_->say(log_level::info, "job " + share.id.brief() + " (" + share.name +
                                         ") is forgotten here: pruned; its receipts stay");
        state_->forget_job(share.id);
    }
    for (const auto& [id, j] : state_->jobs_) {
        const auto data = training::task_blobs(*j.task);
        needed.insert(data.begin(), data.end());
        for (const auto& [what, want] : j.wanted) needed.insert(what.first);
    }
    for (const auto& blob : survey.spare) {
        if (!needed.contains(blob.ref)) out.push_back(drop_blob{blob.ref});
    }
    state_->settle();
}

}  // namespace tequio::node
