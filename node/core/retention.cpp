#include "node/core/retention.hpp"

#include <algorithm>

#include "base/sha256.hpp"
#include "base/text.hpp"
#include "training/cost.hpp"
#include "training/full_state.hpp"

namespace tequio::node {
namespace {

/// `job submit` hands over blobs before their task.
constexpr std::int64_t unowned_seconds = 3600;
constexpr std::uint64_t need_max = std::uint64_t{1} << 62;

/// Rounds whose contributions may be asked for (training/crew keeps `settle` + 2 closed ones).
std::uint64_t rounds_of_contributions(const training::task& task) {
    return task.trust.settle + 3;
}

std::uint64_t sum_of(std::uint64_t a, std::uint64_t b) {
    return a >= need_max || b >= need_max - a ? need_max : a + b;
}

std::uint64_t times(std::uint64_t a, std::uint64_t b) {
    return a != 0 && b > need_max / a ? need_max : a * b;
}

base::digest rank_of(const base::task_id& task, const base::node_id& node) {
    return base::sha256_stream()
        .add("tequio/keep/v1\n")
        .add(base::byte_view(task.bytes))
        .add(base::byte_view(node.bytes))
        .finish();
}

/// What of one job may go.
struct job_verdict {
    bool all = false;            ///< the job is forgotten
    bool contributions = false;  ///< it needs these no more, nor full states
};

job_verdict judge(const stored_job& job, base::unix_time now, const prune_scope& scope) {
    if (job.open || (scope.only && *scope.only != job.id)) return {};
    job_verdict v;
    v.all = scope.only == job.id || (job.ended && kept_until(*job.task, *job.ended) <= now);
    v.contributions =
        v.all || (job.ended && job.ended->seconds + contributions_after_end_seconds <= now.seconds);
    return v;
}

/// Sizes that results of open jobs have: such a blob may be one that no chronicle names yet.
std::set<std::uint64_t> sizes_under_way(const std::vector<stored_job>& jobs) {
    std::set<std::uint64_t> sizes;
    for (const auto& job : jobs) {
        if (!job.open) continue;
        const auto cost = training::cost_of(job.task->work);
        sizes.insert({cost.contribution_bytes, cost.mean_bytes, full_state_bytes_of(*job.task)});
    }
    return sizes;
}

}  // namespace

bool goes_after_end(blob_kind kind) {
    return kind == blob_kind::contribution || kind == blob_kind::full_state;
}

const char* blob_kind_name(blob_kind kind) {
    switch (kind) {
        case blob_kind::data:
            return "data";
        case blob_kind::contribution:
            return "contributions";
        case blob_kind::mean:
            return "means";
        case blob_kind::state:
            return "states";
        case blob_kind::other:
            return "other";
        case blob_kind::full_state:
            return "full_states";
    }
    return "unknown";
}

std::map<base::blob_ref, blob_kind> blobs_of(const stored_job& job) {
    std::map<base::blob_ref, blob_kind> out;
    for (const auto& ref : training::task_blobs(*job.task)) out.emplace(ref, blob_kind::data);
    for (const auto& [name, ref] : job.files) out.emplace(ref, blob_kind::state);
    for (const auto& ref : job.full_states) out.emplace(ref, blob_kind::full_state);
    const auto size = training::cost_of(job.task->work).contribution_bytes;
    const auto kept = rounds_of_contributions(*job.task);
    for (const auto& entry : job.chronicle) {
        const auto text = training::chronicle_entry_text(entry);
        out.emplace(base::blob_ref_of(base::as_bytes(text)), blob_kind::other);
        if (entry.closes()) continue;
        out.emplace(entry.mean, blob_kind::mean);
        if (entry.round.value + kept < job.chronicle.size()) continue;
        for (const auto& root : entry.contributions) {
            out.emplace(base::blob_ref{root, size}, blob_kind::contribution);
        }
    }
    return out;
}

base::unix_time kept_until(const training::task& task, base::unix_time ended) {
    return {ended.seconds + static_cast<std::int64_t>(task.keep.days) * base::day_seconds};
}

bool is_spare_copy(const base::task_id& task, const base::node_id& self,
                   const std::set<base::node_id>& holders, std::uint64_t copies) {
    const auto own = rank_of(task, self);
    const auto before = std::count_if(holders.begin(), holders.end(), [&](const auto& node) {
        return node != self && rank_of(task, node) < own;
    });
    return copies > 0 && static_cast<std::uint64_t>(before) >= copies;
}

std::uint64_t full_state_bytes_of(const training::task& task) {
    const auto parameters = training::cost_of(task.work).parameters;
    return training::full_state_bytes(parameters, training::optimizer_arrays(task.work.train));
}

std::uint64_t full_state_spacing_of(const training::task& task) {
    return training::full_state_spacing(task.keep.state_every, full_state_bytes_of(task),
                                        training::cost_of(task.work).mean_bytes);
}

std::uint64_t disk_need(const training::task& task) {
    const auto& train = task.work.train;
    const auto open_rounds = std::min(train.rounds, rounds_of_contributions(task));
    return sum_of(
        disk_need_ended(task, train.rounds),
        times(times(open_rounds, train.lanes), training::cost_of(task.work).contribution_bytes));
}

std::uint64_t disk_need_ended(const training::task& task, std::uint64_t rounds) {
    const auto cost = training::cost_of(task.work);
    // A line of 77 bytes a lane and some 400 more (training/chronicle.hpp).
    const auto text = times(sum_of(rounds, 1), 400 + 77 * task.work.train.lanes);
    auto need = sum_of(training::task_blob_bytes(task), text);
    need = sum_of(need, times(rounds, cost.mean_bytes));
    return rounds < task.work.train.rounds ? need
                                           : sum_of(need, times(cost.parameters, sizeof(float)));
}

std::string does_not_fit(std::uint64_t need, const disk_promised& promised,
                         const disk_limits& limits, const disk_use& use) {
    const auto size = [](std::uint64_t bytes) { return base::human_size(bytes); };
    if (sum_of(promised.of_submitter, need) > limits.submitter_bytes) {
        return "accept.disk_per_submitter is " + size(limits.submitter_bytes) +
               "; the job may need " + size(need) + ", this submitter's others here " +
               size(promised.of_submitter);
    }
    // What nobody was promised, such as another program's blobs, is there all the same.
    const auto taken = std::max(promised.all, use.used);
    if (sum_of(taken, need) > limits.limit_bytes) {
        return "limits.disk is " + size(limits.limit_bytes) + "; the job may need " + size(need) +
               ", and " + size(taken) + " are used or promised to others";
    }
    if (limits.keep_free <= 0 || use.capacity == 0) return "";
    const auto kept =
        static_cast<std::uint64_t>(limits.keep_free * static_cast<double>(use.capacity));
    const auto to_come = promised.all - std::min(promised.all, use.used);
    if (sum_of(sum_of(need, to_come), kept) > use.available) {
        return "limits.keep_free is " + base::shortest(limits.keep_free * 100) + " % of " +
               size(use.capacity) + "; the job may need " + size(need) + ", the others " +
               size(to_come) + " more, and " + size(use.available) + " are free";
    }
    return "";
}

store_survey survey_store(const std::vector<stored_job>& jobs,
                          const std::vector<stored_blob>& blobs, base::unix_time now,
                          const prune_scope& scope) {
    store_survey out;
    struct claim {
        std::size_t job = 0;  ///< the first that names it
        blob_kind kind = blob_kind::other;
        bool goes = true;  ///< all that name it let it go
    };
    std::map<base::blob_ref, claim> claims;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        const auto& job = jobs[i];
        const auto verdict = judge(job, now, scope);
        job_share share{job.id, job.task->name, job.state, job.ended, {}, {}, 0, 0, verdict.all};
        if (job.ended) share.kept_until = kept_until(*job.task, *job.ended);
        out.jobs.push_back(std::move(share));
        for (const auto& [ref, kind] : blobs_of(job)) {
            auto& c = claims.try_emplace(ref, claim{i, kind, true}).first->second;
            c.goes = c.goes && (verdict.all || (verdict.contributions && goes_after_end(kind)));
        }
    }
    const auto under_way = sizes_under_way(jobs);
    for (const auto& blob : blobs) {
        out.used += blob.bytes;
        const auto it = claims.find(blob.ref);
        bool goes = false;
        if (it != claims.end()) {
            auto& share = out.jobs[it->second.job];
            share.bytes[static_cast<std::size_t>(it->second.kind)] += blob.bytes;
            share.total += blob.bytes;
            goes = it->second.goes;
            if (goes) share.prunable += blob.bytes;
        } else {
            const bool fresh = under_way.contains(blob.ref.size) ||
                               now.seconds - blob.written.seconds < unowned_seconds;
            out.unowned += blob.bytes;
            if (fresh) out.unowned_fresh += blob.bytes;
            goes = !fresh && !scope.only;
        }
        if (!goes) continue;
        out.spare.push_back(blob);
        out.prunable += blob.bytes;
    }
    return out;
}

}  // namespace tequio::node
