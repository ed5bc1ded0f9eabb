// `tequio agent`: tells the daemon when the owner was last at the machine; started with the
// session.

#include <boost/json/object.hpp>
#include <csignal>

#include "node/agent/session_agent.hpp"
#include "node/cli/commands.hpp"

namespace tequio::node {
namespace {

/// Where the system unit (node/service/tequio.service) has its daemon hear agents.
constexpr const char* system_agent_socket = "/run/tequio/agent.sock";

}  // namespace

void add_agent_command(cli_command& app, cli_context& context) {
    auto sockets = std::make_shared<std::vector<std::string>>();
    auto* command =
        app.add_subcommand("agent", "tell the daemon when you were last at the machine");
    command->add_option(
        "--socket", *sockets,
        "a daemon's socket; may be repeated, the first that can be opened counts; default: your "
        "own daemon's, DATA-DIR/api.sock, then the machine's, " +
            std::string(system_agent_socket));
    command->callback([&context, sockets] {
        // The daemon may end in the middle of a report.
        std::signal(SIGPIPE, SIG_IGN);
        session_agent_options options;
        options.sockets.assign(sockets->begin(), sockets->end());
        if (sockets->empty()) {
            options.sockets = {context.data_dir / "api.sock", system_agent_socket};
        }
        options.say = [&context](const std::string& line) { context.say(line); };
        options.source_changed = [&context](const std::string& source, const std::string& detail) {
            if (context.json) {
                context.print_json("agent", {{"source", source}, {"detail", detail}});
            } else {
                context.say("idle source: " + detail);
            }
        };
        run_session_agent(options);
    });
}

}  // namespace tequio::node
