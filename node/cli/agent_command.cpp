// `tequio agent`: tells the daemon when the owner was last at the machine; started with the
// session.

#include <boost/json/object.hpp>
#include <csignal>

#include "node/agent/session_agent.hpp"
#include "node/cli/commands.hpp"

namespace tequio::node {

void add_agent_command(cli_command& app, cli_context& context) {
    auto socket = std::make_shared<std::filesystem::path>();
    auto* command =
        app.add_subcommand("agent", "tell the daemon when you were last at the machine");
    command->add_option("--socket", *socket,
                        "the daemon's API socket, when it is not DATA-DIR/api.sock");
    command->callback([&context, socket] {
        // The daemon may end in the middle of a report.
        std::signal(SIGPIPE, SIG_IGN);
        session_agent_options options;
        options.socket = socket->empty() ? context.data_dir / "api.sock" : *socket;
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
