// The API's routes on the store: GET store, POST store/prune {"job": ID, "dry_run": true}.

#include <boost/json.hpp>

#include "node/core/errc.hpp"
#include "node/io/daemon_loop.hpp"
#include "node/io/store_report.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;

using then_with = std::function<void(store_survey)>;

/// Looks at the store on the storage thread; the jobs are those of this moment.
void survey(daemon_loop& daemon, const prune_scope& scope, then_with then) {
    daemon.storage().run([jobs = daemon.logic().stored_jobs(), now = daemon.now().wall, scope,
                          folder = daemon.options().data_dir,
                          then = std::move(then)]() mutable -> storage_thread::continuation {
        auto found = survey_store(jobs, list_blob_files(folder), now, scope);
        return [found = std::move(found), then = std::move(then)]() mutable {
            then(std::move(found));
        };
    });
}

base::result<prune_scope> scope_of(daemon_loop& daemon, const json::object& body) {
    prune_scope scope;
    const auto* job = body.if_contains("job");
    if (!job) return scope;
    if (!job->is_string()) return fail(errc::bad_request, "job: a task id");
    TEQUIO_TRY(const auto id, daemon.logic().find(std::string_view(job->as_string())));
    TEQUIO_CHECK(daemon.logic().may_prune(id));
    scope.only = id;
    return scope;
}

}  // namespace

void show_store(daemon_loop& daemon, const store_answer& respond) {
    survey(daemon, {}, [&daemon, respond](const store_survey& found) {
        const auto& o = daemon.options();
        respond(
            store_json(found, space_of(o.data_dir, o.config.disk_bytes, o.config.disk_keep_free)));
    });
}

void prune_store(daemon_loop& daemon, const json::object& body, const store_answer& respond) {
    const auto scope = scope_of(daemon, body);
    if (!scope) return respond(scope.error());
    const auto* dry = body.if_contains("dry_run");
    const bool dry_run = dry && dry->is_bool() && dry->as_bool();
    survey(daemon, *scope, [&daemon, respond, dry_run](const store_survey& found) {
        if (dry_run) return respond(prune_json(found, true));
        node_effects effects;
        daemon.logic().prune(daemon.now(), found, effects);
        if (daemon.full_since()) daemon.drop_at_once(effects);
        daemon.carry_out(std::move(effects),
                         [respond, answer = prune_json(found, false)] { respond(answer); });
    });
}

}  // namespace tequio::node
