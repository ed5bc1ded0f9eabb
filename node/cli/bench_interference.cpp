#include "node/cli/bench_interference.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <memory>
#include <optional>

#include "base/time.hpp"
#include "node/cli/give_back_trials.hpp"
#include "node/cli/interference_report.hpp"
#include "node/cli/measure.hpp"
#include "node/cli/trial_node.hpp"
#include "node/io/files.hpp"
#include "node/worker/compute_pool.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;
using clock = std::chrono::steady_clock;

constexpr auto work_patience = std::chrono::seconds(30);
/// What goes on after the owner came and before a probe begins: the targets count from there.
constexpr int settle_ms = 300;
constexpr double long_turns = 15;
constexpr std::string_view known_conditions = "ABCDE";

base::error kept_nothing() {
    return ends_with(exit_code::interrupted, "interrupted; nothing was kept");
}

/// Processors that all processes use now, over half a second.
double busy_processors() {
    const auto before = read_machine_times();
    const auto start = clock::now();
    wait_a_little(500);
    const double span = std::chrono::duration<double>(clock::now() - start).count();
    return (read_machine_times() - before).busy / span;
}

/// What runs beside the probes in each condition.
class surroundings {
public:
    explicit surroundings(trial_node& node) : node_(node) {}

    /// Changes to `condition`; nothing is done when it is the present one.
    base::result<void> enter(char condition) {
        if (condition == now_) return {};
        rival_ = child_process();
        if (condition == 'A' || condition == 'D') node_.stop();
        now_ = condition;
        switch (condition) {
            case 'B':
                TEQUIO_CHECK(node_.start(trial_policy::forced));
                return node_.wait_for_work(working_share, work_patience);
            case 'C':
                TEQUIO_CHECK(node_.start(trial_policy::normal));
                return before_probe();
            case 'D':
                return start_rival();
            case 'E':
                TEQUIO_CHECK(node_.start(trial_policy::normal));
                return node_.wait_for_work(working_share, work_patience);
            default:
                return {};
        }
    }
    /// In C the owner is there during each probe.
    base::result<void> before_probe() const {
        if (now_ != 'C') return {};
        TEQUIO_CHECK(node_.input());
        wait_a_little(settle_ms);
        return {};
    }

private:
    base::result<void> start_rival() {
        child_options rival;
        rival.arguments = {own_program(), "bench", "rival", "--threads",
                           std::to_string(usable_threads())};
        rival.own_session = true;
        rival.nice = 10;
        TEQUIO_TRY(rival_, child_process::start(rival));
        const auto end = clock::now() + work_patience;
        while (used_seconds(rival_.id()) < 0.3) {
            if (interrupted()) return kept_nothing();
            if (clock::now() > end) {
                return ends_with(exit_code::timed_out, "the rival does not begin to work");
            }
            wait_a_little(20);
        }
        return {};
    }

    trial_node& node_;
    child_process rival_;
    char now_ = 'A';
};

/// The options with what `quick` stands for, or what is wrong with them.
base::result<interference_options> checked(interference_options o) {
    const auto known = interference_probe_names();
    for (const auto& name : o.probes) {
        if (std::find(known.begin(), known.end(), name) != known.end()) continue;
        std::string list;
        for (const auto& k : known) list += (list.empty() ? "" : ", ") + k;
        return ends_with(exit_code::usage, "--probe: found \"" + name + "\", allowed: " + list);
    }
    std::string seen;
    for (const char c : o.conditions) {
        if (known_conditions.find(c) == std::string_view::npos ||
            seen.find(c) != std::string::npos) {
            return ends_with(exit_code::usage,
                             "--conditions: found \"" + o.conditions +
                                 "\", allowed: different letters of " +
                                 std::string(known_conditions) +
                                 " (A no node, B forced on, C its "
                                 "owner is there, D a rival at nice 10, E nobody is there)");
        }
        seen += c;
    }
    if (o.quick) {
        o.blocks = 1;
        o.seconds = 0.1;
        o.triggers = 1;
    }
    return o;
}

class interference_bench {
public:
    interference_bench(cli_context& context, interference_options options, trial_node node)
        : context_(context),
          options_(std::move(options)),
          node_(std::move(node)),
          start_(clock::now()),
          times_(read_machine_times()) {}

    base::result<interference_report> run() {
        report_.machine = read_machine_facts();
        report_.others_busy = busy_processors();
        report_.conditions = options_.conditions;
        report_.blocks = options_.blocks;
        report_.turn_seconds = options_.seconds;
        report_.seed = options_.seed;
        TEQUIO_CHECK(measure_probes());
        try_part("give-back", measure_give_back_times());
        try_part("harvest", measure_harvest_share());
        try_part("paused", measure_paused_cost());
        const auto spent = read_machine_times() - times_;
        report_.steal_share = spent.total > 0 ? spent.steal / spent.total : 0;
        report_.seconds = std::chrono::duration<double>(clock::now() - start_).count();
        warn();
        return std::move(report_);
    }

private:
    bool wants(std::string_view probe) const {
        const auto& list = options_.probes;
        return list.empty() || std::find(list.begin(), list.end(), probe) != list.end();
    }

