#include "node/cli/bench_slices.hpp"

#include <poll.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <numeric>
#include <vector>

#include "base/text.hpp"
#include "node/cli/measure.hpp"
#include "node/cli/statistics.hpp"
#include "node/cli/training_job.hpp"
#include "node/worker/compute_worker.hpp"
#include "node/worker/team_relay.hpp"
#include "training/slices.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;
using clock = std::chrono::steady_clock;

/// What one lane by a team, or one lane by each worker, took.
struct lane_time {
    double wall = 0;                ///< seconds until all were done
    std::vector<double> processor;  ///< of each worker, seconds
    base::blob_ref result;
};

/// Workers of one thread each over one job: a slice each, or everything each.
class bench_workers {
public:
    static base::result<std::unique_ptr<bench_workers>> start(const training_job& job,
                                                              std::uint32_t count, bool sliced) {
        std::unique_ptr<bench_workers> out(new bench_workers(sliced));
        for (std::uint32_t i = 0; i < count; ++i) TEQUIO_CHECK(out->add(job, i, count));
        compute_item prepare;
        TEQUIO_CHECK(out->compute(prepare));
        return out;
    }

    /// One lane together, or one each.
    base::result<lane_time> run_lane() {
        compute_item lane;
        lane.kind = compute_kind::lane;
        lane.team = sliced_;
        return compute(lane);
    }

private:
    explicit bench_workers(bool sliced) : sliced_(sliced) {}

    base::result<void> add(const training_job& job, std::uint32_t index, std::uint32_t count) {
        const auto slice = sliced_ ? index : 0;
        const auto slices = sliced_ ? count : 1;
        TEQUIO_TRY(auto state, state_memory::create(training::recipe_id_of(job.recipe),
                                                    state_shape_of(job.recipe, 2, slice, slices)));
        TEQUIO_TRY(auto tokens, make_sealed_file("tequio-tokens", job.tokens));
        std::vector<unique_fd> blobs;
        blobs.push_back(std::move(tokens));
        compute_worker_options options;
        options.low_priority = false;
        auto worker = std::make_unique<compute_worker>(options);
        TEQUIO_CHECK(worker->start());
        worker->open_job(training::recipe_text(job.recipe), blobs, state, slice, slices);
        states_.push_back(std::move(state));
        members_.push_back(worker.get());
        workers_.push_back(std::move(worker));
        return {};
    }

    std::vector<double> processor_seconds() const {
        std::vector<double> out;
        for (const auto& w : workers_) {
            out.push_back(std::chrono::duration<double>(w->cpu_used()).count());
        }
        return out;
    }

    base::result<lane_time> compute(const compute_item& item) {
        const auto before = processor_seconds();
        const auto start = clock::now();
        lane_time out;
        for (auto* w : members_) w->begin(item);
        std::size_t left = members_.size();
        while (left > 0) TEQUIO_CHECK(look(left, out));
        out.wall = std::chrono::duration<double>(clock::now() - start).count();
        out.processor = processor_seconds();
        for (std::size_t i = 0; i < before.size(); ++i) out.processor[i] -= before[i];
        return out;
    }

    /// Waits for what happens next, and passes on what members of a team say.
    base::result<void> look(std::size_t& left, lane_time& out) {
        std::vector<pollfd> waiting;
        for (auto* w : members_) waiting.push_back({w->native_handle(), POLLIN, 0});
        ::poll(waiting.data(), waiting.size(), -1);
        for (std::uint32_t i = 0; i < members_.size(); ++i) {
            if (waiting[i].revents == 0) continue;
            for (auto& e : members_[i]->take_events()) {
                if (relay(members_, i, e)) continue;
                if (const auto* done = std::get_if<worker_finished>(&e)) {
                    --left;
                    if (i == 0) out.result = done->outcome.blob;
                } else if (const auto* failed = std::get_if<worker_item_failed>(&e)) {
                    return ends_with(exit_code::failure, failed->reason);
                } else if (const auto* refused = std::get_if<worker_job_refused>(&e)) {
                    return ends_with(exit_code::failure, refused->reason);
                } else if (const auto* end = std::get_if<worker_exited>(&e)) {
                    return ends_with(exit_code::failure, "a worker ended: " + end->reason);
                }
            }
        }
        return {};
    }

    bool sliced_;
    std::vector<state_memory> states_;
    std::vector<std::unique_ptr<compute_worker>> workers_;
    std::vector<compute_worker*> members_;
};

base::result<training_job> divided_job(const train_bench_options& o) {
    TEQUIO_TRY(auto preset, preset_for(o));
    if (o.slices > preset.model.layers) {
        return ends_with(exit_code::usage, "--slices: found " + std::to_string(o.slices) + ", " +
                                               o.preset + " has " +
                                               std::to_string(preset.model.layers) + " layers");
    }
    const auto at_a_time = preset.batch;
    preset.batch = at_a_time * o.micro_batches;
    training::slices_config slices;
    for (std::uint64_t layer = 1; layer < preset.model.layers; ++layer) {
        if (o.cut == 0 || layer == o.cut) slices.cuts.push_back(layer);
    }
    if (o.slices > slices.cuts.size() + 1) {
        return ends_with(exit_code::usage, "--cut: found " + std::to_string(o.cut) +
                                               ", allowed: with 2 slices, 1 to " +
                                               std::to_string(preset.model.layers - 1));
    }
    slices.activations = "bf16";
    return training_job_of(preset, {o.steps, at_a_time, slices});
}

