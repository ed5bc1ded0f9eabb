#include "node/cli/interference_report.hpp"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdio>

#include "base/text.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;

/// The targets of the reference "volunteer", section 4.2, in the probe's unit.
struct target {
    std::string_view probe;
    char condition;
    double limit;
};
constexpr std::array targets{target{"wake-up", 'B', 500.0}, target{"build", 'B', 1.03},
                             target{"build", 'C', 1.01}, target{"frames", 'C', 0.0}};

std::optional<double> limit_of(std::string_view probe, char condition) {
    for (const auto& t : targets) {
        if (t.probe == probe && t.condition == condition) return t.limit;
    }
    return std::nullopt;
}

std::vector<double> all_of(const std::vector<std::vector<double>>& blocks) {
    std::vector<double> out;
    for (const auto& block : blocks) out.insert(out.end(), block.begin(), block.end());
    return out;
}

std::string number(double value) {
    char text[64];
    std::snprintf(text, sizeof text, "%.4g", value);
    return text;
}

std::string as_milliseconds(double seconds) {
    return number(1e3 * seconds) + " ms";
}

json::object json_of(const paired_comparison& c) {
    json::object out{{"condition", std::string(1, c.condition)},
                     {"figure", c.figure},
                     {"as", c.ratio ? "ratio" : "difference"},
                     {"pairs", c.pairs},
                     {"median", c.value.median},
                     {"low", c.value.low},
                     {"high", c.value.high}};
    if (c.limit) {
        out["limit"] = *c.limit;
        out["verdict"] = c.verdict();
    }
    return out;
}

json::object json_of(const probe_turns& turns, std::uint64_t seed) {
    json::array conditions;
    for (const auto& [condition, blocks] : turns.blocks) {
        const auto samples = all_of(blocks);
        if (samples.empty()) continue;
        json::object one{{"condition", std::string(1, condition)}, {"samples", samples.size()}};
        for (const auto& figure : turns.probe.figures) one[figure.name] = figure.of(samples);
        // The first figure of each block, so that runs can be put together.
        json::array by_block;
        for (const auto& block : blocks) by_block.emplace_back(turns.probe.figures[0].of(block));
        one["by_block"] = std::move(by_block);
        conditions.push_back(std::move(one));
    }
    json::array compared;
    for (const auto& c : compare(turns, seed)) compared.push_back(json_of(c));
    return {{"name", turns.probe.name},
            {"unit", turns.probe.unit},
            {"conditions", std::move(conditions)},
            {"compared", std::move(compared)}};
}

json::object json_of(const give_back_times& g) {
    json::object out{{"trigger", g.trigger},
                     {"trials", g.trials()},
                     {"not_stopped", g.not_stopped},
                     {"within_120ms", g.within(0.12)},
                     {"within_250ms", g.within(0.25)}};
    if (!g.seconds.empty()) {
        out["p50_ms"] = 1e3 * quantile(g.seconds, 0.5);
        out["p99_ms"] = 1e3 * quantile(g.seconds, 0.99);
        out["max_ms"] = 1e3 * quantile(g.seconds, 1);
    }
    // All of them in their order, so that runs can be put together.
    json::array stopped;
    for (const double s : g.seconds) stopped.emplace_back(1e3 * s);
    out["stopped_ms"] = std::move(stopped);
    if (!g.working.empty()) out["processors_before"] = quantile(g.working, 0.5);
    if (!g.parked_seconds.empty()) {
        out["parked_p50_ms"] = 1e3 * quantile(g.parked_seconds, 0.5);
        out["parked_p99_ms"] = 1e3 * quantile(g.parked_seconds, 0.99);
        out["parked_max_ms"] = 1e3 * quantile(g.parked_seconds, 1);
        out["parked_trials"] = g.parked_seconds.size();
    }
    return out;
}

json::object json_of(const harvest_result& h) {
    return {{"seconds", h.seconds},
            {"worker_cpu_seconds", h.worker_seconds},
            {"available_cpu_seconds", h.available_seconds},
            {"others_cpu_seconds", h.others_seconds},
            {"share", h.share()},
            {"full_after_seconds",
             h.full_after_seconds ? json::value(*h.full_after_seconds) : json::value(nullptr)}};
}

