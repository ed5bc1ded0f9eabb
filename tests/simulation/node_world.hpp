#pragma once

/// N virtual machines, each with the whole node: the real `node_logic` over virtual links, disk,
/// blob store, ledger and worker. One thread, virtual time, one seed. After every event of a node
/// its invariants are checked, and what left it is compared with all that was ever said.

#include <array>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/simulation/node_disk.hpp"
#include "tests/simulation/node_observer.hpp"
#include "tests/support/simulator.hpp"

namespace tequio::simulation {

class node_machine;

using blob_map = std::map<base::blob_ref, base::byte_vector>;

inline constexpr std::string_view world_exactness =
    "exact/1:0000000000000000000000000000000000000000000000000000000000000000";

/// A machine with an owner: its node's governor and release ladder run on what the machine shows.
struct owned_machine {
    node::node_config config;
    std::uint64_t memory_bytes = std::uint64_t{8} << 30;
    std::uint64_t worker_bytes = std::uint64_t{300} << 20;        ///< held at work
    std::uint64_t worker_paged_bytes = std::uint64_t{100} << 20;  ///< once it has paged out
    std::uint64_t state_bytes = std::uint64_t{50} << 20;          ///< of a job with any state

    // What happens to it.
    bool owner_here = false;  ///< input all the time
    std::optional<base::time_point> last_input{};
    bool memory_short = false;
    bool preparing_for_sleep = false;
};

/// What a node's governor did to the work of its node.
struct release_counts {
    std::uint64_t parked = 0;       ///< lanes in hand when the gate closed
    std::uint64_t gone_on = 0;      ///< of those, lanes that went on where they stood
    std::uint64_t lost = 0;         ///< items in hand when the worker ended
    std::uint64_t states_lost = 0;  ///< releases of a job's states
    std::uint64_t frozen = 0;
};

/// How a node is set up by its owner, and how fast its machine is.
struct node_options {
    std::vector<std::size_t> knows;  ///< whose addresses its configuration names
    p2p::network_config network;
    base::swarm_id swarm;
    training::task_policy accept;
    std::uint64_t jobs_per_submitter = 4;
    node::disk_limits disk;
    std::string no_room;  ///< why its blob store takes nothing more; empty: it does
    bool exact = true;
    std::uint64_t group_max = training::crew_members_max;  ///< alike at all nodes
    std::int64_t clock_ahead_seconds = 0;
    base::duration lane = std::chrono::seconds(2);
    base::duration other = std::chrono::milliseconds(200);
    std::optional<owned_machine> owned;  ///< absent: nothing is ever taken away from it
};

class node_world {
public:
    node_world(std::size_t nodes, std::uint64_t seed);
    ~node_world();

    node_options& options_of(std::size_t index) { return hosts_[index].options; }
    const node_options& options_of(std::size_t index) const { return hosts_[index].options; }
    /// What workers compute for recipes like this one. `functions` outlive the world.
    void teach(const training::recipe& work, lane_functions& functions);

    void start(std::size_t index);
    void start_all();
    /// kill -9: what the disk has not done yet is lost; links break.
    void crash(std::size_t index);
    /// The disk of a dead node loses a blob.
    void lose_blob(std::size_t index, const base::blob_ref& ref) {
        hosts_[index].disk.blobs.erase(ref);
        hosts_[index].disk.pieces.erase(ref);
    }
    bool alive(std::size_t index) const { return hosts_[index].machine != nullptr; }
    /// Cuts `left` off from the others, until `heal`.
    void partition(std::set<std::size_t> left);
    void heal() { left_.clear(); }

    // What happens to the machine of a living node with an owner.
    void owner_comes(std::size_t index);
    void owner_goes(std::size_t index);
    void memory_short(std::size_t index, bool is);
    /// The machine stands still, its clock of `now` too; links break. `wake` ends it.
    void sleep(std::size_t index);
    void wake(std::size_t index);
    bool asleep(std::size_t index) const;
    node::release_level level_of(std::size_t index) const;
    const release_counts& released(std::size_t index) const { return hosts_[index].released; }
    /// The item in hand there, if its worker has begun it.
    std::optional<training::work_item> in_hand(std::size_t index) const;

