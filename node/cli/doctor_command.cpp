// `tequio doctor`: does this machine compute exactly, and how well is its owner protected? Needs no
// daemon.

#include <unistd.h>

#include <boost/json.hpp>
#include <cstdio>

#include "node/cli/api_client.hpp"
#include "node/cli/commands.hpp"
#include "node/worker/compute_worker.hpp"
#include "node/worker/control_group.hpp"
#include "node/worker/protection_probe.hpp"
#include "p2p/data_dir.hpp"
#include "training/exactness.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;

json::array texts(const std::vector<std::string>& list) {
    json::array out;
    for (const auto& item : list) out.push_back(json::string(item));
    return out;
}

/// What a worker process of this machine reports when it starts: its sandbox as achieved.
base::result<worker_ready> start_a_worker() {
    constexpr int patience_ms = 5000;
    compute_worker worker(compute_worker_options{});
    TEQUIO_CHECK(worker.start());
    while (worker.wait(patience_ms)) {
        for (auto& e : worker.take_events()) {
            if (auto* ready = std::get_if<worker_ready>(&e)) return *ready;
            if (auto* exited = std::get_if<worker_exited>(&e)) {
                return ends_with(exit_code::failure,
                                 "the worker process ended at once: " + exited->reason);
            }
        }
    }
    return ends_with(exit_code::failure, "the worker process did not start within 5 s");
}

/// How well others are protected from a worker started from here: a service has other groups, so a
/// running daemon's own answer is shown beside it.
base::result<protection_report> measure_protection() {
    const auto group = worker_group::make(0);
    protection_probe probe;
    TEQUIO_CHECK(probe.start("/proc/self/exe", group.folder()));
    auto report = probe.take();
    if (group.folder().empty()) report.how += "; " + group.how();
    return report;
}

/// Null where it was not measured.
json::value share_of(const protection_report& report) {
    if (report.background_share < 0) return nullptr;
    return report.background_share;
}

/// A field of the running daemon's status; `otherwise` when there is none.
json::value status_field(api_client& daemon, const char* name, json::value otherwise) {
    const auto status = daemon.request_json("GET", "/api/v1/status");
    if (!status || !status->is_object()) return otherwise;
    const auto* found = status->get_object().if_contains(name);
    return found ? *found : otherwise;
}

base::result<void> doctor(cli_context& context) {
    std::vector<std::string> problems;
    training::serial_executor run;
    const auto tested = training::exactness_self_test(run, training::self_test_scope::everything);
    if (!tested) problems.push_back(tested.error().message());
    const auto worker = start_a_worker();
    if (!worker) problems.push_back(worker.error().message());
    const auto protection = measure_protection();
    if (!protection) problems.push_back(protection.error().message());
    std::error_code ec;
    if (std::filesystem::exists(p2p::identity_file(context.data_dir), ec)) {
        if (const auto identity = p2p::load_identity(context.data_dir); !identity) {
            problems.push_back(identity.error().message());
        }
    }
    auto daemon = api_client::connect(context.data_dir);
    const bool running = daemon.has_value();
    const auto found = protection ? *protection : protection_report{};
    json::object out{
        {"exact", tested ? "ok" : "failed"},
        {"exactness", training::exactness_identity()},
        {"targets", texts(training::exact_targets())},
        {"checked_targets", tested ? texts(tested->targets) : json::array()},
        {"checked_families", tested ? texts(tested->families) : json::array()},
        {"active_target", training::active_target()},
        {"gemm_engine", "own kernels (" + training::active_target() + ")"},
        {"cpu_protection", std::string(cpu_protection_name(found.kind))},
        {"background_share", share_of(found)},
        {"protection_reason", found.how},
        {"node_cpu_protection",
         running ? status_field(*daemon, "cpu_protection", nullptr) : nullptr},
        {"sandbox", worker ? worker->sandbox : "none"},
        {"idle_source", running ? status_field(*daemon, "idle_source", "unknown") : "no daemon"},
        {"reachable", running ? "unknown" : "no daemon"},
        {"problems", texts(problems)}};
    if (context.json) {
        context.print_json("doctor", std::move(out));
    } else {
        for (const auto& [key, value] : out) {
            if (key == "problems") continue;
            std::printf(
                "%-19s %s\n", std::string(key).c_str(),
                value.is_string() ? value.as_string().c_str() : json::serialize(value).c_str());
        }
        for (const auto& problem : problems) std::printf("problem: %s\n", problem.c_str());
    }
    if (!tested) context.code = exit_code::failure;
    return {};
}

}  // namespace

void add_doctor_command(cli_command& app, cli_context& context) {
    app.add_subcommand("doctor", "self-test: exactness, protection, reachability")
        ->callback([&context] { context.run([&] { return doctor(context); }); });
}

}  // namespace tequio::node
