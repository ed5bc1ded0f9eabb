#pragma once

/// The inside of `node_logic`. One file a concern: node_logic.cpp (events, commands), notes.cpp
/// (tasks and cancellations as they arrive), jobs.cpp (crews, blobs, compute), keeping.cpp (what
/// is kept, how long), final_model.cpp, teams.cpp (lanes by teams), crew_links.cpp (links of
/// crews), receipts.cpp (the ledger's desk), traffic.cpp (bytes of jobs, and their limit).
/// Private to node/core.

#include <algorithm>
#include "node/core/errc.hpp"

#include "node/core/job.hpp"
#include "node/core/link_keeper.hpp"
#include "node/core/standings.hpp"
#include "node/core/team_desk.hpp"
#include "training/errc.hpp"

namespace tequio::node {

/// What an application message between nodes is about.
enum class topic : std::uint8_t {
    introduction = 1,  ///< the sender's message-key certificate; first thing after a link comes up
    crew = 2,          ///< task id (32 bytes), then the crew's own bytes
    receipt = 3,       ///< the receipt desk's own bytes
    refusal = 4,       ///< task id (32 bytes), then a sentence: why this node does not take it
};

/// What is gossiped.
enum class note_kind : std::uint8_t { task = 1, cancellation = 2 };

class node_logic::state {
public:
    state(node_logic_config config, const p2p::identity& self, node_memory memory,
          std::vector<ledger::open_offer> offers, moment at, base::rng rng);

    // node_logic.cpp
    void on(p2p::network_event& e);
    void on(blob_looked_up& e);
    void on(blob_confirmed& e);
    void on(blob_lost& e);
    void on(compute_answer& e);
    void on(compute_states_lost& e);
    void on(compute_progress& e);
    void on(team_said& e);
    void on(team_note& e);
    void on(ledger_written& e);
    void on(model_exported& e);
    void on(machine_released& e);
    void on(connection_seen& e);
    void on(node_tick& e);
    /// Begins handling one event: where effects go, and when it is.
    void enter(moment at, node_effects& out);
    /// Ends it: ticks what is due, hands out work.
    void settle();
    base::time_point next_deadline() const;
    void set_pause(bool paused, std::optional<base::unix_time> until);
    bool pause_is_over() const;
    /// What a crew is told of its owner's wishes and of the machine's release, all together.
    void tell_standing(held_job& j);
    /// No item may be begun: the machine is given back for longer than a moment.
    bool released() const { return paused_ || used_up_ || released_ >= release_level::suspended; }
    void say(log_level level, std::string text) {
        out_->push_back(log_line{level, std::move(text)});
    }
    void remember(std::string bucket, std::string key, std::optional<std::string> value) {
        out_->push_back(keep{std::move(bucket), std::move(key), std::move(value)});
    }
    /// Hands an event to the network core and deals with what it wants.
    base::result<void> tell_network(p2p::network_event e);
    void send(const base::node_id& to, topic about, base::byte_vector bytes);
    void carry_out(p2p::peer_up& up);
    void carry_out(p2p::peer_down& down);
    void carry_out(p2p::note_received& note);
    void carry_out(p2p::blob_complete& complete);
    void carry_out(p2p::blob_failed& failed);
    void carry_out(p2p::store_peers& peers);
    void carry_out(p2p::app_message& message);
    void carry_out(p2p::read_piece& wanted);  // traffic.cpp
    void carry_out(p2p::store_piece& piece);  // likewise
    void carry_out(p2p::stream_message& message);
    void carry_out(p2p::stream_taken& message);
    void carry_out(p2p::stream_moved& message);
    void carry_out(p2p::stream_closed& message);
    template <class Effect>
    void carry_out(Effect& for_the_shell) {
        out_->push_back(std::move(for_the_shell));
    }
    void on_introduction(const base::node_id& from, const base::byte_vector& certificate);
    void on_refusal(held_job& j, const base::node_id& from, std::string_view reason);
    void note_room(held_job& j, const blob_looked_up& e);
    void explain_dial(const p2p::dial_failed& failed);