json::object json_of(const paused_result& p) {
    return {{"seconds", p.seconds},
            {"daemon_resident_bytes", p.daemon.resident},
            {"daemon_proportional_bytes", p.daemon.proportional},
            {"daemon_cpu_share", p.daemon_share},
            {"worker_cpu_share", p.worker_share},
            {"worker_resident_before_bytes", p.worker_resident_before},
            {"worker_resident_after_bytes", p.worker_resident_after},
            {"memory_released_seconds", p.memory_released_seconds
                                            ? json::value(*p.memory_released_seconds)
                                            : json::value(nullptr)}};
}

json::object json_of(const machine_facts& m) {
    return {{"processors", m.processors},
            {"kernel", m.kernel},
            {"autogroup", m.autogroup},
            {"frequency_governor", m.frequency_governor},
            {"load", m.load},
            {"own_priority_usual", m.own_priority_usual}};
}

void print_probe(const probe_turns& turns, std::uint64_t seed) {
    std::printf("\n%s, %s\n", std::string(turns.probe.name).c_str(),
                std::string(turns.probe.unit).c_str());
    for (const auto& [condition, blocks] : turns.blocks) {
        const auto samples = all_of(blocks);
        if (samples.empty()) continue;
        std::printf("  %c %-34s", condition, condition_name(condition).c_str());
        for (const auto& figure : turns.probe.figures) {
            std::printf("  %s %s", std::string(figure.name).c_str(),
                        number(figure.of(samples)).c_str());
        }
        std::printf("\n");
    }
    for (const auto& c : compare(turns, seed)) {
        const char* sign = c.ratio ? " / A" : " - A";
        std::printf("  %s, %c%s: %s (%s to %s)", c.figure.c_str(), c.condition, sign,
                    number(c.value.median).c_str(), number(c.value.low).c_str(),
                    number(c.value.high).c_str());
        if (c.limit) {
            std::printf("; limit %s: %s", number(*c.limit).c_str(), c.verdict().c_str());
        }
        std::printf("\n");
    }
}

void print_give_back(const give_back_times& g) {
    std::printf("\ngiven back after %s, %zu trials: ", g.trigger.c_str(), g.trials());
    if (!g.seconds.empty()) {
        std::printf("p50 %s, p99 %s, longest %s; ",
                    as_milliseconds(quantile(g.seconds, 0.5)).c_str(),
                    as_milliseconds(quantile(g.seconds, 0.99)).c_str(),
                    as_milliseconds(quantile(g.seconds, 1)).c_str());
    }
    std::printf("within 120 ms in %.1f %%, within 250 ms in %.1f %%", 100 * g.within(0.12),
                100 * g.within(0.25));
    if (g.not_stopped > 0) std::printf("; %zu did not stop", g.not_stopped);
    std::printf("\n");
    if (g.parked_seconds.empty()) return;
    std::printf("  all threads taken away: p50 %s, longest %s\n",
                as_milliseconds(quantile(g.parked_seconds, 0.5)).c_str(),
                as_milliseconds(quantile(g.parked_seconds, 1)).c_str());
}

void print_paused(const paused_result& p) {
    std::printf("paused for %s s: daemon %s resident, %s its own part, %.3f %% of a processor\n",
                number(p.seconds).c_str(), base::human_size(p.daemon.resident).c_str(),
                base::human_size(p.daemon.proportional).c_str(), 100 * p.daemon_share);
    std::printf("  worker: %s before, %s after, %.3f %% of a processor; memory free after %s\n",
                base::human_size(p.worker_resident_before).c_str(),
                base::human_size(p.worker_resident_after).c_str(), 100 * p.worker_share,
                p.memory_released_seconds ? (number(*p.memory_released_seconds) + " s").c_str()
                                          : "more than that");
}

}  // namespace

std::string condition_name(char condition) {
    switch (condition) {
        case 'A':
            return "no node";
        case 'B':
            return "node forced on";
        case 'C':
            return "normal policy, its owner is there";
        case 'D':
            return "rival at nice 10";
        default:
            return "normal policy, nobody is there";
    }
}

std::string paired_comparison::verdict() const {
    if (!limit) return "";
    if (value.high <= *limit) return "kept";
    return value.low > *limit ? "missed" : "open";
}

