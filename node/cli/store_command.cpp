// `tequio store show|prune`: what the data folder holds, and letting go of what nobody needs. A
// running daemon is asked; without one the folder's lock is taken.

#include <boost/json.hpp>
#include <chrono>
#include <cstdio>

#include "base/text.hpp"
#include "node/cli/api_client.hpp"
#include "node/cli/commands.hpp"
#include "node/cli/config_command.hpp"
#include "node/cli/json_text.hpp"
#include "node/io/store_report.hpp"
#include "p2p/data_dir.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;

struct prune_options {
    std::string job;
    bool dry_run = false;
};

base::unix_time unix_now() {
    return {std::chrono::duration_cast<std::chrono::seconds>(
                std::chrono::system_clock::now().time_since_epoch())
                .count()};
}

/// The daemon of this data folder; none when none runs.
base::result<std::optional<api_client>> daemon_of(const cli_context& context) {
    auto client = api_client::connect(context.data_dir);
    if (client) return std::optional<api_client>(std::move(*client));
    if (!client.error().is(client_errc::not_reachable)) return client.error();
    std::error_code ec;
    if (!std::filesystem::is_directory(context.data_dir, ec)) {
        return ends_with(exit_code::not_found,
                         "no store in " + context.data_dir.string() +
                             "; a node makes one when it first runs: tequio node, or name another "
                             "--data-dir");
    }
    return std::optional<api_client>();
}

base::result<prune_scope> scope_of(const std::vector<stored_job>& jobs, const std::string& id) {
    prune_scope scope;
    if (id.empty()) return scope;
    const stored_job* found = nullptr;
    for (const auto& job : jobs) {
        if (!job.id.hex().starts_with(id)) continue;
        if (found) {
            return ends_with(exit_code::usage,
                             "--job: several jobs begin with " + id + "; give more digits");
        }
        found = &job;
    }
    if (!found) return ends_with(exit_code::not_found, "no job " + id + " in this store");
    if (found->open) {
        return ends_with(exit_code::refused, "job " + found->id.brief() +
                                                 " is not over, and needs what it has; `tequio job "
                                                 "leave` or `tequio job cancel` end it");
    }
    scope.only = found->id;
    return scope;
}

base::result<json::object> show_alone(const cli_context& context) {
    TEQUIO_TRY(const auto config, load_node_config({}));
    TEQUIO_TRY(const auto jobs, read_stored_jobs(context.data_dir));
    const auto found = survey_store(jobs, list_blob_files(context.data_dir), unix_now());
    return store_json(found, space_of(context.data_dir, config.disk_bytes, config.disk_keep_free));
}

base::result<json::object> prune_alone(const cli_context& context, const prune_options& o) {
    TEQUIO_TRY(const auto lock, p2p::data_dir_lock::acquire(context.data_dir));
    (void)lock;
    TEQUIO_TRY(const auto jobs, read_stored_jobs(context.data_dir));
    TEQUIO_TRY(const auto scope, scope_of(jobs, o.job));
    const auto now = unix_now();
    const auto found = survey_store(jobs, list_blob_files(context.data_dir), now, scope);
    if (!o.dry_run) TEQUIO_CHECK(prune_files(context.data_dir, found, jobs, now));
    return prune_json(found, o.dry_run);
}

std::string size_of(const json::object& o, const char* key) {
    return base::human_size(o.at(key).to_number<std::uint64_t>());
}

void print_job(const json::object& job) {
    std::string kinds;
    for (const auto& [kind, bytes] : job.at("bytes").as_object()) {
        kinds += (kinds.empty() ? "" : ", ") + std::string(kind) + " " +
                 base::human_size(bytes.to_number<std::uint64_t>());
    }
    const auto until = json_text(job, "kept_until");
    std::printf("%s  %-20s %-9s %10s  (%s)%s\n", json_text(job, "task").substr(0, 12).c_str(),
                json_text(job, "name").c_str(), json_text(job, "state").c_str(),
                size_of(job, "total_bytes").c_str(), kinds.c_str(),
                until.empty() ? "" : (" kept until " + until).c_str());
}

base::result<void> show(cli_context& context) {
    TEQUIO_TRY(auto daemon, daemon_of(context));
    json::object store;
    if (daemon) {
        TEQUIO_TRY(auto answer, daemon->request_json("GET", "/api/v1/store"));
        store = std::move(answer.as_object());
    } else {
        TEQUIO_TRY(store, show_alone(context));
    }
    if (context.json) {
        context.print_json("store", std::move(store));
        return {};
    }
    for (const auto& job : store.at("jobs").as_array()) print_job(job.as_object());
    std::printf("%-12s  %s\n", "of no job", size_of(store, "unowned_bytes").c_str());
    std::printf("%-12s  %s of %s (limits.disk), besides %s of databases\n", "used",
                size_of(store, "used_bytes").c_str(), size_of(store, "limit_bytes").c_str(),
                size_of(store, "database_bytes").c_str());
    std::printf("%-12s  %s of %s on the file system, of which %s %% stay free (limits.keep_free)\n",
                "free", size_of(store, "free_bytes").c_str(), size_of(store, "disk_bytes").c_str(),
                base::shortest(store.at("keep_free").to_number<double>() * 100).c_str());
    std::printf("%-12s  %s may be added\n", "room", size_of(store, "room_bytes").c_str());
    std::printf("%-12s  %s would go with `tequio store prune`\n", "prunable",
                size_of(store, "prunable_bytes").c_str());
    return {};
}

base::result<void> prune(cli_context& context, const prune_options& o) {
    TEQUIO_TRY(auto daemon, daemon_of(context));
    json::object pruned;
    if (daemon) {
        json::object body{{"dry_run", o.dry_run}};
        if (!o.job.empty()) body["job"] = o.job;
        TEQUIO_TRY(auto answer,
                   daemon->request_json("POST", "/api/v1/store/prune", json::serialize(body)));
        pruned = std::move(answer.as_object());
    } else {
        TEQUIO_TRY(pruned, prune_alone(context, o));
    }
    if (context.json) {
        context.print_json("store-prune", std::move(pruned));
        return {};
    }
    for (const auto& item : pruned.at("jobs").as_array()) {
        const auto& job = item.as_object();
        std::printf("%s  %-20s %s%s\n", json_text(job, "task").substr(0, 12).c_str(),
                    json_text(job, "name").c_str(), size_of(job, "freed_bytes").c_str(),
                    job.at("forgotten").as_bool() ? ", forgotten" : "");
    }
    std::printf("%s %s, %llu blobs; receipts stay in the ledger\n",
                o.dry_run ? "would free" : "freed", size_of(pruned, "freed_bytes").c_str(),
                static_cast<unsigned long long>(pruned.at("blobs").to_number<std::uint64_t>()));
    return {};
}

}  // namespace

void add_store_command(cli_command& app, cli_context& context) {
    auto& store = *app.add_subcommand("store", "what is kept on disk, and letting go of it");
    store.require_subcommand(1);
    store.add_subcommand("show", "bytes by job and kind, and what is free")->callback([&context] {
        context.run([&] { return show(context); });
    });
    auto o = std::make_shared<prune_options>();
    auto* command = store.add_subcommand(
        "prune", "drop what is past its keep time and what no job needs; never the ledger");
    command->add_flag("--dry-run", o->dry_run, "say what would go, and keep it");
    command->add_option("--job", o->job,
                        "only this job, which must be over; its keep time need not be");
    command->callback([&context, o] { context.run([&] { return prune(context, *o); }); });
}

}  // namespace tequio::node
