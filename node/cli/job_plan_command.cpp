// `tequio job plan JOB.toml`: what a job will take, before anything is signed or published.

#include <boost/json.hpp>
#include <cmath>
#include <cstdio>

#include "base/text.hpp"
#include "node/cli/api_client.hpp"
#include "node/cli/commands.hpp"
#include "node/cli/config_command.hpp"
#include "node/cli/job_input.hpp"
#include "node/cli/measure.hpp"
#include "node/core/retention.hpp"
#include "node/worker/compute_pool.hpp"
#include "node/worker/job_runner.hpp"
#include "training/cost.hpp"
#include "training/crew.hpp"
#include "training/slices.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;

struct plan_options {
    std::string file;
    unsigned threads = usable_threads();
    std::uint64_t nodes = 3;
    std::string uplink;  ///< like 20Mbit/s; empty: as measured, or `network.upload_limit`
};

/// What a node can send, and how that is known.
struct uplink {
    std::uint64_t bits = 0;  ///< a second
    std::string source;      ///< "--uplink", "measured", "network.upload_limit"
};

/// What a suggestion aims at: the share of its time that a node computes.
constexpr double good_utilisation = 0.95;

struct plan {
    training::job_cost cost;
    training::round_traffic traffic;
    std::uint64_t memory_bytes = 0;
    std::uint64_t disk_bytes = 0;
    std::uint64_t full_states_bytes = 0;  ///< where there is room; 0: none
    std::uint64_t full_state_spacing = 0;
    std::vector<training::slice_cost> slices;  ///< as many as there can be; none without cuts
    step_rate rate;
    double seconds = 0;  ///< this machine alone
    node::uplink uplink;
    double utilisation = 1;             ///< of each of `nodes` machines like this one
    std::uint64_t suggested_lanes = 0;  ///< for `good_utilisation`; 0: none is needed, or none is
                                        ///< possible
    std::uint64_t suggested_inner_steps = 0;  ///< instead of more lanes; 0 likewise
};

/// What waiting for the uplink at the end of a round costs, and what would make it cost less.
void judge_uplink(const job_input& job, const plan_options& o, plan& p) {
    const auto& train = job.recipe.train;
    const double lane = static_cast<double>(p.cost.lane_flops) / (p.rate.gflops * 1e9);
    const double wait = static_cast<double>(p.traffic.waited_for) * 8 /
                        static_cast<double>(std::max<std::uint64_t>(p.uplink.bits, 1));
    const auto own = static_cast<double>((train.lanes + o.nodes - 1) / o.nodes);
    p.utilisation = training::utilisation_of(own * lane, wait);
    if (p.utilisation >= good_utilisation) return;
    p.suggested_lanes = training::lanes_for_utilisation(lane, wait, good_utilisation, o.nodes);
    if (train.synchronous()) return;
    const double step = own * lane / static_cast<double>(train.inner_steps);
    const double steps = std::ceil(good_utilisation * wait / ((1 - good_utilisation) * step));
    if (steps <= static_cast<double>(training::recipe_limits::inner_steps)) {
        p.suggested_inner_steps = static_cast<std::uint64_t>(steps);
    }
}

/// Disk of a member at the job's worst moment, as a node weighs it before it takes the job.
void weigh_disk(const job_input& job, plan& p) {
    training::task task;
    task.work = job.recipe;
    task.trust = job.file.trust;
    task.keep = job.file.keep;
    p.disk_bytes = disk_need(task) + job.companion.size();
    p.full_state_spacing = full_state_spacing_of(task);
    const bool some =
        p.full_state_spacing < task.work.train.rounds && task.work.slices.cuts.empty();
    if (some) p.full_states_bytes = training::crew_states_kept * full_state_bytes_of(task);
}

std::string who_can_read(const training::job_file& job) {
    if (job.readers == "everyone") {
        return "everyone: data and weights are public, for ever";
    }
    return "every member of the swarm that takes part can read the data and the weights, and could "
           "pass them on";
}

/// What the running node has seen its uplink carry, bits a second; nothing without one, or before
/// it sent enough.
std::optional<std::uint64_t> measured_uplink(const cli_context& context) {
    auto daemon = api_client::connect(context.data_dir);
    if (!daemon) return std::nullopt;
    const auto status = daemon->request_json("GET", "/api/v1/status");
    if (!status || !status->is_object()) return std::nullopt;
    const auto* value = status->as_object().if_contains("uplink_measured");
    if (value == nullptr || !value->is_number()) return std::nullopt;
    return value->to_number<std::uint64_t>();
}