std::vector<paired_comparison> compare(const probe_turns& turns, std::uint64_t seed) {
    std::vector<paired_comparison> out;
    const auto reference = turns.blocks.find('A');
    if (reference == turns.blocks.end()) return out;
    const auto& figure = turns.probe.figures.front();
    const bool ratio = turns.probe.compared == interference_probe::comparison::ratio;
    for (const auto& [condition, blocks] : turns.blocks) {
        if (condition == 'A') continue;
        std::vector<double> values;
        for (std::size_t i = 0; i < std::min(blocks.size(), reference->second.size()); ++i) {
            const double with = figure.of(blocks[i]);
            const double without = figure.of(reference->second[i]);
            if (ratio && without == 0) continue;
            values.push_back(ratio ? with / without : with - without);
        }
        if (values.empty()) continue;
        out.push_back({condition, std::string(figure.name), ratio, values.size(),
                       bootstrap_median(values, seed), limit_of(turns.probe.name, condition)});
    }
    return out;
}

double give_back_times::within(double limit) const {
    if (trials() == 0) return 0;
    const auto count =
        std::count_if(seconds.begin(), seconds.end(), [&](double s) { return s <= limit; });
    return static_cast<double>(count) / static_cast<double>(trials());
}

json::object as_json(const interference_report& r) {
    json::array probes, give_back, warnings;
    for (const auto& p : r.probes) probes.push_back(json_of(p, r.seed));
    for (const auto& g : r.give_back) give_back.push_back(json_of(g));
    for (const auto& w : r.warnings) warnings.push_back(json::string(w));
    auto machine = json_of(r.machine);
    machine["others_busy_processors"] = r.others_busy;
    machine["steal_share"] = r.steal_share;
    return {{"machine", std::move(machine)},
            {"cpu_protection", r.protection},
            {"conditions", r.conditions},
            {"blocks", r.blocks},
            {"turn_seconds", r.turn_seconds},
            {"seed", r.seed},
            {"build", r.build},
            {"probes", std::move(probes)},
            {"give_back", std::move(give_back)},
            {"harvest", r.harvest ? json::value(json_of(*r.harvest)) : json::value(nullptr)},
            {"paused", r.paused ? json::value(json_of(*r.paused)) : json::value(nullptr)},
            {"warnings", std::move(warnings)},
            {"seconds", r.seconds}};
}

void print(const interference_report& r) {
    std::printf(
        "%u processors, Linux %s, frequency governor %s, autogroups %s, load %.2f, others use %.2f "
        "processors, steal %.2f %%\n",
        r.machine.processors, r.machine.kernel.c_str(), r.machine.frequency_governor.c_str(),
        r.machine.autogroup ? "on" : "off", r.machine.load, r.others_busy, 100 * r.steal_share);
    std::printf(
        "protection %s; %llu blocks of %s; medians of pairs with their 95 %% interval, seed "
        "%llu\n",
        r.protection.c_str(), static_cast<unsigned long long>(r.blocks), r.conditions.c_str(),
        static_cast<unsigned long long>(r.seed));
    std::printf("the run took %.0f s\n", r.seconds);
    for (const auto& warning : r.warnings) std::printf("warning: %s\n", warning.c_str());
    for (const auto& p : r.probes) print_probe(p, r.seed);
    for (const auto& g : r.give_back) print_give_back(g);
    if (r.harvest) {
        std::printf(
            "\nharvest: %.1f of %.1f processor seconds that lay idle, %.1f %%; others used %.1f\n",
            r.harvest->worker_seconds, r.harvest->available_seconds, 100 * r.harvest->share(),
            r.harvest->others_seconds);
        if (r.harvest->full_after_seconds) {
            std::printf("  all threads were at work %.1f s after the start\n",
                        *r.harvest->full_after_seconds);
        } else {
            std::printf(
                "  the policy never allowed all threads for long: others used processors\n");
        }
    }
    if (r.paused) print_paused(*r.paused);
}

json::object summary_json(const interference_report& r, const std::string& date) {
    give_back_times sum;
    for (const auto& g : r.give_back) {
        sum.seconds.insert(sum.seconds.end(), g.seconds.begin(), g.seconds.end());
        sum.not_stopped += g.not_stopped;
    }
    if (sum.seconds.empty()) return {};
    return {{"date", date},
            {"trials", sum.trials()},
            {"not_stopped", sum.not_stopped},
            {"p50_ms", 1e3 * quantile(sum.seconds, 0.5)},
            {"p99_ms", 1e3 * quantile(sum.seconds, 0.99)},
            {"max_ms", 1e3 * quantile(sum.seconds, 1)},
            {"within_120ms", sum.within(0.12)},
            {"within_250ms", sum.within(0.25)}};
}

}  // namespace tequio::node