    base::result<void> measure_probes() {
        probe_options how{options_.build};
        report_.build = options_.build;
        if (how.build.empty() && wants("build")) {
            TEQUIO_TRY(how.build_loops, calibrated_build_loops(options_.seconds));
            report_.build = "a loop of the shell for each processor, " +
                            std::to_string(how.build_loops) + " turns";
        }
        for (auto& probe : interference_probes(how)) {
            if (wants(probe.name)) report_.probes.push_back({std::move(probe), {}});
        }
        if (report_.probes.empty() || options_.conditions.empty()) return {};
        surroundings around(node_);
        for (std::uint64_t block = 0; block < options_.blocks; ++block) {
            auto order = options_.conditions;
            if (block % 2 == 1) std::reverse(order.begin(), order.end());
            for (const char condition : order) {
                context_.say("block " + std::to_string(block + 1) + " of " +
                             std::to_string(options_.blocks) + ": " + std::string(1, condition) +
                             ", " + condition_name(condition));
                TEQUIO_CHECK(around.enter(condition));
                TEQUIO_CHECK(one_condition(around, condition, block));
            }
        }
        return {};
    }

    base::result<void> one_condition(const surroundings& around, char condition,
                                     std::uint64_t block) {
        for (auto& turns : report_.probes) {
            TEQUIO_CHECK(around.before_probe());
            TEQUIO_TRY(auto samples, turns.probe.measure({options_.seconds, block}));
            if (interrupted()) return kept_nothing();
            turns.blocks[condition].push_back(std::move(samples));
        }
        return note_protection();
    }

    /// What protects others from the worker, as the node says once a worker has told it.
    base::result<void> note_protection() {
        if (!node_.running() || report_.protection != "unknown") return {};
        TEQUIO_TRY(const auto says, node_.status());
        const auto* kind = says.if_contains("cpu_protection");
        if (kind != nullptr && kind->is_string()) {
            report_.protection = std::string(kind->as_string());
        }
        return {};
    }

    base::result<void> measure_give_back_times() {
        if (!wants("give-back") || options_.triggers == 0) return {};
        TEQUIO_CHECK(node_.start(trial_policy::normal));
        for (const char* trigger : {"input", "contention"}) {
            TEQUIO_TRY(auto times, measure_give_back(context_, node_, trigger, options_.triggers));
            if (!times.ended_early.empty()) {
                report_.warnings.push_back(std::string("give-back after ") + trigger +
                                           " ended early: " + times.ended_early);
            }
            report_.give_back.push_back(std::move(times));
        }
        return note_protection();
    }

    base::result<void> measure_harvest_share() {
        if (!wants("harvest")) return {};
        TEQUIO_CHECK(node_.start(trial_policy::normal));
        context_.say("harvest");
        TEQUIO_TRY(const auto harvest, measure_harvest(node_, long_turns * options_.seconds));
        // Each of their bursts takes threads for a second or three, which no account of theirs has.
        if (harvest.others_seconds > 0.01 * usable_threads() * harvest.seconds) {
            report_.warnings.emplace_back(
                "others used the machine during the harvest, and the policy gave way to them");
        }
        report_.harvest = harvest;
        return note_protection();
    }

    base::result<void> measure_paused_cost() {
        if (!wants("paused")) return {};
        TEQUIO_CHECK(node_.start(trial_policy::normal));
        context_.say("paused");
        TEQUIO_TRY(report_.paused, measure_paused(node_, long_turns * options_.seconds));
        return note_protection();
    }

    /// One part that fails costs the others nothing: the report says which and why.
    void try_part(const char* name, const base::result<void>& done) {
        if (done || interrupted()) return;
        report_.warnings.push_back(std::string(name) +
                                   " was not measured: " + done.error().message());
    }

    void warn() {
        auto& out = report_.warnings;
        if (report_.steal_share > 0.01) {
            out.push_back("the host of this virtual machine took more than 1 % of its time");
        }
        if (report_.others_busy > 0.1) {
            out.push_back("others used processors before the measurement began");
        }
        if (!report_.machine.own_priority_usual) {
            out.push_back("this command itself runs at a low priority: what it feels is too much");
        }
        if (report_.protection == "nice-only" || report_.protection == "none") {
            out.push_back("the worker's protection is " + report_.protection +
                          ": programs in other groups share the processors with it");
        }
    }

    cli_context& context_;
    interference_options options_;
    trial_node node_;
    clock::time_point start_;
    machine_times times_;
    interference_report report_;
};

/// Keeps the figures of giving back for `status`, where there is a data dir.
base::result<void> keep(const cli_context& context, const interference_report& report) {
    std::error_code ec;
    if (!std::filesystem::is_directory(context.data_dir, ec)) return {};
    const base::unix_time now{std::chrono::duration_cast<std::chrono::seconds>(
                                  std::chrono::system_clock::now().time_since_epoch())
                                  .count()};
    const auto summary = summary_json(report, base::to_rfc3339(now));
    if (summary.empty()) return {};
    return write_file(context.data_dir / "interference.json",
                      base::as_bytes(json::serialize(summary) + "\n"));
}

}  // namespace

std::vector<std::string> interference_probe_names() {
    std::vector<std::string> out;
    for (const auto& probe : interference_probes({})) out.emplace_back(probe.name);
    for (const char* name : {"give-back", "harvest", "paused"}) out.emplace_back(name);
    return out;
}

base::result<void> bench_interference(cli_context& context, const interference_options& given) {
    TEQUIO_TRY(const auto options, checked(given));
    catch_interrupts();
    TEQUIO_TRY(auto node, trial_node::create());
    interference_bench bench(context, options, std::move(node));
    auto measured = bench.run();
    if (interrupted()) return kept_nothing();
    if (!measured) return measured.error();
    TEQUIO_CHECK(keep(context, *measured));
    if (context.json) {
        context.print_json("bench-interference", as_json(*measured));
    } else {
        print(*measured);
    }
    return {};
}

base::result<void> run_rival(unsigned threads) {
    compute_pool pool(threads);
    TEQUIO_TRY(const auto bench, training::step_bench::create(trial_node::work(), pool));
    while (true) bench->one_step();
}

}  // namespace tequio::node
