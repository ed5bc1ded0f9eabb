// Bytes on the network: which job they were for, and what happens when the month's are used up.

#include "base/text.hpp"
#include "node/core/node_state.hpp"

namespace tequio::node {
namespace {

/// Bytes of a piece as it travels, but for a few of framing.
std::uint64_t bytes_of(const base::blob_piece& piece) {
    return piece.bytes.size() + piece.path.size() * sizeof(base::digest::bytes);
}

std::uint64_t unkept_bytes(const held_job& j) {
    return j.traffic.all() - j.traffic_kept.all();
}

keep kept_traffic(const held_job& j) {
    return {"job/" + j.id.hex(), "traffic", traffic_text(j.traffic)};
}

}  // namespace

std::string traffic_used_up::reason() const {
    return "network.monthly_traffic, " + base::human_size(limit) + ", is used up: until " +
           base::to_rfc3339(until) +
           " no job is taken up or worked on, and no data of jobs is fetched or served; links to "
           "other nodes stay";
}

void node_logic::state::blob_of(const held_job& j, const base::blob_ref& ref) {
    auto& owner = job_of_blob_[ref];
    if (!job_of(owner)) owner = j.id;
}

held_job* node_logic::state::job_of_blob(const base::blob_ref& ref) {
    const auto it = job_of_blob_.find(ref);
    return it == job_of_blob_.end() ? nullptr : job_of(it->second);
}

void node_logic::state::carry_out(p2p::read_piece& wanted) {
    if (used_up_) {
        (void)tell_network(p2p::piece_read{wanted.request, {}});
        return;
    }
    if (const auto* j = job_of_blob(wanted.ref)) reads_[wanted.request] = j->id;
    out_->push_back(std::move(wanted));
}

void node_logic::state::carry_out(p2p::store_piece& piece) {
    if (auto* j = job_of_blob(piece.ref)) j->traffic.received += bytes_of(piece.piece);
    out_->push_back(std::move(piece));
}

void node_logic::state::count_served(const p2p::piece_read& read) {
    const auto it = reads_.find(read.request);
    if (it == reads_.end()) return;
    if (auto* j = job_of(it->second); j && read.piece) j->traffic.sent += bytes_of(*read.piece);
    reads_.erase(it);
}

void node_logic::state::keep_traffic(held_job& j, std::uint64_t least) {
    if (unkept_bytes(j) < least) return;
    j.traffic_kept = j.traffic;
    out_->push_back(kept_traffic(j));
}

void node_logic::state::set_used_up(std::optional<traffic_used_up> used) {
    if (used == used_up_) return;
    const bool was = used_up_.has_value();
    used_up_ = used;
    if (was == used_up_.has_value()) return;
    activity_since_ = at_.wall;
    say(used_up_ ? log_level::warn : log_level::info,
        used_up_ ? used_up_->reason() : "jobs go on: there is traffic left in this month");
    for (auto& [id, j] : jobs_) {
        if (is_open(j)) tell_standing(j);
    }
    if (used_up_) {
        for (const auto& t : network_.transfers()) {
            (void)tell_network(p2p::cancel_fetch{t.ref, t.pieces});
            run_is_gone(t.ref, t.pieces, used_up_->reason());
        }
        return;
    }
    for (auto& [id, j] : jobs_) {
        if (!j.missing.empty()) look_for_data(j);
    }
    // What came meanwhile was passed on, and is looked at again.
    for (const auto& note : network_.notes()) {
        if (note.kind != static_cast<std::uint8_t>(note_kind::task)) continue;
        const auto text = base::as_text(note.bytes);
        auto task = training::parse_task(text);
        if (task && acceptable(*task, training::task_id_of(*task))) {
            take_up(std::move(*task), note.id, text);
        }
    }
}

// The public face.

void node_logic::set_traffic_used_up(moment at, std::optional<traffic_used_up> used,
                                     node_effects& out) {
    state_->enter(at, out);
    state_->set_used_up(used);
    state_->settle();
}

std::vector<keep> node_logic::unkept_traffic() const {
    std::vector<keep> out;
    for (const auto& [id, j] : state_->jobs_) {
        if (unkept_bytes(j) > 0) out.push_back(kept_traffic(j));
    }
    return out;
}

}  // namespace tequio::node
