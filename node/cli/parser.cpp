#include "node/cli/parser.hpp"

#include <CLI/CLI.hpp>
#include <utility>

namespace tequio::node {

cli_option* cli_option::required() {
    option_->required();
    return this;
}

cli_option* cli_option::range(int least, int most) {
    option_->check(CLI::Range(least, most));
    return this;
}

cli_option* cli_option::range(unsigned least, unsigned most) {
    option_->check(CLI::Range(least, most));
    return this;
}

cli_option* cli_option::range(std::uint64_t least, std::uint64_t most) {
    option_->check(CLI::Range(least, most));
    return this;
}

cli_option* cli_option::range(double least, double most) {
    option_->check(CLI::Range(least, most));
    return this;
}

cli_option* cli_option::one_of(std::vector<std::string> values) {
    option_->check(CLI::IsMember(std::move(values)));
    return this;
}

cli_option* cli_option::show_default() {
    option_->capture_default_str();
    return this;
}

cli_option* cli_option::may_stand_alone(const std::string& value) {
    option_->expected(0, 1)->default_str(value);
    return this;
}

cli_command* cli_command::add_subcommand(const std::string& name, const std::string& help) {
    return &commands_.emplace_back(*app_->add_subcommand(name, help));
}

void cli_command::require_subcommand(std::size_t least, std::size_t most) {
    app_->require_subcommand(least, most);
}

bool cli_command::subcommand_chosen() const {
    return !app_->get_subcommands().empty();
}

std::string cli_command::path() const {
    std::string path = app_->get_name();
    // The program itself has no parent, and its name is not part of the path.
    for (auto* above = app_->get_parent(); above && above->get_parent();
         above = above->get_parent()) {
        path = above->get_name() + " " + path;
    }
    return path;
}

cli_command* cli_command::hide() {
    app_->group("");
    return this;
}

cli_command* cli_command::swallow_arguments() {
    // Without fall-through an option of the program behind the command is the command's too.
    app_->allow_extras()->fallthrough(false);
    return this;
}

template <class Target>
cli_option* cli_command::add(const std::string& name, Target& target, const std::string& help) {
    return &options_.emplace_back(*app_->add_option(name, target, help));
}

cli_option* cli_command::add_option(const std::string& name, std::string& target,
                                    const std::string& help) {
    return add(name, target, help);
}

cli_option* cli_command::add_option(const std::string& name, std::filesystem::path& target,
                                    const std::string& help) {
    return add(name, target, help);
}

cli_option* cli_command::add_option(const std::string& name, std::vector<std::string>& target,
                                    const std::string& help) {
    return add(name, target, help);
}

cli_option* cli_command::add_option(const std::string& name, unsigned& target,
                                    const std::string& help) {
    return add(name, target, help);
}

cli_option* cli_command::add_option(const std::string& name, std::int64_t& target,
                                    const std::string& help) {
    return add(name, target, help);
}

cli_option* cli_command::add_option(const std::string& name, std::uint64_t& target,
                                    const std::string& help) {
    return add(name, target, help);
}

cli_option* cli_command::add_option(const std::string& name, std::optional<std::uint64_t>& target,
                                    const std::string& help) {
    return add(name, target, help);
}

cli_option* cli_command::add_option(const std::string& name, double& target,
                                    const std::string& help) {
    return add(name, target, help);
}

void cli_command::add_flag(const std::string& name, bool& target, const std::string& help) {
    app_->add_flag(name, target, help);
}

bool cli_command::given(const std::string& option) const {
    return app_->count(option) != 0;
}

void cli_command::callback(std::function<void()> body) {
    app_->callback(std::move(body));
}

cli_parser::cli_parser(const std::string& description, const std::string& version)
    : app_(std::make_unique<CLI::App>(description)), root_(std::make_unique<cli_command>(*app_)) {
    app_->set_version_flag("--version", version);
    app_->fallthrough();
    app_->require_subcommand(1);
}

cli_parser::~cli_parser() = default;

cli_parser::outcome cli_parser::parse(int argc, char** argv) {
    try {
        app_->parse(argc, argv);
        return {};
    } catch (const CLI::ParseError& e) {
        // CLI11 reports by throwing; this is the border where its exceptions end.
        if (e.get_exit_code() == 0) {
            app_->exit(e);
            return {true, {}};
        }
        const auto unknown = app_->remaining(true);
        const bool no_command = dynamic_cast<const CLI::RequiredError*>(&e) && !unknown.empty();
        return {false, no_command ? "no command \"" + unknown.front() + "\"" : e.what()};
    }
}

}  // namespace tequio::node
