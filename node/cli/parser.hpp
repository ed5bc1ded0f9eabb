#pragma once

/// The command line as a tree of commands with options: a thin face of CLI11 with the words of it
/// that the commands use, so that CLI11 itself, four seconds of compiling a file, is included in
/// parser.cpp alone. Commands and options belong to their parent; pointers live as long as it.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace tequio::node {

/// One option or argument. Every function returns the option itself.
class cli_option {
public:
    explicit cli_option(CLI::Option& option) : option_(&option) {}

    /// Without it the command is refused.
    cli_option* required();
    /// Values outside [least, most] are refused. The type is that of the value.
    cli_option* range(int least, int most);
    cli_option* range(unsigned least, unsigned most);
    cli_option* range(std::uint64_t least, std::uint64_t most);
    cli_option* range(double least, double most);
    /// Other values are refused.
    cli_option* one_of(std::vector<std::string> values);
    /// The help shows the value that the target has now.
    cli_option* show_default();
    /// The option may stand without a value; the help then says `value`. The target stays as it is:
    /// ask `cli_command::given`.
    cli_option* may_stand_alone(const std::string& value);

private:
    CLI::Option* option_;
};

/// A command: options, commands below it, and what it does.
class cli_command {
public:
    explicit cli_command(CLI::App& app) : app_(&app) {}
    cli_command(const cli_command&) = delete;
    cli_command& operator=(const cli_command&) = delete;

    cli_command* add_subcommand(const std::string& name, const std::string& help);
    /// How many of the commands below must and may be chosen.
    void require_subcommand(std::size_t least, std::size_t most);
    void require_subcommand(std::size_t exactly) { require_subcommand(exactly, exactly); }
    /// True when one of the commands below was chosen; known once `callback`s run.
    bool subcommand_chosen() const;
    /// "job show": the name with those of the commands above, the program's left out.
    std::string path() const;
    /// Not shown by --help.
    cli_command* hide();
    /// Takes any arguments as its own, so that its callback can refuse the command by its name.
    cli_command* swallow_arguments();

    /// An option when `name` begins with "--", an argument otherwise. The target must outlive the
    /// parsing; it keeps its value when nothing is given. A vector takes repeated options.
    cli_option* add_option(const std::string& name, std::string& target, const std::string& help);
    cli_option* add_option(const std::string& name, std::filesystem::path& target,
                           const std::string& help);
    cli_option* add_option(const std::string& name, std::vector<std::string>& target,
                           const std::string& help);
    cli_option* add_option(const std::string& name, unsigned& target, const std::string& help);
    cli_option* add_option(const std::string& name, std::int64_t& target, const std::string& help);
    cli_option* add_option(const std::string& name, std::uint64_t& target, const std::string& help);
    cli_option* add_option(const std::string& name, std::optional<std::uint64_t>& target,
                           const std::string& help);
    cli_option* add_option(const std::string& name, double& target, const std::string& help);
    void add_flag(const std::string& name, bool& target, const std::string& help);
    /// True when the option stood on the command line.
    bool given(const std::string& option) const;

    /// What the command does, once the whole line was read.
    void callback(std::function<void()> body);

private:
    template <class Target>
    cli_option* add(const std::string& name, Target& target, const std::string& help);

    CLI::App* app_;
    std::list<cli_command> commands_;
    std::list<cli_option> options_;
};

/// The whole command line.
class cli_parser {
public:
    cli_parser(const std::string& description, const std::string& version);
    ~cli_parser();
    cli_command& root() { return *root_; }

    /// What reading a line came to.
    struct outcome {
        bool ended = false;  ///< nothing more to do: --help or --version was answered
        std::string wrong;   ///< what is wrong with the line, for people; empty if nothing is
    };
    /// Reads the line and runs the chosen command.
    outcome parse(int argc, char** argv);

private:
    std::unique_ptr<CLI::App> app_;
    std::unique_ptr<cli_command> root_;
};

}  // namespace tequio::node
