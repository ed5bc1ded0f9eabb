// `tequio job plan JOB.toml`: what a job will take, before anything is signed or published.

#include <boost/json.hpp>
#include <cstdio>

#include "base/text.hpp"
#include "node/cli/commands.hpp"
#include "node/cli/job_input.hpp"
#include "node/cli/measure.hpp"
#include "node/worker/compute_pool.hpp"
#include "node/worker/job_runner.hpp"
#include "training/cost.hpp"
#include "training/slices.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;

struct plan_options {
    std::string file;
    unsigned threads = usable_threads();
    std::uint64_t nodes = 3;
};

struct plan {
    training::job_cost cost;
    training::round_traffic traffic;
    std::uint64_t memory_bytes = 0;
    std::uint64_t disk_bytes = 0;
    std::vector<training::slice_cost> slices;  ///< as many as there can be; none without cuts
    step_rate rate;
    double seconds = 0;  ///< this machine alone
};

std::string who_can_read(const training::job_file& job) {
    if (job.readers == "everyone") {
        return "everyone: data and weights are public, for ever";
    }
    return "every member of the swarm that takes part can read the data and the weights, and could "
           "pass them on";
}

base::result<plan> make_plan(const job_input& job, const plan_options& o) {
    plan out;
    out.cost = training::cost_of(job.recipe);
    out.traffic = training::round_traffic_of(job.recipe, o.nodes);
    out.memory_bytes = job_memory_bytes(job.recipe, o.threads);
    out.disk_bytes = training::disk_bytes_needed(job.recipe, job.file.keep) + job.companion.size();
    if (const auto most = training::slices_max(job.recipe); most > 1) {
        out.slices = training::slice_costs(job.recipe, most, o.threads);
    }
    compute_pool pool(o.threads);
    TEQUIO_TRY(out.rate,
               measure_steps(preset_of(job.recipe), pool, {1, 2, 1000, std::chrono::seconds(1)}));
    out.seconds = out.cost.total_flops / (out.rate.gflops * 1e9);
    return out;
}

json::array slices_json(const plan& p) {
    json::array out;
    for (const auto& s : p.slices) {
        out.push_back(json::object{{"first_layer", s.layers.first},
                                   {"end_layer", s.layers.end},
                                   {"parameters", s.parameters},
                                   {"token_flops", s.token_flops},
                                   {"memory_bytes", s.memory_bytes},
                                   {"message_bytes", s.message_bytes}});
    }
    return out;
}

json::object as_json(const job_input& job, const plan_options& o, const plan& p) {
    const auto& train = job.recipe.train;
    return {{"recipe", training::recipe_id_of(job.recipe).hex()},
            {"name", job.file.name},
            {"method", train.method},
            {"parameters", p.cost.parameters},
            {"training_tokens", p.cost.lane_tokens * train.lanes * train.rounds},
            {"data_bytes", p.cost.data_bytes},
            {"init_bytes", p.cost.init_bytes},
            {"companion_bytes", job.companion.size()},
            {"memory_bytes", p.memory_bytes},
            {"disk_bytes", p.disk_bytes},
            {"slices", slices_json(p)},
            {"contribution_bytes", p.cost.contribution_bytes},
            {"mean_bytes", p.cost.mean_bytes},
            {"nodes", o.nodes},
            {"round_bytes", json::object{{"member_up", p.traffic.member_up},
                                         {"member_down", p.traffic.member_down},
                                         {"owner_up", p.traffic.owner_up},
                                         {"owner_down", p.traffic.owner_down}}},
            {"threads", o.threads},
            {"tokens_per_second", p.rate.tokens_per_second},
            {"gflops", p.rate.gflops},
            {"total_flops", p.cost.total_flops},
            {"seconds", p.seconds},
            {"readers", job.file.readers},
            {"who_can_read", who_can_read(job.file)}};
}

void print(const job_input& job, const plan_options& o, const plan& p) {
    const auto line = [](const char* name, const std::string& value) {
        std::printf("%-20s %s\n", name, value.c_str());
    };
    const auto size = [](std::uint64_t bytes) { return base::human_size(bytes); };
    const auto& train = job.recipe.train;
    line("job", job.file.name);
    line("recipe", training::recipe_id_of(job.recipe).hex());
    line("parameters", std::to_string(p.cost.parameters));
    const std::string unit(training::counted_as(job.recipe.model));
    line("data",
         std::to_string(job.recipe.data.token_count) + " " + unit + ", " + size(p.cost.data_bytes));
    if (p.cost.init_bytes != 0) {
        line("starts from", job.file.init_from + ", " + size(p.cost.init_bytes));
    }
    const auto rounds = std::to_string(train.rounds) + " rounds of " + std::to_string(train.lanes);
    line("training",
         rounds +
             (train.synchronous() ? " lanes, one step together: "
                                  : " lanes of " + std::to_string(train.inner_steps) + " steps: ") +
             std::to_string(p.cost.lane_tokens * train.lanes * train.rounds) + " " + unit);
    line("memory of a node",
         size(p.memory_bytes) + " with " + std::to_string(o.threads) + " threads");
    for (std::size_t i = 0; i < p.slices.size(); ++i) {
        const auto& s = p.slices[i];
        std::string text = "layers " + std::to_string(s.layers.first) + " to " +
                           std::to_string(s.layers.end - 1) + ": " + size(s.memory_bytes);
        if (s.message_bytes != 0) {
            text += "; sends " + size(s.message_bytes) + " a micro-batch, and gets as much back";
        }
        line(("slice " + std::to_string(i + 1) + " of " + std::to_string(p.slices.size())).c_str(),
             text);
    }
    line("disk of a node", size(p.disk_bytes));
    line("a contribution", size(p.cost.contribution_bytes) + " (" + train.codec + "); a mean " +
                               size(p.cost.mean_bytes) + " (" + train.codec_down + ")");
    line("network a round", "with " + std::to_string(o.nodes) + " nodes: a member sends " +
                                size(p.traffic.member_up) + " and receives " +
                                size(p.traffic.member_down) + "; the owner of the sum " +
                                size(p.traffic.owner_up) + " and " + size(p.traffic.owner_down));
    const auto time =
        std::chrono::duration_cast<base::duration>(std::chrono::duration<double>(p.seconds));
    char speed[64];
    std::snprintf(speed, sizeof speed, " (%.0f %s/s, measured now)", p.rate.tokens_per_second,
                  unit.c_str());
    line("time here, alone", base::human_duration(time) + speed);
    line("who can read it", who_can_read(job.file));
}

base::result<void> show_plan(cli_context& context, const plan_options& o) {
    TEQUIO_TRY(const auto job, read_job(context, o.file));
    TEQUIO_TRY(const auto p, make_plan(job, o));
    if (context.json) {
        context.print_json("job-plan", as_json(job, o, p));
    } else {
        print(job, o, p);
    }
    return {};
}

}  // namespace

void add_job_plan_command(cli_command& job, cli_context& context) {
    auto o = std::make_shared<plan_options>();
    auto* command = job.add_subcommand("plan", "what a job will take; nothing is published");
    command->add_option("JOB.toml", o->file, "job file")->required();
    command->add_option("--threads", o->threads, "compute threads")->range(1, 1024);
    command->add_option("--nodes", o->nodes, "nodes of the crew, for the network's share")
        ->range(1, 65536)
        ->show_default();
    command->callback([&context, o] { context.run([&] { return show_plan(context, *o); }); });
}

}  // namespace tequio::node
