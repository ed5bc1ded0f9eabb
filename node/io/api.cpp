// The API's routes under /api/v1/: JSON views of the node, and the commands of its owner. Who can
// open the socket is the owner, so nothing here asks for more. Others have a door of their own,
// with one route: the report of their session's agent.

#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/text.hpp"
#include "node/core/errc.hpp"
#include "node/governor/probes/seats.hpp"
#include "node/io/daemon_loop.hpp"
#include "training/contribution.hpp"
#include "training/errc.hpp"
#include "training/exactness.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;
using respond_with = std::function<void(api_response)>;

api_response ok(json::object body) {
    return {200, json::serialize(body), "application/json"};
}

api_response refused(int status, const std::string& sentence) {
    return {status, json::serialize(json::object{{"error", sentence}}), "application/json"};
}

api_response refused(const base::error& error) {
    int status = 400;
    if (error.is(errc::not_found)) status = 404;
    if (error.is(errc::refused) || error.is(training::errc::refused_by_policy)) status = 403;
    return refused(status, error.message());
}

json::value optional_number(const std::optional<double>& value) {
    return value ? json::value(*value) : json::value(nullptr);
}

json::object coded_json(const training::contribution_tally& tally, std::uint64_t parameters) {
    return {{"results", tally.results},
            {"saturated_share", tally.saturated_share(parameters)},
            {"flushed_share", tally.flushed_share(parameters)}};
}

/// What encoding did to the values of the results that this node computed, and whether that is too
/// much.
void add_coded(json::object& out, const job_view& v) {
    using training::contribution_kind;
    const auto& work = v.task->work;
    const auto parameters = training::parameter_count(work.model).value_or(1);
    out["coded"] = json::object{{"lanes", coded_json(v.crew.lanes_coded, parameters)},
                                {"means", coded_json(v.crew.means_coded, parameters)}};
    json::array warnings;
    for (const auto& strain :
         {training::strain_of(contribution_kind::lane, work, v.crew.lanes_coded),
          training::strain_of(contribution_kind::mean, work, v.crew.means_coded)}) {
        if (!strain.empty()) warnings.emplace_back(strain);
    }
    out["warnings"] = std::move(warnings);
}

json::object job_json(const job_view& v) {
    json::array crew;
    for (const auto& m : v.crew.members) {
        json::object member{{"node", m.node.hex()},     {"present", m.present},
                            {"available", m.available}, {"doing", m.doing},
                            {"rounds", m.rounds},       {"lanes_done", m.lanes_done}};
        if (m.slice) {
            member["slice"] = m.slice->index;
            member["slices"] = m.slice->count;
            member["slice_rounds"] = m.slice_rounds;
            member["team"] = m.team;
            member["lead"] = m.lead;
        }
        crew.push_back(std::move(member));
    }
    json::array refusals;
    for (const auto& r : v.refusals)
        refusals.push_back(json::object{{"node", r.node.hex()}, {"reason", r.reason}});
    json::object out{{"task", v.id.hex()},
                     {"recipe", training::recipe_id_of(v.task->work).hex()},
                     {"name", v.task->name},
                     {"purpose", v.task->purpose},
                     {"state", job_state_name(v.crew.state)},
                     {"reason_code", v.crew.reason_code},
                     {"reason", v.crew.reason},
                     {"round", v.crew.round},
                     {"rounds", v.crew.rounds},
                     {"settled_round", v.crew.settled_round},
                     {"checked_share", v.crew.checked_share},
                     {"tainted", v.crew.tainted},
                     {"state_digest", v.crew.state_digest.hex()},
                     {"loss", optional_number(v.crew.loss)},
                     {"validation_loss", optional_number(v.crew.validation_loss)},
                     {"tokens", v.crew.tokens},
                     {"counted_as", training::counted_as(v.task->work.model)},
                     {"tokens_per_second", v.tokens_per_second},
                     {"eta_seconds", v.eta_seconds},
                     {"crew", std::move(crew)},
                     {"steward", v.crew.steward.is_zero() ? "" : v.crew.steward.hex()},
                     {"refusals", std::move(refusals)},
                     {"data_here", v.data_here},
                     {"data_pieces_here", v.pieces_here},
                     {"data_pieces", v.pieces},
                     {"data_copies", v.data_copies},
                     {"safe_to_leave", v.safe_to_leave},
                     {"fetchable", !v.files.empty()},
                     {"deadline", base::to_rfc3339(v.task->deadline)},
                     {"bytes_sent", v.traffic.sent},
                     {"bytes_received", v.traffic.received}};
    if (v.crew.slices > 0) {
        out["slices"] = v.crew.slices;
        out["teams"] = v.crew.teams;
    }
    if (v.crew.groups > 1) {
        out["groups"] = v.crew.groups;
        out["group"] = v.crew.group;
        out["crew_abroad"] = v.crew.abroad;
    }
    if (v.crew.tainted_from) out["tainted_from"] = *v.crew.tainted_from;
    add_coded(out, v);
    return out;
}

