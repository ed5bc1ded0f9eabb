// `tequio status|peers|pause|resume|drain`: the daemon as its owner sees it.

#include <boost/json.hpp>
#include <cstdio>

#include "base/text.hpp"
#include "node/cli/api_client.hpp"
#include "node/cli/commands.hpp"
#include "node/cli/json_text.hpp"
#include "node/io/files.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;

/// What `bench interference` measured last here; nothing if it never ran, or left no such file.
std::optional<json::object> last_measurement(const cli_context& context) {
    constexpr std::uint64_t size_max = 64 * 1024;
    const auto text = read_file(context.data_dir / "interference.json", size_max);
    if (!text) return std::nullopt;
    boost::system::error_code ec;
    auto value = json::parse(*text, ec);
    if (ec || !value.is_object()) return std::nullopt;
    return std::move(value.as_object());
}

/// How quickly the machine was given back: what happened, and what was measured on purpose.
void print_give_back(const json::object& s) {
    const auto* kept = s.if_contains("give_back");
    if (kept != nullptr && kept->is_object()) {
        std::printf("%s\n", json_text(kept->as_object(), "line").c_str());
    }
    const auto* measured = s.if_contains("interference");
    if (measured == nullptr || !measured->is_object()) return;
    const auto& m = measured->as_object();
    const auto number = [&](const char* key) {
        const auto* value = m.if_contains(key);
        return value != nullptr && value->is_number() ? value->to_number<double>() : 0.0;
    };
    std::printf(
        "measured %s: given back within %.0f ms (p50), %.0f ms (p99), %.0f ms at most, in "
        "%.0f trials\n",
        json_text(m, "date").c_str(), number("p50_ms"), number("p99_ms"), number("max_ms"),
        number("trials"));
}

/// What links have carried in this month, once they did.
void print_traffic(const json::object& s) {
    const auto* kept = s.if_contains("traffic");
    if (kept == nullptr || !kept->is_object()) return;
    const auto& t = kept->as_object();
    const auto bytes = [&](const char* key) {
        const auto* value = t.if_contains(key);
        return value != nullptr && value->is_number() ? value->to_number<std::uint64_t>() : 0;
    };
    if (bytes("sent") + bytes("received") == 0) return;
    std::printf("in %s: sent %s, received %s of %s together\n", json_text(t, "month").c_str(),
                base::human_size(bytes("sent")).c_str(),
                base::human_size(bytes("received")).c_str(),
                bytes("limit") == 0 ? "any amount" : base::human_size(bytes("limit")).c_str());
}

base::result<void> status(cli_context& context) {
    TEQUIO_TRY(auto daemon, api_client::connect(context.data_dir));
    TEQUIO_TRY(auto answer, daemon.request_json("GET", "/api/v1/status"));
    auto& s = answer.as_object();
    if (auto measured = last_measurement(context)) s["interference"] = std::move(*measured);
    if (context.json) {
        context.print_json("status", std::move(s));
        return {};
    }
    if (context.quiet) return {};
    const auto until = json_text(s, "until");
    std::printf("%s: %s (since %s%s)\n", json_text(s, "state").c_str(),
                json_text(s, "reason").c_str(), json_text(s, "since").c_str(),
                until.empty() ? "" : (", until " + until).c_str());
    std::printf("node %s, listening on %s, %s peers, %s threads, swarm %s\n",
                json_text(s, "node").c_str(), json_text(s, "listen").c_str(),
                json::serialize(s.at("peers")).c_str(), json::serialize(s.at("threads")).c_str(),
                json_text(s, "swarm_name").empty() ? "none (loopback only)"
                                                   : json_text(s, "swarm_name").c_str());
    print_traffic(s);
    if (const auto fault = json_text(s, "config_fault"); !fault.empty()) {
        std::printf("the configuration stays as it was: %s\n", fault.c_str());
    }
    if (const auto keys = json_text(s, "needs_restart"); !keys.empty()) {
        std::printf("needs a restart: %s\n", keys.c_str());
    }
    for (const auto& item : s.at("jobs").as_array()) {
        const auto& job = item.as_object();
        const auto reason = json_text(job, "reason");
        std::printf("job %s %s: %s, round %s of %s%s\n",
                    json_text(job, "task").substr(0, 12).c_str(), json_text(job, "name").c_str(),
                    json_text(job, "state").c_str(), json::serialize(job.at("round")).c_str(),
                    json::serialize(job.at("rounds")).c_str(),
                    reason.empty() ? "" : (" (" + reason + ")").c_str());
    }
    print_give_back(s);
    return {};
}