    /// Puts the task's blobs into the node's store and submits the signed task there.
    base::result<base::task_id> submit(std::size_t index, const training::task& task,
                                       const base::signing_key& submitter, const blob_map& blobs,
                                       const replayed& alone);
    void command(std::size_t index,
                 const std::function<void(node::node_logic&, node::node_effects&)>& ask);
    const node::node_logic& logic(std::size_t index) const;
    const node_disk& disk(std::size_t index) const { return hosts_[index].disk; }
    /// The job as this living node shows it; nothing when it does not know the task.
    std::optional<node::job_view> job(std::size_t index, const base::task_id& id) const;

    node::moment moment_of(std::size_t index) const;
    base::unix_time wall(std::size_t index) const;
    base::node_id id_of(std::size_t index) const { return hosts_[index].self->node(); }
    p2p::address address_of(std::size_t index) const;

    scheduler& time() { return time_; }
    /// Runs until `done`, looked at after every event. False when `limit` of virtual time passed.
    bool run(base::duration limit, const std::function<bool()>& done);
    void run_for(base::duration time);
    /// Every living node is in this state with the job; done also means that the model is there.
    bool all(const base::task_id& id, training::job_state state) const;
    base::digest trace_value() const { return trace_.value(); }
    std::uint64_t events() const { return events_; }
    std::uint64_t items_begun(std::size_t index) const { return hosts_[index].items_begun; }
    std::uint64_t lane_sums(std::size_t index) const { return hosts_[index].lane_sums; }
    /// Called after every event of a node, outside it: may crash and start nodes.
    std::function<void()> between_events;
    bool loud = false;  ///< prints every node's log
    std::string describe() const;

private:
    friend class node_machine;
    struct host {
        std::unique_ptr<p2p::identity> self;
        node_options options;
        node_disk disk;
        std::unique_ptr<node_machine> machine;  ///< null while dead
        std::uint64_t life = 0;
        std::uint64_t items_begun = 0;
        std::uint64_t lane_sums = 0;  ///< of its group's lanes, for other groups to add up
        release_counts released;
        std::deque<std::string> log;
    };
    struct link {
        std::array<std::size_t, 2> ends{};  ///< who dialled, who was dialled
        std::array<std::uint64_t, 2> lives{};
        std::array<bool, 2> open{};
        std::array<base::time_point, 2> last{};  ///< when what this end sent last arrives
        bool broken = false;
    };

    // For machines.
    void send(std::size_t from, p2p::link_id id, base::byte_vector bytes);
    void dial(std::size_t from, const p2p::dial& e);
    void close(std::size_t from, p2p::link_id id, p2p::link_ending ending);
    lane_functions& functions_of(const training::recipe& work);
    void trace(std::size_t index, std::string_view what, base::byte_view bytes = {});
    void observe(std::size_t index);
    void fall_asleep(std::size_t index, std::uint64_t life);

    void connect(std::size_t from, std::size_t to, const p2p::address& where);
    void deliver(const link& l, std::size_t side, p2p::network_event e);
    void end_side(std::uint64_t number, std::size_t side, const p2p::link_ending& ending);
    void break_links(const std::function<bool(const link&)>& match, base::duration least,
                     base::duration most);
    bool reachable(std::size_t a, std::size_t b) const {
        return left_.contains(a) == left_.contains(b);
    }
    base::duration delay();

    base::rng root_;
    base::rng chance_;
    scheduler time_;
    trace_digest trace_;
    std::vector<host> hosts_;
    std::map<std::uint64_t, link> links_;
    std::uint64_t last_link_ = 0;
    std::set<std::size_t> left_;
    std::map<base::recipe_id, lane_functions*> functions_;
    node_observer observer_;
    std::uint64_t events_ = 0;
};

}  // namespace tequio::simulation