json::object history_json(const governor_change& change) {
    return {{"at", base::to_rfc3339(change.at)},
            {"reason_code", reason_code_name(change.code)},
            {"threads", change.threads},
            {"reason", change.reason}};
}

/// What the governor has to say, besides the state that it may decide.
void add_governor(json::object& out, const governor_view& v, const history_record& history) {
    json::array codes;
    for (const auto code : v.allowed.all) codes.emplace_back(reason_code_name(code));
    json::array changes;
    for (const auto& change : history.changes()) changes.push_back(history_json(change));
    out["threads"] = v.allowed.threads;
    out["threads_limit"] = v.threads_limit;
    out["memory_limit"] = v.allowed.memory_bytes;
    out["in_use"] = v.allowed.in_use;
    out["idle_source"] = v.idle_source;
    out["release"] = release_level_name(v.level);
    out["governor_code"] = reason_code_name(v.allowed.code);
    out["governor_reason"] = v.allowed.reason;
    out["reason_codes"] = std::move(codes);
    out["worker_cpu_seconds"] = std::chrono::duration<double>(v.workers.cpu).count();
    out["worker_resident_bytes"] = v.workers.resident_bytes;
    out["history"] = std::move(changes);
}

/// How well the last days kept the promise.
json::object give_back_json(const daemon_loop& daemon) {
    const auto now = daemon.now().wall;
    const auto s = daemon.given_back().summary(now);
    const auto ms = [](base::duration d) {
        return std::chrono::duration<double, std::milli>(d).count();
    };
    json::object out{{"line", daemon.given_back().line(now)},
                     {"days", give_back_record::days_counted},
                     {"count", s.count},
                     {"within_120ms", s.within_120ms},
                     {"within_250ms", s.within_250ms},
                     {"above_1s", s.above_1s}};
    if (s.count > 0) {
        out["p50_ms"] = ms(s.p50);
        out["p99_ms"] = ms(s.p99);
        out["max_ms"] = ms(s.longest);
    }
    return out;
}

json::object traffic_json(const daemon_loop& daemon) {
    const auto sum = daemon.traffic_this_month();
    const auto& limit = daemon.options().config.monthly_traffic_bytes;
    return {{"month", traffic_record::month_of(daemon.now().wall)},
            {"sent", sum.sent},
            {"received", sum.received},
            {"limit", limit ? json::value(*limit) : json::value(nullptr)},
            {"used_up", limit && daemon.swarm() && sum.all() >= *limit}};
}

/// What the node does; while the machine is given back the governor says why.
activity_view activity_of(daemon_loop& daemon, const governor_view& v) {
    auto activity = daemon.logic().activity();
    if (daemon.full_since()) {
        return {"paused", "disk_full", daemon.disk_full_reason(), *daemon.full_since(), {}};
    }
    if (v.allowed.threads > 0 || activity.state == "refusing") return activity;
    activity.state = "paused";
    activity.reason_code = reason_code_name(v.allowed.code);
    activity.reason = v.allowed.reason;
    activity.since = v.allowed.since;
    activity.until = v.allowed.until;
    return activity;
}

