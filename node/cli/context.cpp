#include "node/cli/context.hpp"

#include <pwd.h>
#include <signal.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <cstdio>
#include <cstdlib>

#include "node/cli/api_client.hpp"
#include "node/cli/commands.hpp"
#include "node/core/errc.hpp"

namespace tequio::node {
namespace {

volatile sig_atomic_t interrupt_seen = 0;

class exit_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "tequio.exit"; }
    std::string message(int value) const override { return "exit " + std::to_string(value); }
};
const exit_category exits;

std::filesystem::path home_or(const char* variable, const char* fallback) {
    if (const char* value = std::getenv(variable); value && *value == '/') {
        return std::filesystem::path(value) / "tequio";
    }
    const char* home = std::getenv("HOME");
    if (!home || !*home) {
        const auto* user = ::getpwuid(::getuid());
        home = user ? user->pw_dir : "/";
    }
    return std::filesystem::path(home) / fallback / "tequio";
}

}  // namespace

bool cli_context::may_draw(int descriptor) const {
    return !no_color && !json && ::isatty(descriptor) == 1;
}

void cli_context::say(const std::string& line) const {
    if (!quiet) std::fprintf(stderr, "%s\n", line.c_str());
}

void cli_context::print_json(const std::string& name, boost::json::object value) const {
    boost::json::object out;
    out["schema"] = "tequio/" + name + "/1";
    for (auto& [key, item] : value) out[key] = std::move(item);
    std::printf("%s\n", boost::json::serialize(out).c_str());
    std::fflush(stdout);
}

void cli_context::fail(exit_code how, const std::string& message) {
    code = how;
    if (json) print_json("error", {{"error", message}, {"exit_code", static_cast<int>(how)}});
    std::fprintf(stderr, "tequio: %s\n", message.c_str());
}

void cli_context::fail(const base::error& error) {
    fail(exit_code_of(error), error.message());
}

void cli_context::run(const std::function<base::result<void>()>& body) {
    if (const auto done = body(); !done) fail(done.error());
}

void refuse_command(cli_command& parent, cli_context& context, const std::string& name,
                    const std::string& has) {
    auto* command = parent.add_subcommand(name, "")->hide()->swallow_arguments();
    command->callback([&context, path = command->path(), has] {
        context.fail(exit_code::usage, "`tequio " + path + "` is not in this version" +
                                           (has.empty() ? "" : " (has: " + has + ")"));
    });
}

exit_code exit_code_of(const base::error& error) {
    if (error.code().category() == exits) return static_cast<exit_code>(error.code().value());
    if (error.is(client_errc::not_reachable)) return exit_code::no_daemon;
    if (error.is(client_errc::not_found) || error.is(errc::not_found)) {
        return exit_code::not_found;
    }
    if (error.is(client_errc::forbidden)) return exit_code::refused;
    return exit_code::failure;
}

base::error ends_with(exit_code how, std::string message) {
    return base::error({static_cast<int>(how), exits}, std::move(message));
}

std::filesystem::path default_data_dir() {
    if (const char* value = std::getenv("TEQUIO_DATA_DIR"); value && *value) return value;
    return home_or("XDG_DATA_HOME", ".local/share");
}

std::filesystem::path config_dir() {
    return home_or("XDG_CONFIG_HOME", ".config");
}

bool interrupted() {
    return interrupt_seen != 0;
}

void catch_interrupts() {
    struct sigaction action {};
    action.sa_handler = [](int) { interrupt_seen = 1; };
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
}

}  // namespace tequio::node
