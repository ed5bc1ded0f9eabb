// `tequio swarm new|invite|join|list|leave`: who may meet whom.

#include <boost/json.hpp>
#include <cstdio>

#include "node/cli/api_client.hpp"
#include "node/cli/commands.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;

/// Posts to /swarm/`what` and gives the answer.
base::result<json::object> post(cli_context& context, const std::string& what,
                                const json::object& body) {
    TEQUIO_TRY(auto daemon, api_client::connect(context.data_dir));
    TEQUIO_TRY(auto answer,
               daemon.request_json("POST", "/api/v1/swarm/" + what, json::serialize(body)));
    return std::move(answer.as_object());
}

/// Prints one field, or everything under --json.
void print(cli_context& context, json::object answer, const char* field) {
    if (context.json) return context.print_json("swarm", std::move(answer));
    if (const auto* value = answer.if_contains(field); value && value->is_string()) {
        std::printf("%s\n", value->as_string().c_str());
    }
}

base::result<void> list_swarms(cli_context& context) {
    TEQUIO_TRY(auto daemon, api_client::connect(context.data_dir));
    TEQUIO_TRY(auto answer, daemon.request_json("GET", "/api/v1/swarm"));
    if (context.json) {
        context.print_json("swarm", std::move(answer.as_object()));
        return {};
    }
    const auto& swarms = answer.as_object().at("swarms").as_array();
    if (swarms.empty()) context.say("This node is in no swarm; it stays on loopback.");
    for (const auto& item : swarms) {
        const auto& s = item.as_object();
        std::printf("%s  %s (%s)\n", s.at("id").as_string().c_str(),
                    s.at("name").as_string().c_str(), s.at("admission").as_string().c_str());
    }
    return {};
}

struct swarm_options {
    std::string name, invite, expires;
    std::vector<std::string> addresses;
    std::int64_t uses = 0;
    bool open = false;
};

base::result<void> invite(cli_context& context, const swarm_options& o) {
    json::object body;
    json::array addresses;
    for (const auto& a : o.addresses) addresses.push_back(json::string(a));
    if (o.addresses.empty()) {
        TEQUIO_TRY(auto daemon, api_client::connect(context.data_dir));
        TEQUIO_TRY(const auto status, daemon.request_json("GET", "/api/v1/status"));
        const std::string listen(status.as_object().at("listen").as_string());
        if (listen.starts_with("[::]") || listen.starts_with("0.0.0.0")) {
            return ends_with(
                exit_code::usage,
                "say where others can reach this node: tequio swarm invite --address HOST" +
                    listen.substr(listen.rfind(':')));
        }
        addresses.push_back(json::string(listen));
    }
    body["addresses"] = std::move(addresses);
    if (!o.expires.empty()) body["expires"] = o.expires;
    if (o.uses != 0) body["uses"] = o.uses;
    TEQUIO_TRY(auto answer, post(context, "invite", body));
    print(context, std::move(answer), "invite");
    context.say(
        "Whoever has this line can join and read what the swarm shares; send it as you would a "
        "password.");
    return {};
}

}  // namespace

void add_swarm_command(cli_command& app, cli_context& context) {
    auto o = std::make_shared<swarm_options>();
    auto* swarm = app.add_subcommand("swarm", "found, join and leave swarms");
    swarm->require_subcommand(1);
    auto* found = swarm->add_subcommand("new", "found a swarm with this node as its admin");
    found->add_option("NAME", o->name, "shown to members")->required();
    found->add_flag("--open", o->open, "anyone who knows the swarm may join");
    found->callback([&context, o] {
        context.run([&]() -> base::result<void> {
            TEQUIO_TRY(auto answer,
                       post(context, "new",
                            {{"name", o->name}, {"admission", o->open ? "open" : "invited"}}));
            print(context, std::move(answer), "id");
            context.say("Founded. Let others in with: tequio swarm invite");
            return {};
        });
    });
    auto* ask = swarm->add_subcommand("invite", "print one line that lets others in");
    ask->add_option("--address", o->addresses,
                    "where others reach this node (HOST:PORT); may be repeated");
    ask->add_option("--expires", o->expires, "like 7d");
    ask->add_option("--uses", o->uses, "how many may use it");
    ask->callback([&context, o] { context.run([&] { return invite(context, *o); }); });
    auto* join = swarm->add_subcommand("join", "join by an invite line");
    join->add_option("INVITE", o->invite, "the line that `swarm invite` printed")->required();
    join->callback([&context, o] {
        context.run([&]() -> base::result<void> {
            TEQUIO_TRY(auto answer, post(context, "join", {{"invite", o->invite}}));
            context.say("Joined swarm " + std::string(answer.at("name").as_string()) + ".");
            print(context, std::move(answer), "id");
            return {};
        });
    });
    swarm->add_subcommand("list", "the swarm this node is in")->callback([&context] {
        context.run([&] { return list_swarms(context); });
    });
    swarm->add_subcommand("leave", "leave the swarm; stay on loopback")->callback([&context] {
        context.run([&]() -> base::result<void> {
            TEQUIO_TRY(auto answer, post(context, "leave", {}));
            print(context, std::move(answer), "");
            context.say("Left. This node stays on loopback until it joins another swarm.");
            return {};
        });
    });
    for (const auto* name : {"members", "remove"}) refuse_command(*swarm, context, name);
}

}  // namespace tequio::node
