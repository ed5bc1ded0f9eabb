#include "tests/simulation/job_report.hpp"

#include <algorithm>
#include <cstdio>

#include "base/text.hpp"
#include "tests/simulation/shared_links.hpp"

namespace tequio::simulation {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, node_uses> use_names{
    "training", "checking",    "again",  "copies",       "stopped", "left",
    "merging",  "catching_up", "ending", "transferring", "waiting"};

std::string number(const char* format, double value) {
    char text[64];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

std::string percent(double share) {
    return number("%.1f %%", 100 * share);
}

std::string time(double seconds) {
    return base::human_duration(
        std::chrono::duration_cast<base::duration>(std::chrono::duration<double>(seconds)));
}

std::string size(double bytes) {
    return base::human_size(static_cast<std::uint64_t>(bytes));
}

class table {
public:
    void line(std::string_view name, const std::string& value) {
        std::string padded(name);
        padded.resize(std::max<std::size_t>(padded.size() + 1, 26), ' ');
        text += padded + value + "\n";
    }
    std::string text;
};

}  // namespace

std::string report_text(const job_scenario& s, const job_report& r) {
    table t;
    std::string options;
    for (const auto& o : job_options()) options += " --" + std::string(o.name) + " " + o.get(s);
    t.line("scenario", options.substr(1));
    t.line("model", std::to_string(r.cost.parameters) +
                        " parameters; a lane: " + std::to_string(r.cost.lane_tokens) +
                        " tokens, contribution " + base::human_size(r.cost.contribution_bytes) +
                        ", mean " + base::human_size(r.cost.mean_bytes));
    t.line("rounds", std::to_string(r.rounds) + " of " + std::to_string(s.rounds) +
                         (r.finished ? "" : "; the limit of virtual time was reached"));
    t.line("wall time",
           time(r.seconds) +
               (r.rounds > 0 ? ", " + time(r.seconds / static_cast<double>(r.rounds)) + " a round"
                             : "") +
               (r.settled_seconds > 0 ? "; settled after " + time(r.settled_seconds) : ""));
    t.line("goodput", number("%.0f", r.goodput) + " merged tokens/s of " +
                          number("%.0f", r.summed_speed) + " that the nodes make by themselves");
    t.line("utilisation", number("%.4f", r.utilisation));
    t.line("bound", number("%.4f", r.bound.goodput_share()) + " = " + number("%.4f", r.bound.kept) +
                        " kept x " + time(r.bound.compute) + " compute / (" +
                        time(r.bound.compute) +
                        (s.slices > 1 ? " / " + number("%.3f", r.bound.full) + " pipeline" : "") +
                        " + " + time(r.bound.transfer) + " transfer that cannot be hidden)");
    t.line("goodput to bound",
           number("%.4f", r.ratio_to_bound) +
               (s.slices > 1 ? "; " + number("%.4f", r.ratio_to_bound / r.bound.links) +
                                   " where what goes across the cuts leaves " +
                                   number("%.3f", r.bound.links) + " of their speed"
                             : ""));
    std::string use;
    for (std::size_t i = 0; i < node_uses; ++i) {
        auto name = std::string(use_names[i]);
        std::replace(name.begin(), name.end(), '_', ' ');
        use += (i ? ", " : "") + name + " " + percent(r.use[i]);
    }
    t.line("nodes' time", use);
    t.line("lanes", std::to_string(r.lanes_merged) + " merged, " + std::to_string(r.lanes_run) +
                        " run, " + std::to_string(r.checks_run) + " checks, " +
                        std::to_string(r.lanes_stopped) + " stopped before their end");
    if (s.slices > 1) {
        t.line("teams", "balance " + number("%.3f", r.balance) +
                            " (mean stage time / slowest), computing " + percent(r.team_busy) +
                            " of their lanes' time; " + std::to_string(r.attempts_lost) +
                            " attempts lost to members that left; " + size(r.activation_bytes) +
                            " a node and round sent to one another");
    }
    t.line("sent, node and round",
           size(r.bytes_sent) + " (messages " + size(r.message_bytes) + "); formula " +
               size(r.bytes_formula) +
               (r.bytes_formula > 0 ? ", ratio " + number("%.3f", r.bytes_sent / r.bytes_formula)
                                    : ""));
    t.line("links in use", "up " + percent(r.uplink_busy) + ", down " + percent(r.downlink_busy));
    t.line("churn",
           std::to_string(r.left) + " left, " + std::to_string(r.joined) + " came" +
               (r.first_work_seconds ? "; first work after " + time(*r.first_work_seconds) +
                                           " and " + size(r.newcomer_bytes)
                                     : "") +
               (r.states_fetched > 0 ? "; full states fetched: " + std::to_string(r.states_fetched)
                                     : ""));
    t.line("simulated", std::to_string(r.events) + " events, " + std::to_string(r.messages) +
                            " messages; hints every " + base::shortest(seconds_of(r.beat)) + " s");
    t.line("trace", r.trace.hex());
    return t.text;
}

json::object report_json(const job_scenario& s, const job_report& r) {
    json::object scenario, use;
    for (const auto& o : job_options()) scenario[o.name] = o.get(s);
    for (std::size_t i = 0; i < node_uses; ++i) use[use_names[i]] = r.use[i];
    json::object out{{"scenario", scenario},
                     {"parameters", r.cost.parameters},
                     {"lane_tokens", r.cost.lane_tokens},
                     {"contribution_bytes", r.cost.contribution_bytes},
                     {"mean_bytes", r.cost.mean_bytes},
                     {"finished", r.finished},
                     {"rounds", r.rounds},
                     {"seconds", r.seconds},
                     {"settled_seconds", r.settled_seconds},
                     {"tokens", r.tokens},
                     {"goodput", r.goodput},
                     {"summed_tokens_per_second", r.summed_speed},
                     {"utilisation", r.utilisation},
                     {"bound_share", r.bound.goodput_share()},
                     {"bound_kept", r.bound.kept},
                     {"bound_compute_seconds", r.bound.compute},
                     {"bound_transfer_seconds", r.bound.transfer},
                     {"bound_links", r.bound.links},
                     {"bound_goodput", r.bound_goodput},
                     {"ratio_to_bound", r.ratio_to_bound},
                     {"time", use},
                     {"lanes_merged", r.lanes_merged},
                     {"lanes_run", r.lanes_run},
                     {"checks_run", r.checks_run},
                     {"lanes_stopped", r.lanes_stopped},
                     {"balance", r.balance},
                     {"team_busy", r.team_busy},
                     {"attempts_lost", r.attempts_lost},
                     {"activation_bytes", r.activation_bytes},
                     {"bytes_sent", r.bytes_sent},
                     {"bytes_formula", r.bytes_formula},
                     {"message_bytes", r.message_bytes},
                     {"uplink_busy", r.uplink_busy},
                     {"downlink_busy", r.downlink_busy},
                     {"left", r.left},
                     {"joined", r.joined},
                     {"newcomer_bytes", r.newcomer_bytes},
                     {"states_fetched", r.states_fetched},
                     {"events", r.events},
                     {"messages", r.messages},
                     {"beat_seconds", seconds_of(r.beat)},
                     {"trace", r.trace.hex()}};
    out["first_work_seconds"] =
        r.first_work_seconds ? json::value(*r.first_work_seconds) : json::value(nullptr);
    return out;
}

}  // namespace tequio::simulation