json::object status_json(daemon_loop& daemon) {
    const auto share = daemon.share().view();
    const auto activity = activity_of(daemon, share);
    json::array jobs;
    for (const auto& v : daemon.logic().jobs()) {
        jobs.push_back(json::object{{"task", v.id.hex()},
                                    {"name", v.task->name},
                                    {"state", job_state_name(v.crew.state)},
                                    {"reason_code", v.crew.reason_code},
                                    {"reason", v.crew.reason},
                                    {"round", v.crew.round},
                                    {"rounds", v.crew.rounds}});
    }
    json::object out{{"node", daemon.self().node().hex()},
                     {"state", activity.state},
                     {"reason_code", activity.reason_code},
                     {"reason", activity.reason},
                     {"since", base::to_rfc3339(activity.since)},
                     {"until", activity.until ? json::value(base::to_rfc3339(*activity.until))
                                              : json::value(nullptr)},
                     {"jobs", std::move(jobs)},
                     {"peers", daemon.logic().network().peers().size()},
                     {"listen", daemon.listening().text()},
                     {"swarm", (daemon.swarm() ? daemon.swarm()->id : base::swarm_id{}).hex()},
                     {"swarm_name", daemon.swarm() ? daemon.swarm()->description.name : ""},
                     {"exactness", training::exactness_identity()},
                     {"exact", daemon.exact() ? "ok" : "failed"},
                     {"bytes_sent", daemon.links().bytes_sent()},
                     {"bytes_received", daemon.links().bytes_received()}};
    if (const auto& found = daemon.protection()) {
        out["cpu_protection"] = std::string(cpu_protection_name(found->kind));
        out["background_share"] = found->background_share < 0
                                      ? json::value(nullptr)
                                      : json::value(found->background_share);
        out["protection_reason"] = found->how;
    }
    if (const auto& ready = daemon.workers().last_ready()) out["sandbox"] = ready->sandbox;
    add_governor(out, share, daemon.history());
    out["give_back"] = give_back_json(daemon);
    out["traffic"] = traffic_json(daemon);
    out["uplink_measured"] =
        daemon.links().uplink() ? json::value(*daemon.links().uplink() * 8) : json::value(nullptr);
    out["config_fault"] = daemon.config_fault();
    out["needs_restart"] = daemon.needs_restart();
    return out;
}

json::object peers_json(daemon_loop& daemon) {
    json::array peers;
    for (const auto& s : daemon.links().statistics()) {
        peers.push_back(
            json::object{{"node", s.node.hex()},
                         {"address", s.peer.text()},
                         {"direction", s.outbound ? "outbound" : "inbound"},
                         {"rtt_ms", std::chrono::duration<double, std::milli>(s.rtt).count()},
                         {"bytes_sent", s.bytes_sent},
                         {"bytes_received", s.bytes_received}});
    }
    return {{"peers", std::move(peers)}, {"known", daemon.logic().network().known_nodes().size()}};
}

base::result<json::object> body_of(const api_request& request) {
    if (request.body.empty()) return json::object{};
    boost::system::error_code ec;
    auto value = json::parse(request.body, ec);
    if (ec || !value.is_object())
        return fail(errc::bad_request, "the request's body is not a JSON object");
    return std::move(value.as_object());
}

std::string text_of(const json::object& body, const char* key) {
    const auto* value = body.if_contains(key);
    return value && value->is_string() ? std::string(value->as_string()) : std::string();
}

/// A command to `node_logic` that gives no value. Answered once what it changed is durable.
template <class Command>
void command(daemon_loop& daemon, respond_with respond, Command run) {
    node_effects effects;
    const auto done = run(effects);
    daemon.carry_out(std::move(effects), [respond = std::move(respond), done] {
        respond(done ? ok({{"ok", true}}) : refused(done.error()));
    });
}

base::result<base::blob_piece> read_piece_body(std::uint64_t index, std::string_view body) {
    base::byte_reader in(base::as_bytes(body));
    base::blob_piece piece;
    piece.index = index;
    const auto hashes = in.u32();
    if (hashes > 64) return fail(errc::bad_request, "a proof of more than 64 hashes");
    for (std::uint32_t i = 0; i < hashes; ++i) {
        const auto raw = in.raw(32);
        if (in.failed()) break;
        TEQUIO_TRY(const auto hash, base::id_from_bytes<base::digest>(raw));
        piece.path.push_back(hash);
    }
    if (in.failed()) return fail(errc::bad_request, "a piece that is cut short");
    const auto bytes = base::as_bytes(body).subspan(4 + 32 * piece.path.size());
    piece.bytes.assign(bytes.begin(), bytes.end());
    return piece;
}