    // notes.cpp
    void on_note(p2p::note_received& note);
    p2p::judge_note judge_task(const p2p::note_received& note);
    p2p::judge_note judge_cancellation(const p2p::note_received& note);
    base::result<void> acceptable(const training::task& t, const base::task_id& id) const;
    void take_up(training::task task, const base::digest& note_id, std::string_view note);
    /// Weighs the task's bytes against the disk and what other jobs may need of it.
    base::result<void> fits_disk(const training::task& t) const;
    /// Whether so many bytes more fit beside what is promised and what is kept beyond that.
    base::result<void> has_room(std::uint64_t bytes, const base::public_key& submitter) const;
    base::result<void> apply_cancellation(const training::cancellation& c, const std::string& note);

    // jobs.cpp
    held_job& add_job(training::task task, std::string note, base::unix_time accepted);
    void restore_jobs();
    void restore_job(const std::string& hex, const node_memory& memory);
    void restore_standings(const node_memory& memory);
    void look_for_data(held_job& j);
    void stop_fetching_data(held_job& j);
    void start_crew(held_job& j, training::crew_memory memory);
    void tell_crew(held_job& j, const training::crew_event& e);
    void tell_crews(const training::crew_event& e);
    void carry_out(held_job& j, training::crew_effect& effect);
    void fetch(held_job& j, const training::fetch_blob& wanted);
    /// Runs of pieces that its crew waits for, the whole blob among them.
    static std::vector<base::piece_run> runs_of(const held_job& j, const base::blob_ref& ref);
    /// The same of any job, and the data of its task.
    std::set<base::piece_run> runs_wanted(const base::blob_ref& ref) const;
    /// Who may have that run: of data whoever is linked, else whom the crews named for it.
    std::vector<base::node_id> whom_to_ask(const base::blob_ref& ref,
                                           const base::piece_run& pieces) const;
    void confirm(const base::blob_ref& ref, const base::piece_run& pieces);
    /// Unless a job waits for it still.
    void stop_fetching(const base::blob_ref& ref, const base::piece_run& pieces);
    void forget_blob(held_job& j, const base::blob_ref& ref);
    void drop_for_twins(held_job& j);
    /// A job that may still need blobs of j's recipe; null when there is none.
    held_job* twin_of(const held_job& j);
    void end_job(held_job& j, training::job_state as, std::string code, std::string reason);
    void begin_waiting_work();
    /// Begins what is in hand, with its team if it has one. Errors: as `team_desk::begin`.
    base::result<void> begin_in_hand();
    void say_work(const std::string& verb);
    /// Nothing that is not here of a blob, or of a run of its pieces, is to be had.
    void blob_is_gone(const base::blob_ref& ref, const std::string& reason);
    void run_is_gone(const base::blob_ref& ref, const base::piece_run& pieces,
                     const std::string& reason);
    /// Its crew, if it waits for that, does so no longer.
    void give_up(held_job& j, const run_of_blob& what, const std::string& reason);
    std::vector<base::node_id> linked_nodes() const;
    held_job* job_of(const base::task_id& id);

    // crew_links.cpp
    /// Its crew may be in groups.
    bool may_divide(const held_job& j) const;
    void keep_links();
    /// Fails the fetches whose holders have been out of reach for long.
    void give_up_out_of_reach(held_job& j);

    // teams.cpp
    /// Carries out what the desk of teams wants.
    void obey(team_effects&& wanted);
    void wait_for_team_no_longer();
    /// The item in hand ended: its team, if it had one, is let go. An outcome that failed because
    /// this node gave the others up says so.
    void end_team(base::result<training::work_outcome>& outcome, bool stopped);

