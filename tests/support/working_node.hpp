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
    struct setup {
        std::string name = "node";
        std::string system_bus = {};  ///< its address; empty: there is none
        std::string peer = {};        ///< HOST:PORT of a node whose job this one is to work on
        int rounds = 1000, inner_steps = 100;  ///< no rounds: no job
    };
    explicit working_node(const std::filesystem::path& folder) : working_node(folder, setup()) {}
    working_node(const std::filesystem::path& folder, const setup& how);

    /// Where agents report to.
    std::filesystem::path socket() const { return data_ / "api.sock"; }
    pid_t daemon() const { return daemon_->pid(); }
    /// The state digest that `job replay` arrives at.
    std::string replayed(const std::string& task) const;
    /// The compute process; 0 when there is none.
    pid_t worker() const;
    /// What its interface answers to a GET; empty when the daemon does not.
    boost::json::object get(const std::string& path) const;
    boost::json::object status() const { return get("/api/v1/status"); }
    /// The job, as this node sees it; empty as long as it does not know it.
    boost::json::object job() const;
    /// What the member with this id does, as this node was told last; empty if it knows none.
    std::string sees(const std::string& member) const;
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
    void submit(const setup& how) const;
    std::filesystem::path folder_, data_;
    std::vector<std::string> environment_;
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