void put_piece(daemon_loop& daemon, const base::blob_ref& ref, std::uint64_t index,
               const api_request& request, respond_with respond) {
    auto piece = read_piece_body(index, request.body);
    if (!piece) return respond(refused(piece.error()));
    daemon.storage().run([&daemon, ref, piece = std::move(*piece),
                          respond = std::move(respond)]() mutable -> storage_thread::continuation {
        auto stored = daemon.blobs().put_piece(ref, piece);
        return [stored = std::move(stored), respond = std::move(respond)] {
            respond(stored ? ok({{"complete", *stored}}) : refused(stored.error()));
        };
    });
}

void get_piece(daemon_loop& daemon, const base::blob_ref& ref, std::uint64_t index,
               respond_with respond) {
    daemon.storage().run([&daemon, ref, index,
                          respond = std::move(respond)]() -> storage_thread::continuation {
        auto piece = daemon.blobs().read_piece(ref, index);
        return [piece = std::move(piece), respond] {
            if (!piece) return respond(refused(404, piece.error().message()));
            respond({200, std::string(base::as_text(piece->bytes)), "application/octet-stream"});
        };
    });
}

void submit(daemon_loop& daemon, const api_request& request, respond_with respond) {
    auto task = training::parse_task(request.body);
    if (!task) return respond(refused(task.error()));
    daemon.storage().run([&daemon, blobs = training::task_blobs(*task), note = request.body,
                          respond = std::move(respond)]() -> storage_thread::continuation {
        const auto missing = std::find_if(
            blobs.begin(), blobs.end(), [&](const auto& ref) { return !daemon.blobs().has(ref); });
        const auto lacks = missing == blobs.end() ? std::string() : missing->text();
        return [&daemon, lacks, note, respond] {
            if (!lacks.empty()) {
                return respond(refused(
                    400, "the task's blob " + lacks + " is not at this node; hand it over first"));
            }
            node_effects effects;
            const auto id = daemon.logic().submit(daemon.now(), note, effects);
            daemon.carry_out(std::move(effects), [id, respond] {
                respond(id ? ok({{"task", id->hex()}}) : refused(id.error()));
            });
        };
    });
}

api_response files_json(const job_view& v) {
    if (v.files.empty()) {
        return refused(v.crew.state == training::job_state::done ? 400 : 404,
                       v.crew.state == training::job_state::done
                           ? "the model is being written; ask again in a moment"
                           : "job " + v.id.hex().substr(0, 12) +
                                 " is not done: " + job_state_name(v.crew.state));
    }
    json::array files;
    for (const auto& [name, ref] : v.files)
        files.push_back(json::object{{"name", name}, {"blob", ref.text()}});
    return ok({{"files", std::move(files)}, {"state_digest", v.crew.state_digest.hex()}});
}

/// /jobs/ID[/WHAT]
void job_route(daemon_loop& daemon, const api_request& request,
               const std::vector<std::string_view>& path, respond_with respond) {
    auto& logic = daemon.logic();
    const auto id = logic.find(path[1]);
    if (!id) return respond(refused(id.error()));
    const auto what = path.size() > 2 ? path[2] : std::string_view{};
    if (request.method == "GET") {
        const auto view = logic.job(*id);
        if (!view) return respond(refused(view.error()));
        if (what.empty()) return respond(ok(job_json(*view)));
        if (what == "files") return respond(files_json(*view));
        if (what == "task") return respond({200, *logic.task_note(*id), "text/plain"});
    } else if (request.method == "POST" && what == "leave") {
        return command(daemon, std::move(respond),
                       [&](node_effects& out) { return logic.leave(daemon.now(), *id, out); });
    } else if (request.method == "POST" && what == "cancel") {
        return command(daemon, std::move(respond), [&](node_effects& out) {
            return logic.cancel(daemon.now(), request.body, out);
        });
    }
    respond(refused(404, "no such thing about a job: " + std::string(what)));
}

void pause(daemon_loop& daemon, const api_request& request, respond_with respond) {
    const auto body = body_of(request);
    if (!body) return respond(refused(body.error()));
    std::optional<base::unix_time> until;
    if (const auto span = text_of(*body, "for"); !span.empty()) {
        const auto d = base::parse_duration(span);
        if (!d) return respond(refused(d.error()));
        until = base::unix_time{daemon.now().wall.seconds +
                                std::chrono::duration_cast<std::chrono::seconds>(*d).count()};
    }
    command(daemon, std::move(respond), [&](node_effects& out) -> base::result<void> {
        daemon.logic().pause(daemon.now(), until, out);
        return {};
    });
    daemon.share().look();
}

