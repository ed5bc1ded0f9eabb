#pragma once

/// A real node at work on a job, with a real session agent beside it: what is pressed at a display
/// must reach its compute threads.

#include <boost/json/object.hpp>

#include "tests/support/agent_run.hpp"

namespace tequio::tests {

/// `tequio node` under the usual policy with a job of an hour; its owner is away two seconds after
/// his last input. Ended, with its worker, by the destructor.
class working_node {
public:
    explicit working_node(const std::filesystem::path& folder);

    /// Where agents report to.
    std::filesystem::path socket() const { return data_ / "api.sock"; }
    /// Empty when the daemon does not answer.
    boost::json::object status() const;
    /// A field of the status that is a text; empty otherwise.
    std::string says(const std::string& field) const;
    /// The worker uses 3 % of a processor or more, over half a second: it has the idle class, and
    /// this machine may have other work of that class.
    bool computes() const;
    /// Milliseconds after `began` until the worker used no processor for 50 ms; a second more than
    /// the hard limit of one second when it does not stop.
    milliseconds stopped_after(std::chrono::steady_clock::time_point began) const;
    std::string log() const { return daemon_->output(); }

private:
    double worker_seconds() const;
    std::filesystem::path folder_, data_;
    std::unique_ptr<child_process> daemon_;
};

/// With an agent that `environment` shows its session to, `rounds` times: the owner is away and the
/// worker computes; `input` happens (it returns when it began); the worker stops within a second,
/// the node says that it was input seen by `source`; he leaves, and it goes on.
void check_input_takes_the_machine_back(
    const std::filesystem::path& folder, std::vector<std::string> environment,
    const std::string& source, const std::function<std::chrono::steady_clock::time_point()>& input,
    int rounds = 3);

}  // namespace tequio::tests
