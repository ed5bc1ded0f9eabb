#include <unistd.h>

#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>
#include <chrono>

#include "node/cli/child_process.hpp"
#include "node/cli/interference_report.hpp"
#include "node/cli/process_meter.hpp"

using namespace tequio;
using namespace std::chrono_literals;

namespace {

node::interference_probe probe_called(std::string_view name) {
    for (auto& probe : node::interference_probes({})) {
        if (probe.name == name) return probe;
    }
    BOOST_FAIL("no probe " << name);
    return {};
}

node::child_process shell(const std::string& command) {
    node::child_options options;
    options.arguments = {"/bin/sh", "-c", command};
    auto child = node::child_process::start(options);
    BOOST_REQUIRE_MESSAGE(child, child.error().message());
    return std::move(*child);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(interference)

BOOST_AUTO_TEST_CASE(figures_are_quantiles_counts_and_rates) {
    using enum node::probe_figure::kind;
    const std::vector<double> samples{1, 2, 3, 20};
    BOOST_TEST((node::probe_figure{"p", quantile, 1}.of(samples)) == 20);
    BOOST_TEST((node::probe_figure{"p", quantile, 0.5}.of(samples)) == 2.5);
    BOOST_TEST((node::probe_figure{"n", above, 2}.of(samples)) == 2);
    BOOST_TEST((node::probe_figure{"n", above_share, 16, 3600}.of(samples)) == 900);
}

BOOST_AUTO_TEST_CASE(conditions_are_compared_block_by_block) {
    // The machine slows down by the block; each pair is alike all the same.
    node::probe_turns turns{probe_called("build"), {}};
    for (const double pace : {1.0, 2.0, 4.0}) {
        turns.blocks['A'].push_back({pace});
        turns.blocks['B'].push_back({1.02 * pace});
        turns.blocks['C'].push_back({1.5 * pace});
    }
    const auto compared = node::compare(turns, 1);
    BOOST_REQUIRE(compared.size() == 2U);
    BOOST_TEST(compared[0].condition == 'B');
    BOOST_TEST(compared[0].value.median == 1.02, boost::test_tools::tolerance(1e-9));
    BOOST_TEST(compared[0].value.high == 1.02, boost::test_tools::tolerance(1e-9));
    BOOST_TEST(compared[0].pairs == 3U);
    BOOST_TEST(compared[0].verdict() == "kept");
    BOOST_TEST(compared[1].verdict() == "missed");
}

BOOST_AUTO_TEST_CASE(an_interval_around_the_limit_decides_nothing) {
    node::paired_comparison c;
    c.value = {1.0, 1.01, 1.05};
    BOOST_TEST(c.verdict() == "");
    c.limit = 1.03;
    BOOST_TEST(c.verdict() == "open");
    c.limit = 0.99;
    BOOST_TEST(c.verdict() == "missed");
}

BOOST_AUTO_TEST_CASE(differences_are_taken_where_a_ratio_says_little) {
    node::probe_turns turns{probe_called("wake-up"), {}};
    turns.blocks['A'] = {{10, 10}, {20, 20}};
    turns.blocks['B'] = {{110, 110}, {320, 320}};
    const auto compared = node::compare(turns, 1);
    BOOST_REQUIRE(compared.size() == 1U);
    BOOST_TEST(!compared[0].ratio);
    BOOST_TEST(compared[0].value.median == 200, boost::test_tools::tolerance(1e-9));
    BOOST_TEST(compared[0].limit.value() == 500);
    // Without turns of A there is nothing to compare with.
    turns.blocks.erase('A');
    BOOST_TEST(node::compare(turns, 1).empty());
}

BOOST_AUTO_TEST_CASE(trials_that_did_not_stop_count_against_the_share) {
    node::interference_report report;
    node::give_back_times input{"input", {0.01, 0.02, 0.2}, 1, {}, {}, {}};
    BOOST_TEST(input.within(0.12) == 0.5);
    BOOST_TEST(input.within(0.25) == 0.75);
    BOOST_TEST(node::summary_json(report, "2026-11-24T12:00:00Z").empty());
    report.give_back = {input, {"contention", {0.01}, 0, {}, {}, {}}};
    const auto summary = node::summary_json(report, "2026-11-24T12:00:00Z");
    BOOST_TEST(summary.at("trials").to_number<int>() == 5);
    BOOST_TEST(summary.at("within_120ms").to_number<double>() == 0.6);
    BOOST_TEST(summary.at("max_ms").to_number<double>() == 200, boost::test_tools::tolerance(1e-9));
    BOOST_TEST(summary.at("date").as_string() == "2026-11-24T12:00:00Z");
}

BOOST_AUTO_TEST_CASE(a_program_is_waited_for_and_its_status_told) {
    BOOST_TEST(shell("exit 7").wait(10s).value() == 7);
    BOOST_TEST(shell("kill -TERM $$").wait(10s).value() == 143);
    node::child_options missing;
    missing.arguments = {"/nowhere/at/all"};
    auto child = node::child_process::start(missing);
    BOOST_REQUIRE(child.has_value());
    BOOST_TEST(child->wait(10s).value() == 127);
    auto busy = shell("while :; do :; done");
    BOOST_TEST(!busy.wait(20ms).has_value());
}

BOOST_AUTO_TEST_CASE(a_program_is_asked_to_end_before_it_is_made_to) {
    const auto start = std::chrono::steady_clock::now();
    shell("trap 'exit 0' TERM; while :; do :; done").end(20s);
    BOOST_TEST((std::chrono::steady_clock::now() - start < 20s));
    pid_t deaf = 0;
    {
        auto child = shell("trap '' TERM; while :; do :; done");
        deaf = child.id();
        child.end(50ms);
    }
    BOOST_TEST(node::has_ended(deaf));
}

BOOST_AUTO_TEST_CASE(no_process_of_a_group_outlives_its_object) {
    pid_t inner = 0;
    pid_t outer = 0;
    {
        const auto child = shell("while :; do :; done & wait");
        outer = child.id();
        for (int i = 0; i < 2000 && inner == 0; ++i) {
            const auto found = node::children_of(outer);
            if (!found.empty()) inner = found.front();
        }
        BOOST_REQUIRE(inner != 0);
        BOOST_TEST(!node::has_ended(inner));
    }
    BOOST_TEST(node::has_ended(outer));
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!node::has_ended(inner) && std::chrono::steady_clock::now() < end) continue;
    BOOST_TEST(node::has_ended(inner));
}

BOOST_AUTO_TEST_CASE(use_of_processors_and_memory_is_counted) {
    const auto busy = shell("while :; do :; done");
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (node::used_seconds(busy.id()) < 0.05 && std::chrono::steady_clock::now() < end) continue;
    BOOST_TEST(node::used_seconds(busy.id()) >= 0.05);
    BOOST_TEST(node::memory_of(::getpid()).resident > 1024U * 1024U);
    BOOST_TEST(node::memory_of(::getpid()).proportional <= node::memory_of(::getpid()).resident);
    BOOST_TEST(node::used_seconds(-1) == 0);
    const auto machine = node::read_machine_times();
    BOOST_TEST(machine.total > machine.busy);
    BOOST_TEST(machine.busy > 0);
}

BOOST_AUTO_TEST_SUITE_END()