base::result<void> peers(cli_context& context) {
    TEQUIO_TRY(auto daemon, api_client::connect(context.data_dir));
    TEQUIO_TRY(auto answer, daemon.request_json("GET", "/api/v1/peers"));
    if (context.json) {
        context.print_json("peers", std::move(answer.as_object()));
        return {};
    }
    const auto& list = answer.as_object().at("peers").as_array();
    if (list.empty())
        context.say("No peer is linked. Give an address: tequio node --peer HOST:PORT");
    for (const auto& item : list) {
        const auto& p = item.as_object();
        std::printf("%s  %-24s %-8s %7.1f ms  sent %s, received %s\n",
                    json_text(p, "node").substr(0, 12).c_str(), json_text(p, "address").c_str(),
                    json_text(p, "direction").c_str(), p.at("rtt_ms").to_number<double>(),
                    base::human_size(p.at("bytes_sent").to_number<std::uint64_t>()).c_str(),
                    base::human_size(p.at("bytes_received").to_number<std::uint64_t>()).c_str());
    }
    return {};
}

base::result<void> tell(cli_context& context, const std::string& what, std::string body,
                        const std::string& said) {
    TEQUIO_TRY(auto daemon, api_client::connect(context.data_dir));
    TEQUIO_TRY(const auto answer, daemon.request("POST", "/api/v1/" + what, std::move(body)));
    (void)answer;
    if (context.json) context.print_json(what, {{"ok", true}});
    context.say(said);
    return {};
}

base::result<void> pause(cli_context& context, const std::string& span) {
    json::object body;
    if (!span.empty()) {
        const auto d = base::parse_duration(span);
        if (!d || d->count() <= 0) {
            return ends_with(
                exit_code::usage,
                "--for: found \"" + span + "\", allowed: a duration like 90s, 2min, 3h or 7d");
        }
        body["for"] = span;
    }
    return tell(context, "pause", json::serialize(body),
                span.empty() ? "Paused until `tequio resume`." : "Paused for " + span + ".");
}

}  // namespace

void add_status_commands(cli_command& app, cli_context& context) {
    app.add_subcommand("status", "what the node does, why, since when")->callback([&context] {
        context.run([&] { return status(context); });
    });
    app.add_subcommand("peers", "the nodes this one is linked to")->callback([&context] {
        context.run([&] { return peers(context); });
    });
    auto span = std::make_shared<std::string>();
    auto* pause_command =
        app.add_subcommand("pause", "give the machine back now; what is in hand is kept");
    pause_command->add_option("--for", *span, "resume by itself after this long, like 2h");
    pause_command->callback(
        [&context, span] { context.run([&] { return pause(context, *span); }); });
    app.add_subcommand("resume", "undo pause and drain")->callback([&context] {
        context.run([&] { return tell(context, "resume", "", "Resumed."); });
    });
    auto exit = std::make_shared<bool>(false);
    auto* drain = app.add_subcommand("drain", "finish the lane in hand, take no more, stay a peer");
    drain->add_flag("--exit", *exit, "then stop the daemon");
    drain->callback([&context, exit] {
        context.run([&] {
            return tell(
                context, "drain", *exit ? "exit" : "",
                *exit ? "Draining; the daemon stops when the work in hand is done." : "Draining.");
        });
    });
}

}  // namespace tequio::node