/// A session agent's report, as often as it likes.
api_response agent_said(daemon_loop& daemon, const api_request& request) {
    const auto report = parse_agent_report(request.body);
    if (!report) return refused(report.error());
    const auto user = request.from.user;
    const bool owner = user == 0 || user == ::geteuid();
    daemon.share().agent_said({user, request.from.process, owner || sits_at_a_seat(user)}, *report);
    return ok({{"ok", true}});
}

/// {"idle_ms": N}: when the last input was, for a daemon that was started for tests.
api_response pretend_input(daemon_loop& daemon, const api_request& request) {
    const auto body = body_of(request);
    if (!body) return refused(body.error());
    const auto* idle = body->if_contains("idle_ms");
    if (!idle || !idle->is_int64() || idle->as_int64() < 0 ||
        idle->as_int64() > agent_idle_max.count()) {
        return refused(400, "idle_ms: a whole number of milliseconds");
    }
    const auto done = daemon.share().pretend_input(std::chrono::milliseconds(idle->as_int64()));
    return done ? ok({{"ok", true}}) : refused(done.error());
}

void resume_or_drain(daemon_loop& daemon, const api_request& request, bool resume,
                     respond_with respond) {
    command(daemon, std::move(respond), [&](node_effects& out) -> base::result<void> {
        if (resume) {
            daemon.logic().resume(daemon.now(), out);
        } else {
            daemon.logic().drain(daemon.now(), out);
            if (request.body == "exit") daemon.stop_when_drained();
        }
        return {};
    });
    daemon.share().look();
}

api_response swarm_json(const daemon_loop& daemon) {
    if (!daemon.swarm()) return ok({{"swarms", json::array{}}});
    const auto& s = *daemon.swarm();
    return ok(
        {{"swarms", json::array{json::object{
                        {"id", s.id.hex()},
                        {"name", s.description.name},
                        {"admission",
                         s.description.admission == p2p::admission::open ? "open" : "invited"}}}}});
}

base::result<json::object> swarm_command(daemon_loop& daemon, std::string_view what,
                                         const json::object& body) {
    if (what == "new") {
        const auto who =
            text_of(body, "admission") == "open" ? p2p::admission::open : p2p::admission::invited;
        TEQUIO_TRY(auto swarm, p2p::found_swarm(text_of(body, "name"), who, daemon.self(),
                                                daemon.now().wall, p2p::fresh_entropy()));
        const auto id = swarm.id.hex();
        TEQUIO_CHECK(daemon.enter_swarm(std::move(swarm)));
        return json::object{{"id", id}};
    }
    if (what == "join") {
        TEQUIO_TRY(auto invite, p2p::parse_invite(text_of(body, "invite"), daemon.now().wall));
        const auto name = invite.swarm.description.name;
        const auto id = invite.swarm.id.hex();
        TEQUIO_CHECK(daemon.enter_swarm(std::move(invite.swarm)));
        return json::object{{"id", id}, {"name", name}};
    }
    if (what == "invite") {
        if (!daemon.swarm())
            return fail(errc::refused,
                        "this node is in no swarm; found one: tequio swarm new NAME");
        p2p::invite_options options;
        if (const auto* list = body.if_contains("addresses"); list && list->is_array()) {
            for (const auto& item : list->as_array()) {
                if (!item.is_string()) return fail(errc::bad_request, "addresses are texts");
                TEQUIO_TRY(const auto address, p2p::parse_address(std::string(item.as_string())));
                options.addresses.push_back(address);
            }
        }
        if (const auto span = text_of(body, "expires"); !span.empty()) {
            TEQUIO_TRY(const auto d, base::parse_duration(span));
            options.expires =
                base::unix_time{daemon.now().wall.seconds +
                                std::chrono::duration_cast<std::chrono::seconds>(d).count()};
        }
        if (const auto* uses = body.if_contains("uses"); uses && uses->is_int64()) {
            options.uses = static_cast<std::uint64_t>(uses->as_int64());
        }
        TEQUIO_TRY(const auto line, p2p::make_invite(*daemon.swarm(), options));
        return json::object{{"invite", line}};
    }
    if (what == "leave") {
        TEQUIO_CHECK(daemon.leave_swarm());
        return json::object{{"ok", true}};
    }
    return fail(errc::not_found, "no such swarm command: " + std::string(what));
}