struct slices_result {
    std::vector<double> ratios;   ///< of a pair: the team's rate to the others'
    std::vector<double> bubbles;  ///< share of the team's time in which its workers waited
    /// The same of workers that wait for nobody: what the machine itself takes from both.
    std::vector<double> pauses;
    std::vector<double> team, each;
    std::vector<double> balances;             ///< mean of the stages' processor time to the most
    std::vector<std::vector<double>> stages;  ///< of each stage: its processor time of each lane
    double allowed = 0;                       ///< what the schedule's formula leaves of the time
};

/// Seconds that all workers together computed.
double computed(const lane_time& lane) {
    return std::accumulate(lane.processor.begin(), lane.processor.end(), 0.0);
}

/// Share of the workers' time in which they computed nothing.
double waited(const lane_time& lane) {
    return 1 - computed(lane) / (static_cast<double>(lane.processor.size()) * lane.wall);
}

base::result<slices_result> measure_pairs(const training_job& job, const train_bench_options& o) {
    const auto count = static_cast<std::uint32_t>(o.slices);
    TEQUIO_TRY(auto team, bench_workers::start(job, count, true));
    TEQUIO_TRY(auto others, bench_workers::start(job, count, false));
    slices_result out;
    out.allowed = 1 - training::pipeline_bubble(o.slices, o.micro_batches);
    out.stages.resize(o.slices);
    for (std::uint64_t pair = 0; pair <= o.pairs; ++pair) {
        TEQUIO_TRY(const auto together, team->run_lane());
        TEQUIO_TRY(const auto each, others->run_lane());
        if (together.result != each.result) {
            return ends_with(exit_code::failure, "a team came to another contribution");
        }
        if (pair == 0) continue;  // warms up
        const auto workers = static_cast<double>(o.slices);
        out.team.push_back(together.wall);
        out.each.push_back(each.wall);
        out.ratios.push_back(each.wall / (workers * together.wall));
        const auto& each_stage = together.processor;
        out.bubbles.push_back(waited(together));
        out.pauses.push_back(waited(each));
        out.balances.push_back(computed(together) /
                               (workers * *std::max_element(each_stage.begin(), each_stage.end())));
        for (std::size_t i = 0; i < each_stage.size(); ++i) out.stages[i].push_back(each_stage[i]);
    }
    return out;
}

}  // namespace

base::result<void> bench_slices(cli_context& context, const train_bench_options& o) {
    TEQUIO_TRY(const auto job, divided_job(o));
    context.say("measuring " + std::to_string(o.slices) + " slices of " + o.preset +
                ", one thread each");
    TEQUIO_TRY(const auto found, measure_pairs(job, o));
    const auto ratio = bootstrap_median(found.ratios, 1);
    const double waiting = median(found.bubbles);
    const double balance = median(found.balances);
    const auto costs = training::slice_costs(job.recipe, o.slices, 1);
    std::uint64_t message = 0;
    json::array stages;
    for (std::size_t i = 0; i < costs.size(); ++i) {
        message = std::max(message, costs[i].message_bytes);
        stages.push_back(json::object{{"first_layer", costs[i].layers.first},
                                      {"end_layer", costs[i].layers.end},
                                      {"processor_seconds", median(found.stages[i])}});
    }
    if (context.json) {
        context.print_json("bench-slices", {{"preset", o.preset},
                                            {"slices", o.slices},
                                            {"micro_batches", o.micro_batches},
                                            {"steps", o.steps},
                                            {"pairs", found.ratios.size()},
                                            {"team_lane_seconds", median(found.team)},
                                            {"whole_lane_seconds", median(found.each)},
                                            {"efficiency", ratio.median},
                                            {"efficiency_low", ratio.low},
                                            {"efficiency_high", ratio.high},
                                            {"allowed_by_schedule", found.allowed},
                                            {"of_allowed", ratio.median / found.allowed},
                                            {"stages", stages},
                                            {"balance", balance},
                                            {"waiting", waiting},
                                            {"waiting_of_whole_lanes", median(found.pauses)},
                                            {"waiting_by_schedule", 1 - balance * found.allowed},
                                            {"message_bytes", message}});
        return {};
    }
    const auto line = [](const char* name, const std::string& value) {
        std::printf("%-24s %s\n", name, value.c_str());
    };
    const auto number = [](const char* format, auto... values) {
        char text[128];
        std::snprintf(text, sizeof text, format, values...);
        return std::string(text);
    };
    line("preset", o.preset + ", " + std::to_string(o.slices) + " slices, " +
                       std::to_string(o.micro_batches) + " micro-batches, " +
                       std::to_string(o.steps) + " steps");
    line("a lane by the team", number("%.4g s", median(found.team)));
    line("a whole lane each", number("%.4g s", median(found.each)));
    line("efficiency", number("%.3f (%.3f to %.3f, %zu pairs)", ratio.median, ratio.low, ratio.high,
                              found.ratios.size()));
    line("allowed by the schedule", number("%.3f", found.allowed));
    line("of that", number("%.3f", ratio.median / found.allowed));
    for (std::size_t i = 0; i < costs.size(); ++i) {
        line(("slice " + std::to_string(i + 1)).c_str(),
             number("layers %llu to %llu, computes %.4g s",
                    static_cast<unsigned long long>(costs[i].layers.first),
                    static_cast<unsigned long long>(costs[i].layers.end - 1),
                    median(found.stages[i])));
    }
    line("balance of the slices", number("%.3f, measured", balance));
    line("share of waiting", number("%.3f, by schedule and balance %.3f; of whole lanes %.3f",
                                    waiting, 1 - balance * found.allowed, median(found.pauses)));
    line("a message", base::human_size(message));
    return {};
}

}  // namespace tequio::node
