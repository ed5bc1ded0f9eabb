// `tequio node`: the daemon in the foreground.

#include <cstdlib>

#include "node/cli/commands.hpp"
#include "node/cli/config_command.hpp"
#include "node/io/daemon.hpp"

namespace tequio::node {

void add_node_command(cli_command& app, cli_context& context) {
    struct options {
        std::string listen, api, config, agent_socket;
        std::vector<std::string> peers;
        unsigned threads = 0;
        bool always = false;
    };
    auto o = std::make_shared<options>();
    auto* command = app.add_subcommand("node", "run the daemon in the foreground");
    command->add_option("--listen", o->listen, "HOST:PORT to accept links at; port 0 picks one");
    command->add_option("--peer", o->peers, "HOST:PORT of a node to begin with; may be repeated");
    command->add_option("--api", o->api, "HOST:PORT for the API over TCP");
    command->add_option("--agent-socket", o->agent_socket,
                        "PATH of a Unix socket at which session agents of all users of this "
                        "machine are heard, and nothing else; for a machine's own node");
    command->add_option("--config", o->config, "another configuration file than the default one");
    command->add_option("--threads", o->threads, "compute threads, instead of limits.idle.threads")
        ->range(1, 1024);
    command->add_flag(
        "--always", o->always,
        "work whatever happens on this machine: input, heat and battery are not looked at, and "
        "processors that other programs use take threads, but never the last one; only `pause`, "
        "`drain`, `schedule` and limits.idle stop it. For machines of no one, demos and tests");
    command->callback([&context, o] {
        context.run([&]() -> base::result<void> {
            if (!o->api.empty()) {
                return ends_with(exit_code::usage,
                                 "--api is not in this version (has: the Unix socket " +
                                     (context.data_dir / "api.sock").string() + ")");
            }
            daemon_options options;
            options.data_dir = context.data_dir;
            TEQUIO_TRY(options.config,
                       load_node_config(o->config.empty()
                                            ? std::nullopt
                                            : std::optional<std::filesystem::path>(o->config)));
            if (!o->listen.empty()) options.listen = o->listen;
            options.peers = o->peers;
            options.agent_socket = o->agent_socket;
            options.threads = o->threads;
            options.always = o->always;
            const char* test_input = std::getenv("TEQUIO_TEST_IDLE");
            options.test_input = test_input != nullptr && std::string_view(test_input) == "1";
            options.reload = [file = o->config] {
                return load_node_config(file.empty() ? std::nullopt
                                                     : std::optional<std::filesystem::path>(file));
            };
            options.quiet = context.quiet;
            return run_daemon(options);
        });
    });
}

}  // namespace tequio::node