/// /store, /store/prune
void store_route(daemon_loop& daemon, const api_request& request,
                 const std::vector<std::string_view>& path, const respond_with& respond) {
    const auto answer = [respond](base::result<json::object> done) {
        respond(done ? ok(std::move(*done)) : refused(done.error()));
    };
    if (request.method == "GET" && path.size() == 1) return show_store(daemon, answer);
    if (request.method == "POST" && path.size() == 2 && path[1] == "prune") {
        const auto body = body_of(request);
        if (!body) return respond(refused(body.error()));
        return prune_store(daemon, *body, answer);
    }
    respond(refused(404, "no such thing about the store: " + request.target));
}

api_response simple_route(daemon_loop& daemon, const api_request& request,
                          const std::vector<std::string_view>& path) {
    const auto what = path[0];
    if (request.method == "GET") {
        if (what == "status") return ok(status_json(daemon));
        if (what == "peers") return ok(peers_json(daemon));
        if (what == "swarm") return swarm_json(daemon);
        if (what == "jobs") {
            json::array jobs;
            for (const auto& v : daemon.logic().jobs()) jobs.push_back(job_json(v));
            return ok({{"jobs", std::move(jobs)}});
        }
    } else if (request.method == "PUT") {
        if (what == "agent" && path.size() == 1) return agent_said(daemon, request);
        if (what == "test" && path.size() == 2 && path[1] == "idle")
            return pretend_input(daemon, request);
    } else if (request.method == "POST") {
        if (what == "reload" && path.size() == 1) {
            const auto done = daemon.reload();
            return done ? ok({{"ok", true}, {"needs_restart", daemon.needs_restart()}})
                        : refused(done.error());
        }
        const auto body =
            what == "swarm" ? body_of(request) : base::result<json::object>(json::object{});
        if (!body) return refused(body.error());
        if (what == "swarm" && path.size() == 2) {
            auto done = swarm_command(daemon, path[1], *body);
            return done ? ok(std::move(*done)) : refused(done.error());
        }
    }
    return refused(404, "no such thing: " + request.method + " " + request.target);
}

}  // namespace

void answer_agent(daemon_loop& daemon, const api_request& request,
                  const std::function<void(api_response)>& respond) {
    if (request.method == "PUT" && request.target == "/api/v1/agent") {
        return respond(agent_said(daemon, request));
    }
    respond(refused(403,
                    "this socket takes reports of session agents (PUT /api/v1/agent) and "
                    "nothing else; the node's owner has another"));
}

void answer_api(daemon_loop& daemon, api_request request,
                std::function<void(api_response)> respond) {
    constexpr std::string_view prefix = "/api/v1/";
    std::string_view target = request.target;
    if (!target.starts_with(prefix)) return respond(refused(404, "the API lives under /api/v1/"));
    target.remove_prefix(prefix.size());
    const auto path = base::split(target, '/');
    if (path[0] == "blobs" && path.size() == 3) {
        const auto ref = base::parse_blob_ref(path[1]);
        const auto index = base::parse_u64(path[2]);
        if (!ref || !index || *index >= ref->pieces())
            return respond(refused(400, "not a blob's piece"));
        if (request.method == "PUT")
            return put_piece(daemon, *ref, *index, request, std::move(respond));
        if (request.method == "GET") return get_piece(daemon, *ref, *index, std::move(respond));
    }
    if (path[0] == "jobs" && path.size() == 1 && request.method == "POST") {
        return submit(daemon, request, std::move(respond));
    }
    if (path[0] == "jobs" && path.size() >= 2)
        return job_route(daemon, request, path, std::move(respond));
    if (request.method == "POST" && path.size() == 1) {
        if (path[0] == "pause") return pause(daemon, request, std::move(respond));
        if (path[0] == "resume" || path[0] == "drain") {
            return resume_or_drain(daemon, request, path[0] == "resume", std::move(respond));
        }
    }
    if (path[0] == "store") return store_route(daemon, request, path, std::move(respond));
    respond(simple_route(daemon, request, path));
}

}  // namespace tequio::node