base::result<uplink> uplink_of(const cli_context& context, const plan_options& o) {
    if (!o.uplink.empty()) {
        const auto rate = base::parse_rate(o.uplink);
        if (!rate || *rate == 0) {
            return ends_with(exit_code::usage, "--uplink: found \"" + o.uplink +
                                                   "\", allowed: a rate above 0 like 20Mbit/s");
        }
        return uplink{*rate, "--uplink"};
    }
    if (const auto seen = measured_uplink(context)) return uplink{*seen, "measured"};
    TEQUIO_TRY(const auto config, load_node_config({}));
    return uplink{config.upload_limit_bits, "network.upload_limit"};
}

base::result<plan> make_plan(const cli_context& context, const job_input& job,
                             const plan_options& o) {
    plan out;
    out.cost = training::cost_of(job.recipe);
    out.traffic = training::round_traffic_of(job.recipe, o.nodes);
    out.memory_bytes = job_memory_bytes(job.recipe, o.threads);
    weigh_disk(job, out);
    TEQUIO_TRY(out.uplink, uplink_of(context, o));
    if (const auto most = training::slices_max(job.recipe); most > 1) {
        out.slices = training::slice_costs(job.recipe, most, o.threads);
    }
    compute_pool pool(o.threads);
    TEQUIO_TRY(out.rate,
               measure_steps(preset_of(job.recipe), pool, {1, 2, 1000, std::chrono::seconds(1)}));
    out.seconds = out.cost.total_flops / (out.rate.gflops * 1e9);
    judge_uplink(job, o, out);
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
                                   {"recompute_memory_bytes", s.recompute_memory_bytes},
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
            {"full_states_bytes", p.full_states_bytes},
            {"full_state_spacing", p.full_state_spacing},
            {"slices", slices_json(p)},
            {"contribution_bytes", p.cost.contribution_bytes},
            {"mean_bytes", p.cost.mean_bytes},
            {"nodes", o.nodes},
            {"round_bytes", json::object{{"up", p.traffic.up},
                                         {"down", p.traffic.down},
                                         {"waited_for", p.traffic.waited_for}}},
            {"uplink_bits_per_second", p.uplink.bits},
            {"uplink_source", p.uplink.source},
            {"utilisation", p.utilisation},
            {"suggested_lanes", p.suggested_lanes},
            {"suggested_inner_steps", p.suggested_inner_steps},
            {"threads", o.threads},
            {"tokens_per_second", p.rate.tokens_per_second},
            {"gflops", p.rate.gflops},
            {"total_flops", p.cost.total_flops},
            {"seconds", p.seconds},
            {"readers", job.file.readers},
            {"who_can_read", who_can_read(job.file)}};
}

std::string uplink_text(const plan& p) {
    std::string source = " (" + p.uplink.source;
    if (p.uplink.source == "measured") source += " by the node that runs here";
    source += "; --uplink says another)";
    if (p.uplink.source == "--uplink") source.clear();
    char text[160];
    std::snprintf(text, sizeof text,
                  "at %.4g Mbit/s%s nodes like this one compute %.3g of the time",
                  static_cast<double>(p.uplink.bits) / 1e6, source.c_str(), p.utilisation);
    std::string out(text);
    if (p.suggested_lanes == 0 && p.suggested_inner_steps == 0) return out;
    std::snprintf(text, sizeof text, "; %.3g need ", good_utilisation);
    out += text;
    if (p.suggested_inner_steps != 0) {
        out += "inner_steps = " + std::to_string(p.suggested_inner_steps);
    }
    if (p.suggested_lanes != 0) {
        out += (p.suggested_inner_steps != 0 ? ", or lanes = " : "lanes = ") +
               std::to_string(p.suggested_lanes);
    }
    return out;
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
        if (s.recompute_memory_bytes < s.memory_bytes) {
            text += ", or " + size(s.recompute_memory_bytes) + " with recomputation";
        }
        if (s.message_bytes != 0) {
            text += "; sends " + size(s.message_bytes) + " a micro-batch, and gets as much back";
        }
        line(("slice " + std::to_string(i + 1) + " of " + std::to_string(p.slices.size())).c_str(),
             text);
    }
    line("disk of a node", size(p.disk_bytes));
    if (p.full_states_bytes > 0) {
        line("and where there is room",
             size(p.full_states_bytes) + " for newcomers: a full state every " +
                 std::to_string(p.full_state_spacing) + " rounds, the last two");
    }
    line("a contribution", size(p.cost.contribution_bytes) + " (" + train.codec + "); a mean " +
                               size(p.cost.mean_bytes) + " (" + train.codec_down + ")");
    line("network a round", "with " + std::to_string(o.nodes) + " nodes each sends " +
                                size(p.traffic.up) + " and receives " + size(p.traffic.down));
    line("uplink", uplink_text(p));
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
    TEQUIO_TRY(const auto p, make_plan(context, job, o));
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
    command->add_option(
        "--uplink", o->uplink,
        "what each node can send, like 20Mbit/s; default: what the node that runs here "
        "has measured, else network.upload_limit");
    command->callback([&context, o] { context.run([&] { return show_plan(context, *o); }); });
}

}  // namespace tequio::node
