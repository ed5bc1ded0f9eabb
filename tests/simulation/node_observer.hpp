#pragma once

/// Looks at what leaves every node and at what it stores, and aborts when two things contradict one
/// another, whoever said them and however often nodes died in between.

#include <map>
#include <string>

#include "node/core/node_logic.hpp"
#include "tests/simulation/lane_functions.hpp"

namespace tequio::simulation {

class node_observer {
public:
    /// From now on entries of this job must be those of one machine alone.
    void expect(const base::task_id& id, const training::task& task, const replayed& alone);
    void stored(const node::keep& change);
    void sent(const base::node_id& from, base::byte_view link_message);
    void written(const base::node_id& by, const ledger::store_write& what);

private:
    struct known_job {
        std::uint32_t lanes = 0;
        std::uint64_t rounds = 0;
        std::uint64_t contribution_bytes = 0;
        std::uint64_t mean_bytes = 0;
        bool validation = false;
        const replayed* alone = nullptr;
    };
    void crew_message(const base::node_id& from, base::byte_view bytes);
    void desk_message(base::byte_view bytes);
    /// Ensures that nobody says two things about one subject.
    void said(const base::node_id& who, const std::string& about, base::byte_view what);
    void signed_receipt(const base::node_id& who, std::string_view text);

    std::map<base::task_id, known_job> jobs_;
    std::map<std::pair<base::node_id, std::string>, base::digest> said_;
};

}  // namespace tequio::simulation