    // final_model.cpp
    void crew_finished(held_job& j, const training::job_finished& finished);
    void export_whole(held_job& j);
    void export_failed(held_job& j, const std::string& what);
    void export_again(held_job& j);
    /// In as few slices as this node has room for.
    void begin_rebuilding(held_job& j);
    /// The next step of it: an item, a mean to fetch, or a slice to write.
    void rebuild_next(held_job& j);
    void rebuilt(held_job& j, base::result<training::work_outcome>& outcome);
    void write_slice(held_job& j);
    /// A mean that it waits for is here, or is not to be had.
    void mean_came(held_job& j, const base::blob_ref& ref);
    void mean_is_gone(held_job& j, const base::blob_ref& ref, const std::string& reason);

    // keeping.cpp
    /// Notes ends, lets go of what nobody needs, forgets jobs whose time is over. Every
    /// housekeeping.
    void keep_house();
    void note_end(held_job& j);
    void drop_contributions(held_job& j);
    /// Why an ended job may be forgotten now; empty when it stays.
    std::string may_be_forgotten(held_job& j);
    void forget_job(const base::task_id& id);
    void forget_memory(const std::string& hex);
    void restore_forgotten(const node_memory& memory);

    // traffic.cpp
    /// From now on the blob's bytes count for this job, unless another had it first.
    void blob_of(const held_job& j, const base::blob_ref& ref);
    held_job* job_of_blob(const base::blob_ref& ref);
    void count_served(const p2p::piece_read& read);
    /// Remembers a job's bytes once there are `least` more than were remembered.
    void keep_traffic(held_job& j, std::uint64_t least = 1);
    void set_used_up(std::optional<traffic_used_up> used);

    // receipts.cpp
    void record_check(held_job& j, const training::check_recorded& recorded);
    /// Another will draft it, and this node agrees when it says just that.
    void expect_receipt(held_job& j, const ledger::receipt_facts& facts);
    void restore_checked(held_job& j, const node_memory& memory);
    void tell_desk(const ledger::desk_event& e);
    ledger::confirm judge_receipt(const ledger::confirm_wanted& wanted);

    node_logic_config config_;
    const p2p::identity& self_;
    base::rng rng_;
    node_memory memory_;  ///< emptied once the jobs are restored
    moment at_;
    node_effects* out_ = nullptr;

    p2p::network network_;
    ledger::receipt_desk desk_;
    team_desk team_;
    link_keeper links_;
    base::time_point links_at_ = base::time_point::max();  ///< when to look at them again
    std::map<base::task_id, held_job> jobs_;
    std::map<base::node_id, base::byte_vector> certificates_;  ///< of linked peers' message keys
    /// Cancellations ahead of their task, by task and by who signed; bounded.
    std::map<std::pair<base::task_id, base::public_key>, std::string> cancelled_early_;
    /// Jobs that are not kept any more, with their deadlines: until then their tasks may come
    /// again.
    std::map<base::task_id, base::unix_time> forgotten_;
    std::map<base::public_key, std::uint64_t> served_;  ///< items begun for a submitter
    standings standings_;                               ///< of all nodes this one worked with

    struct in_flight {
        base::task_id task;
        training::work_item item;
        bool stopped = false;
    };
    std::optional<in_flight> computing_;

    std::map<base::blob_ref, base::task_id> job_of_blob_;  ///< of blobs that are here or wanted
    std::map<std::uint64_t, base::task_id> reads_;         ///< pieces being read for peers
    std::optional<traffic_used_up> used_up_;

    disk_use disk_use_;
    std::map<p2p::address, std::string> dial_failures_;  ///< last reason said, by address; bounded

    bool paused_ = false;
    bool draining_ = false;
    std::optional<base::unix_time> paused_until_;
    release_level released_ = release_level::working;  ///< as told by the ladder
    base::unix_time activity_since_;
    std::string activity_code_;
    base::time_point housekeeping_at_;
};

}  // namespace tequio::node
