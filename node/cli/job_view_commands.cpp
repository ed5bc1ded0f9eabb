// `tequio job list|show|watch|cancel|leave`: what the daemon knows about jobs.

#include <boost/json.hpp>
#include <chrono>
#include <cstdio>

#include "base/text.hpp"
#include "node/cli/api_client.hpp"
#include "node/cli/commands.hpp"
#include "node/cli/job_watch.hpp"
#include "node/cli/json_text.hpp"
#include "node/cli/submitter.hpp"
#include "training/task.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;

std::string shown(const json::value& value) {
    return value.is_string() ? std::string(value.as_string()) : json::serialize(value);
}

base::result<void> list_jobs(cli_context& context) {
    TEQUIO_TRY(auto daemon, api_client::connect(context.data_dir));
    TEQUIO_TRY(auto answer, daemon.request_json("GET", "/api/v1/jobs"));
    if (context.json) {
        context.print_json("jobs", std::move(answer.as_object()));
        return {};
    }
    const auto& jobs = answer.as_object().at("jobs").as_array();
    if (jobs.empty()) context.say("No job is at this node. Submit one: tequio job submit job.toml");
    for (const auto& item : jobs) {
        const auto& job = item.as_object();
        std::printf("%s  %-20s %s\n", json_text(job, "task").substr(0, 12).c_str(),
                    json_text(job, "name").c_str(), job_line(job).c_str());
    }
    return {};
}

/// Which slice of the model a member holds, and with whom it works; empty where it is not divided.
std::string seat_of(const json::object& member) {
    const auto* slice = member.if_contains("slice");
    if (slice == nullptr) return {};
    const auto number = [&](const char* key) { return member.at(key).to_number<std::uint64_t>(); };
    std::string out = "slice " + std::to_string(number("slice") + 1) + " of " +
                      std::to_string(number("slices")) + ", ";
    if (number("team") == 0) {
        out += "standby";
    } else {
        out += "team " + std::to_string(number("team"));
        if (member.at("lead").as_bool()) out += ", lead";
    }
    return out + "; ";
}

base::result<void> show(cli_context& context, const std::string& id) {
    TEQUIO_TRY(auto daemon, api_client::connect(context.data_dir));
    TEQUIO_TRY(auto answer, daemon.request_json("GET", "/api/v1/jobs/" + id));
    auto& job = answer.as_object();
    if (context.json) {
        context.print_json("job", std::move(job));
        return {};
    }
    for (const auto& [key, value] : job) {
        if (key == "crew" || key == "refusals" || key == "warnings") continue;
        std::printf("%-18s %s\n", std::string(key).c_str(), shown(value).c_str());
    }
    for (const auto& item : job.at("crew").as_array()) {
        const auto& m = item.as_object();
        std::printf("crew %s  %s%s%s\n", json_text(m, "node").substr(0, 12).c_str(),
                    seat_of(m).c_str(), json_text(m, "doing").c_str(),
                    m.at("present").as_bool() ? "" : " (not heard of)");
    }
    for (const auto& item : job.at("warnings").as_array()) {
        std::printf("warning: %s\n", shown(item).c_str());
    }
    for (const auto& item : job.at("refusals").as_array()) {
        const auto& r = item.as_object();
        std::printf("refused by %s: %s\n", json_text(r, "node").substr(0, 12).c_str(),
                    json_text(r, "reason").c_str());
    }
    context.say(
        "The digest is right unless a wrong piece went unchecked; `tequio job replay` decides.");
    return {};
}

base::result<void> watch(cli_context& context, const std::string& id) {
    TEQUIO_TRY(auto daemon, api_client::connect(context.data_dir));
    return watch_job(context, daemon, id);
}

base::result<void> cancel(cli_context& context, const std::string& id, const std::string& reason) {
    TEQUIO_TRY(auto daemon, api_client::connect(context.data_dir));
    TEQUIO_TRY(const auto note, daemon.request("GET", "/api/v1/jobs/" + id + "/task"));
    TEQUIO_TRY(const auto task, training::parse_task(note));
    TEQUIO_TRY(const auto key, load_or_create_submitter());
    if (key.public_part() != task.submitter) {
        return ends_with(exit_code::refused,
                         "only its submitter can cancel a job; your key is " +
                             key.public_part().brief() + ", the task was signed by " +
                             task.submitter.brief() +
                             ". `tequio job leave` ends this node's part in it");
    }
    training::cancellation c;
    c.task = training::task_id_of(task);
    c.submitter = key.public_part();
    c.created = {std::chrono::duration_cast<std::chrono::seconds>(
                     std::chrono::system_clock::now().time_since_epoch())
                     .count()};
    c.reason = reason;
    TEQUIO_TRY(const auto answer, daemon.request("POST", "/api/v1/jobs/" + id + "/cancel",
                                                 training::sign_cancellation(c, key).encode()));
    (void)answer;
    if (context.json) context.print_json("job-cancel", {{"task", c.task.hex()}});
    context.say("Cancelled job " + c.task.hex().substr(0, 12) + "; the swarm is told.");
    return {};
}

base::result<void> leave(cli_context& context, const std::string& id) {
    TEQUIO_TRY(auto daemon, api_client::connect(context.data_dir));
    TEQUIO_TRY(const auto answer, daemon.request("POST", "/api/v1/jobs/" + id + "/leave"));
    (void)answer;
    if (context.json) context.print_json("job-leave", {{"task", id}});
    context.say("This node left job " + id + "; others go on.");
    return {};
}

using id_command = base::result<void> (*)(cli_context&, const std::string&);

void add_with_id(cli_command& job, cli_context& context, const char* name, const char* help,
                 id_command run) {
    auto id = std::make_shared<std::string>();
    auto* command = job.add_subcommand(name, help);
    command->add_option("ID", *id, "task id, or its first digits")->required();
    command->callback([&context, id, run] { context.run([&] { return run(context, *id); }); });
}

}  // namespace

void add_job_view_commands(cli_command& job, cli_context& context) {
    job.add_subcommand("list", "the jobs at this node")->callback([&context] {
        context.run([&] { return list_jobs(context); });
    });
    add_with_id(job, context, "show", "all about one job", show);
    add_with_id(job, context, "watch", "follow a job until it ends", watch);
    add_with_id(job, context, "leave", "end this node's part in a job", leave);
    struct cancel_options {
        std::string id, reason;
    };
    auto o = std::make_shared<cancel_options>();
    auto* command = job.add_subcommand("cancel", "end a job you submitted, everywhere");
    command->add_option("ID", o->id, "task id, or its first digits")->required();
    command->add_option("--reason", o->reason, "shown to the crew");
    command->callback(
        [&context, o] { context.run([&] { return cancel(context, o->id, o->reason); }); });
}

}  // namespace tequio::node
