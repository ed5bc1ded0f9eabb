// `tequio config path|show|check`: where the configuration is, what it says, whether it can be
// read.

#include "node/cli/config_command.hpp"

#include <cstdio>
#include <cstdlib>

#include "node/cli/commands.hpp"
#include "node/io/files.hpp"

namespace tequio::node {
namespace {

constexpr std::uint64_t config_size_max_bytes = 1024 * 1024;

void show(cli_context& context, const node_config& config, bool origin) {
    if (context.json) {
        boost::json::object keys;
        for (const auto& [key, value] : config_values(config)) {
            keys[key] = {{"value", value}, {"origin", config.origin.at(key)}};
        }
        context.print_json("config", {{"keys", keys}});
        return;
    }
    for (const auto& [key, value] : config_values(config)) {
        std::printf("%s = %s%s\n", key.c_str(), value.c_str(),
                    origin ? ("   # " + config.origin.at(key)).c_str() : "");
    }
}

}  // namespace

std::filesystem::path default_config_file() {
    return config_dir() / "config.toml";
}

base::result<node_config> load_node_config(const std::optional<std::filesystem::path>& file) {
    const auto path = file.value_or(default_config_file());
    std::error_code ec;
    // The default file may be missing; one that was named may not.
    if (!file && !std::filesystem::exists(path, ec)) return parse_node_config("", path.string());
    TEQUIO_TRY(const auto text, read_file(path, config_size_max_bytes));
    auto config = parse_node_config(text, path.string());
    if (!config) return ends_with(exit_code::usage, config.error().message());
    return config;
}

void add_config_command(cli_command& app, cli_context& context) {
    struct options {
        std::string file;
        bool origin = false;
    };
    auto o = std::make_shared<options>();
    auto& config = *app.add_subcommand("config", "where the configuration is and what it says");
    config.require_subcommand(1);
    config.add_option("--config", o->file, "another file than the default one");
    const auto chosen = [o] {
        return o->file.empty() ? std::nullopt : std::optional<std::filesystem::path>(o->file);
    };
    config.add_subcommand("path", "print the file's path")->callback([&context, chosen] {
        const auto path = chosen().value_or(default_config_file());
        if (context.json) return context.print_json("config", {{"path", path.string()}});
        std::printf("%s\n", path.c_str());
    });
    auto* show_command = config.add_subcommand("show", "print every key and its value");
    show_command->add_flag("--origin", o->origin, "say where each value comes from");
    show_command->callback([&context, chosen, o] {
        context.run([&]() -> base::result<void> {
            TEQUIO_TRY(const auto values, load_node_config(chosen()));
            show(context, values, o->origin);
            return {};
        });
    });
    config.add_subcommand("check", "say whether the file can be read")
        ->callback([&context, chosen] {
            context.run([&]() -> base::result<void> {
                TEQUIO_TRY(const auto values, load_node_config(chosen()));
                (void)values;
                if (context.json) {
                    context.print_json("config", {{"ok", true}});
                } else {
                    std::printf("%s: ok\n", chosen().value_or(default_config_file()).c_str());
                }
                return {};
            });
        });
}

}  // namespace tequio::node
