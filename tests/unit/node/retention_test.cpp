#include "node/core/retention.hpp"

#include <boost/test/unit_test.hpp>

#include "base/sha256.hpp"
#include "training/cost.hpp"

namespace tequio::node {
namespace {

constexpr auto day = base::day_seconds;
constexpr base::unix_time start{1'800'000'000};

/// A job of `lanes` lanes and `rounds` rounds, done, with its whole chronicle.
stored_job done_job(const std::string& name, std::uint64_t lanes = 2, std::uint64_t rounds = 12) {
    training::task t;
    t.name = name;
    t.created = start;
    t.deadline = {start.seconds + 30 * day};
    t.keep = {3, 10, 7};
    t.work.model = {"gpt2", 1, 2, 16, 8, 256};
    t.work.data.tokens = {base::sha256("tokens of " + name), 4000};
    t.work.train.lanes = lanes;
    t.work.train.rounds = rounds;
    t.work.train.inner_steps = t.work.train.batch = t.work.train.micro_batch = 2;
    stored_job job;
    job.id = base::task_id{base::sha256(name).bytes};
    const auto mean_bytes = training::cost_of(t.work).mean_bytes;
    for (std::uint64_t round = 0; round <= rounds; ++round) {
        training::chronicle_entry e;
        e.round = base::round_index{round};
        const auto word = name + " " + std::to_string(round);
        e.state_before = base::sha256(word + " state");
        for (std::uint64_t lane = 0; round < rounds && lane < lanes; ++lane) {
            e.contributions.push_back(base::sha256(word + " lane " + std::to_string(lane)));
        }
        if (round < rounds) e.mean = {base::sha256(word + " mean"), mean_bytes};
        job.chronicle.push_back(std::move(e));
    }
    job.files["model.safetensors"] = {base::sha256("model of " + name), 9000};
    job.task = std::make_shared<const training::task>(std::move(t));
    job.state = "done";
    job.open = false;
    job.ended = start;
    return job;
}

stored_job running(stored_job job) {
    job.open = true;
    job.state = "running";
    job.ended.reset();
    job.files.clear();
    return job;
}

/// All that the jobs name is there, as old as they.
std::vector<stored_blob> all_of(const std::vector<stored_job>& jobs) {
    std::map<base::blob_ref, blob_kind> refs;
    for (const auto& job : jobs) refs.merge(blobs_of(job));
    std::vector<stored_blob> out;
    for (const auto& [ref, kind] : refs) out.push_back({ref, ref.size, start});
    return out;
}

base::unix_time after(std::int64_t seconds) {
    return {start.seconds + seconds};
}

std::uint64_t bytes_of(const job_share& share, blob_kind kind) {
    return share.bytes[static_cast<std::size_t>(kind)];
}

bool goes(const store_survey& survey, const base::blob_ref& ref) {
    return std::any_of(survey.spare.begin(), survey.spare.end(),
                       [&](const auto& blob) { return blob.ref == ref; });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(retention_suite)

BOOST_AUTO_TEST_CASE(blobs_are_counted_by_what_they_are) {
    const auto job = done_job("a");
    const auto cost = training::cost_of(job.task->work);
    const auto survey = survey_store({job}, all_of({job}), after(1));
    const auto& share = survey.jobs.front();
    BOOST_TEST(bytes_of(share, blob_kind::data) == 4000u);
    BOOST_TEST(bytes_of(share, blob_kind::mean) == 12 * cost.mean_bytes);
    BOOST_TEST(bytes_of(share, blob_kind::state) == 9000u);
    // Of the rounds that may still be asked for: settle + 3, the closing entry has none.
    BOOST_TEST(bytes_of(share, blob_kind::contribution) == 5 * 2 * cost.contribution_bytes);
    BOOST_TEST(bytes_of(share, blob_kind::other) > 0u);
    BOOST_TEST(share.total == survey.used);
    BOOST_TEST(survey.unowned == 0u);
    BOOST_TEST(survey.prunable == 0u);
    // What a member is said to need is no less than what it turns out to have.
    BOOST_TEST(disk_need(*job.task) >= survey.used - 9000);
}

BOOST_AUTO_TEST_CASE(full_states_are_named_and_go_with_the_contributions) {
    auto job = done_job("a");
    job.full_states = {{base::sha256("state 10"), full_state_bytes_of(*job.task)}};
    const auto parameters = training::cost_of(job.task->work).parameters;
    BOOST_TEST(job.full_states[0].size == 64 + 8 * parameters);
    // Each unit of the tiny model's mean has room for more than the model.
    BOOST_TEST(full_state_spacing_of(*job.task) % 10 == 0u);
    const auto blobs = all_of({job});
    const auto survey = survey_store({job}, blobs, after(contributions_after_end_seconds - 1));
    BOOST_TEST(bytes_of(survey.jobs.front(), blob_kind::full_state) == job.full_states[0].size);
    BOOST_TEST(!goes(survey, job.full_states[0]));
    const auto later = survey_store({job}, blobs, after(contributions_after_end_seconds));
    BOOST_TEST(goes(later, job.full_states[0]));
    const auto open = running(job);
    BOOST_TEST(!goes(survey_store({open}, blobs, after(99 * day)), job.full_states[0]));
    // One that is on its way here has no name yet.
    auto unnamed = open;
    unnamed.full_states.clear();
    BOOST_TEST(!goes(survey_store({unnamed}, blobs, after(99 * day)), job.full_states[0]));
}

BOOST_AUTO_TEST_CASE(contributions_go_a_while_after_the_end_and_the_rest_with_its_days) {
    const auto job = done_job("a");
    const auto blobs = all_of({job});
    const auto spare_bytes = [&](base::unix_time now) {
        return survey_store({job}, blobs, now).prunable;
    };
    const auto whole = survey_store({job}, blobs, start);
    const auto contributions = bytes_of(whole.jobs.front(), blob_kind::contribution);
    BOOST_TEST(spare_bytes(after(contributions_after_end_seconds - 1)) == 0u);
    BOOST_TEST(spare_bytes(after(contributions_after_end_seconds)) == contributions);
    BOOST_TEST(spare_bytes(after(7 * day - 1)) == contributions);
    const auto over = survey_store({job}, blobs, after(7 * day));
    BOOST_TEST(over.prunable == over.used);
    BOOST_TEST(over.jobs.front().expired);
}

BOOST_AUTO_TEST_CASE(nothing_of_an_open_job_goes) {
    const auto job = running(done_job("a"));
    auto blobs = all_of({job});
    // A lane's result of the round in hand, which no chronicle names yet.
    const auto cost = training::cost_of(job.task->work);
    blobs.push_back({{base::sha256("fresh"), cost.contribution_bytes}, 1, start});
    blobs.push_back({{base::sha256("a mean"), cost.mean_bytes}, 1, start});
    for (const auto scope : {prune_scope{}, prune_scope{job.id}}) {
        const auto survey = survey_store({job}, blobs, after(400 * day), scope);
        BOOST_TEST(survey.prunable == 0u);
        BOOST_TEST(!survey.jobs.front().expired);
    }
}

BOOST_AUTO_TEST_CASE(a_job_whose_end_is_not_known_is_kept) {
    auto job = done_job("a");
    job.ended.reset();
    BOOST_TEST(survey_store({job}, all_of({job}), after(400 * day)).prunable == 0u);
}

BOOST_AUTO_TEST_CASE(what_two_jobs_share_goes_with_the_last_of_them) {
    const auto ended = done_job("a");
    auto twin = running(ended);
    twin.id = base::task_id{base::sha256("twin").bytes};
    const auto blobs = all_of({ended, twin});
    const auto survey = survey_store({ended, twin}, blobs, after(400 * day));
    // The model is the ended job's alone.
    BOOST_TEST(survey.prunable == 9000u);
    twin.open = false;
    twin.ended = start;
    BOOST_TEST(survey_store({ended, twin}, blobs, after(400 * day)).prunable == survey.used);
}

BOOST_AUTO_TEST_CASE(one_job_can_be_named_before_its_time) {
    const auto a = done_job("a"), b = done_job("b");
    const auto blobs = all_of({a, b});
    const auto survey = survey_store({a, b}, blobs, after(1), {a.id});
    for (const auto& [ref, kind] : blobs_of(a)) BOOST_TEST(goes(survey, ref));
    for (const auto& [ref, kind] : blobs_of(b)) BOOST_TEST(!goes(survey, ref));
    for (const auto& share : survey.jobs) BOOST_TEST(share.expired == (share.id == a.id));
}

BOOST_AUTO_TEST_CASE(what_no_job_names_goes_after_an_hour) {
    const auto job = done_job("a");
    const stored_blob stray{{base::sha256("stray"), 77}, 77, start};
    BOOST_TEST(!goes(survey_store({job}, {stray}, after(3599)), stray.ref));
    const auto survey = survey_store({job}, {stray}, after(3600));
    BOOST_TEST(goes(survey, stray.ref));
    BOOST_TEST(survey.unowned == 77u);
    BOOST_TEST(!goes(survey_store({job}, {stray}, after(3600), {job.id}), stray.ref));
}

BOOST_AUTO_TEST_CASE(enough_copies_stay_however_views_differ) {
    const base::task_id task{base::sha256("task").bytes};
    std::vector<base::node_id> nodes;
    for (int i = 0; i < 12; ++i)
        nodes.push_back(base::node_id{base::sha256("node " + std::to_string(i)).bytes});
    for (const std::uint64_t copies : {1, 3, 11, 12, 64}) {
        // Each in turn decides by what holds it still, having seen some of the others only.
        for (unsigned seen = 1; seen <= 12; ++seen) {
            std::set<base::node_id> holders(nodes.begin(), nodes.end());
            for (const auto& self : nodes) {
                std::set<base::node_id> view{self};
                for (const auto& other : holders) {
                    if (view.size() < seen) view.insert(other);
                }
                if (is_spare_copy(task, self, view, copies)) holders.erase(self);
            }
            BOOST_TEST(holders.size() >= std::min<std::size_t>(copies, 12));
            if (seen == 12) BOOST_TEST(holders.size() == std::min<std::size_t>(copies, 12));
        }
    }
    BOOST_TEST(!is_spare_copy(task, nodes[0], {nodes.begin(), nodes.end()}, 0));
}

BOOST_AUTO_TEST_CASE(the_need_saturates_and_does_not_wrap) {
    auto task = *done_job("a").task;
    task.work.train.lanes = 65536;
    task.work.train.rounds = std::uint64_t{1} << 20;
    task.work.model = {"gpt2", 80, 64, 4096, 64, 256};
    BOOST_TEST(disk_need(task) > std::uint64_t{1} << 53);
    BOOST_TEST(disk_need(task) <= std::uint64_t{1} << 62);
}

BOOST_AUTO_TEST_CASE(a_job_that_does_not_fit_is_told_what_was_found_and_what_is_allowed) {
    constexpr std::uint64_t gib = std::uint64_t{1} << 30;
    const disk_limits limits{10 * gib, 5 * gib, 0.15};
    const disk_use wide{0, 1000 * gib, 900 * gib};
    struct row {
        std::uint64_t need, promised, of_submitter;
        disk_use use;
        const char* says;  ///< empty: it fits
    };
    const row rows[]{
        {5 * gib, 5 * gib, 0, wide, ""},
        {5 * gib + 1, 0, 0, wide, "accept.disk_per_submitter is 5.0 GiB"},
        {2 * gib, 4 * gib, 4 * gib, wide, "this submitter's others here 4.0 GiB"},
        {5 * gib, 5 * gib + 1, 0, wide, "limits.disk is 10.0 GiB"},
        // More is there than was promised.
        {2 * gib, gib, 0, {9 * gib, 1000 * gib, 900 * gib}, "9.0 GiB are used or promised"},
        // 15 % of 100 GiB stay free; of 3 GiB promised 1 is there already.
        {3 * gib, 3 * gib, 0, {gib, 100 * gib, 20 * gib}, ""},
        {3 * gib + 1,
         3 * gib,
         0,
         {gib, 100 * gib, 20 * gib},
         "limits.keep_free is 15 % of 100.0 GiB"},
        {3 * gib, 0, 0, {0, 0, 0}, ""},  // nobody has looked yet
        {std::uint64_t{1} << 62, std::uint64_t{1} << 62, 0, wide, "accept.disk_per_submitter"},
    };
    for (const auto& r : rows) {
        const auto said = does_not_fit(r.need, {r.promised, r.of_submitter}, limits, r.use);
        BOOST_TEST(said.empty() == (*r.says == '\0'), said);
        BOOST_TEST(said.find(r.says) != std::string::npos, said << " lacks " << r.says);
    }
    // An owner who keeps nothing free has the file system filled.
    BOOST_TEST(does_not_fit(3 * gib, {}, {10 * gib, 5 * gib, 0}, {0, 100, 1}).empty());
}

BOOST_AUTO_TEST_CASE(what_ended_early_needs_less) {
    const auto job = done_job("a");
    const auto& task = *job.task;
    const auto cost = training::cost_of(task.work);
    BOOST_TEST(disk_need(task) == disk_need_ended(task, 12) + 6 * 2 * cost.contribution_bytes);
    BOOST_TEST(disk_need_ended(task, 3) < disk_need_ended(task, 12) - 9 * cost.mean_bytes);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::node
