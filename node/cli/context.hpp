#pragma once

/// What every command shares: where the data is, how to speak, and how it ends (INTERFACE.md).

#include <boost/json/object.hpp>
#include <filesystem>
#include <functional>
#include <string>

#include "base/result.hpp"

namespace tequio::node {

/// Exit codes of the program.
enum class exit_code : int {
    ok = 0,
    failure = 1,
    usage = 2,
    no_daemon = 3,
    not_found = 4,
    refused = 5,
    timed_out = 6,
    job_failed = 7,
    verification_failed = 8,
    interrupted = 130,
};

/// One run of the command line. Results go to stdout, messages to stderr.
struct cli_context {
    std::filesystem::path data_dir;  ///< --data-dir, TEQUIO_DATA_DIR, or XDG's
    bool json = false;      ///< --json: results and errors as JSON objects with a `schema` field
    bool quiet = false;     ///< --quiet: no messages, only results and errors
    bool no_color = false;  ///< --no-color or NO_COLOR
    exit_code code = exit_code::ok;  ///< what the chosen command left

    /// Colour and cursor movement are allowed on this descriptor (a terminal, not --no-color, not
    /// --json).
    bool may_draw(int descriptor) const;
    /// A line for people on stderr; nothing under --quiet.
    void say(const std::string& line) const;
    /// The result object on stdout, one line, with `schema` = "tequio/`name`/1" put first.
    void print_json(const std::string& name, boost::json::object value) const;
    /// Reports an error (as JSON on stdout under --json) and remembers how to end.
    void fail(exit_code how, const std::string& message);
    /// The same; the code follows from the error (`exit_code_of`).
    void fail(const base::error& error);
    /// Runs a command's body; its error, if any, is reported.
    void run(const std::function<base::result<void>()>& body);
};

/// Which exit code an error ends with: client errors by their kind, everything else 1.
exit_code exit_code_of(const base::error& error);
/// Errors that a command gives a code of its own: `how` with the sentence of `message`.
base::error ends_with(exit_code how, std::string message);

/// Default data dir: TEQUIO_DATA_DIR, else $XDG_DATA_HOME/tequio, else ~/.local/share/tequio.
std::filesystem::path default_data_dir();
/// Configuration folder: $XDG_CONFIG_HOME/tequio, else ~/.config/tequio.
std::filesystem::path config_dir();

/// True once Ctrl-C or SIGTERM arrived (commands that wait ask it).
bool interrupted();
/// Makes SIGINT and SIGTERM set `interrupted()` instead of ending the process.
void catch_interrupts();

}  // namespace tequio::node
