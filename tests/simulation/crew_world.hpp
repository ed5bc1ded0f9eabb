#pragma once

/// N virtual machines working on one job: each the real crew core, with a virtual worker, disk and
/// blob store, on a virtual network. Observers look at every core after every event.

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/simulation/lane_functions.hpp"
#include "tests/simulation/shared_links.hpp"
#include "tests/simulation/slice_functions.hpp"
#include "tests/support/simulator.hpp"
#include "training/crew.hpp"
#include "training/crew/messages.hpp"

namespace tequio::simulation {

/// Whom the first member of a team names with a lane.
enum class team_naming {
    honest,
    nobody,    ///< it says that it was alone
    not_all,   ///< one is left out
    stranger,  ///< one is named in another's place
};

/// How fast a virtual machine is.
struct machine {
    double slowness = 1;  ///< times the durations below
    double boasts = 1;    ///< it says that it computes so many times as fast as it does
    /// Lanes for which it hands in another lane's result; in a team, of its slice.
    std::set<std::pair<std::uint64_t, std::uint64_t>> lies;  ///< round, lane
    bool lies_in_checks_only = false;                        ///< then those are false accusations
    /// Lanes that it says diverge.
    std::set<std::pair<std::uint64_t, std::uint64_t>> diverges;
    bool hides_secrets = false;   ///< shows no lottery ticket's secret
    bool never_sums = false;      ///< its worker hangs in every sum
    bool disk_full = false;       ///< for blobs, made here or fetched
    bool miscalculates = false;   ///< its worker applies means wrongly, always alike
    bool forges_parts = false;    ///< its parts of sums hold another mean
    bool breaks_parts = false;    ///< its parts of sums are none
    bool forges_sums = false;     ///< of its group's lanes it publishes other sums
    bool breaks_sums = false;     ///< those are none
    std::uint64_t memory = 0;     ///< for slices, in tensors; 0: as much as anyone wants
    bool fails_in_teams = false;  ///< its worker gives up whatever its team works on
    bool keeps_none = false;      ///< of the full states: its disk has no room
    bool forges_states = false;   ///< writes others than it holds
    bool mistells = false;        ///< says other tensors of its slice than it has
    team_naming names = team_naming::honest;
    base::duration lane = std::chrono::seconds(2);
    base::duration other = std::chrono::milliseconds(200);
    base::duration disk = std::chrono::milliseconds(3);
};

/// Stands in for worker and links where a world is about time and bytes alone. Blobs then travel by
/// size over `links` (of stand-ins, see `hash_job`), and machines compute as long as it says.
class machine_model {
public:
    virtual ~machine_model() = default;
    virtual base::duration work_time(std::size_t index, const training::work_item& item) = 0;
    /// The item in hand, or none, from now on. `reported`: the last one came to an end.
    virtual void in_hand(std::size_t index, const training::work_item* item, bool reported) = 0;
    virtual shared_links& links() = 0;
    /// Of a model that can be divided: sizes for machine `index`, in place of tensors.
    virtual void divide(std::size_t, training::crew_slicing&) {}
    /// What the machine itself computes for the item, and what its connection is seen to do.
    virtual base::duration computed_time(std::size_t index, const training::work_item& item) {
        return work_time(index, item);
    }
    virtual training::links_measured connection(std::size_t) { return {}; }
};

/// Size of those pieces, all of them the blob's.
std::uint64_t bytes_of(const base::blob_ref& ref, const base::piece_run& pieces);

struct world_options {
    std::size_t nodes = 3;
    std::uint64_t seed = 1;
    double check = 0.05;
    std::uint64_t settle = 3;
    std::uint64_t crew_min = 1;
    std::uint64_t crew_max = training::crew_members_max;
    std::uint64_t group_max = training::crew_members_max;
    std::uint32_t depth = 0;  ///< groups to begin with, as powers of two
    /// Nodes have the links of `training/crew_links.hpp` alone, as of a crew with `depth` and
    /// `nodes_expected` nodes. Else all of them.
    bool links_bounded = false;
    network_conditions network{};
    /// With a liar about, the chronicle may hold what one machine alone would not.
    bool honest = true;
    bool sharded = true;  ///< sums are made in shards, where the job has several units
    /// Of a node's events, after every which one its core is checked (large worlds: not each).
    std::uint64_t check_every = 1;
    /// Decodes what is sent and compares it with what was said before.
    bool reads_messages = true;
    training::crew_timings timings{};
    std::uint64_t lane_tokens = 100;
    /// Of a full state, and after every how many rounds one is kept; 0: none is.
    std::uint64_t full_state_bytes = 0, full_state_spacing = 0;
    machine_model* model = nullptr;  ///< outlives the world
    /// Nodes are told nothing of what they measure, so that whoever composes teams goes by ids.
    bool blind = false;
    /// The first machines, whenever they come, are no newcomers to any: so it is when those who
    /// leave and come have been in the job before. 255 of them, or four times `nodes_expected`.
    bool acquainted = false;
    std::uint64_t nodes_expected = 0;
};

class crew_machine;

/// What the nodes of a world did, node by node, for assertions.
struct node_log {
    std::vector<training::check_recorded> checks;
    std::vector<training::standing_changed> standings;
    std::optional<training::job_finished> finished;
    std::uint64_t lanes_run = 0;
    std::uint64_t whole_sums = 0;
    std::uint64_t means_applied = 0;
    std::uint64_t states_kept = 0;
    std::uint64_t states_loaded = 0;
    std::uint64_t shards_summed = 0;
    std::uint64_t lane_sums = 0;  ///< of some lanes, for other groups to add up
    std::vector<std::pair<std::uint64_t, training::partial_sums>> sums_of;  ///< by round, in order
    std::uint64_t sums_added = 0;                                           ///< parts made of such
    std::uint64_t piece_bytes_sent = 0;
    std::uint64_t team_lanes = 0;      ///< lanes and validations done at the head of a team
    std::vector<std::string> refused;  ///< errors of handle(): a peer broke the protocol
    bool drained = false;
};

class crew_world {
public:
    crew_world(lane_functions& functions, world_options options);
    ~crew_world();

    machine& machine_of(std::size_t index);
    /// One machine more; returns its index.
    std::size_t add_machine();
    void start(std::size_t index);
    void start_all();
    /// kill -9: what was not synced is gone; the disk stays.
    void crash(std::size_t index);
    bool alive(std::size_t index) const;
    /// Its worker has an item in hand.
    bool working(std::size_t index) const;
    /// Forgets every blob of a dead node's disk.
    void lose_blobs(std::size_t index);
    void command(std::size_t index, training::crew_command c);
    /// Its owner comes: the worker is parked at once, and the crew told (`crew_command::suspend`)
    /// when that has lasted a second. And goes.
    void owner_comes(std::size_t index);
    void owner_goes(std::size_t index);
    void feed(std::size_t index, const training::crew_event& e);
    training::crew_view view(std::size_t index, bool chronicle = false) const;
    const node_log& log(std::size_t index) const { return logs_[index]; }
    /// Who is followed as steward by the living node `index`; nothing when nobody is.
    std::optional<std::size_t> steward(std::size_t index) const;

    scheduler& time() { return time_; }
    virtual_network& network() { return network_; }
    base::rng rng(std::string_view name) const { return root_.split(name); }

    /// Runs until `done`, looked at after every event. False when `limit` of virtual time passed,
    /// or nothing is left to happen.
    bool run(base::duration limit, const std::function<bool()>& done);
    void run_for(base::duration time);
    /// Every living node says so of the job. Cost: one view after each event of a node.
    bool all(training::job_state state) const;
    /// Living nodes hold exactly the chronicle that one machine alone makes.
    bool all_agree_with(const replayed& alone) const;
    base::digest trace() const { return trace_.value(); }
    /// Attempts of teams that somebody broke off while one of their members was dead.
    const std::set<base::digest>& broken_attempts() const { return broken_; }
    /// Called after every event of any node, with its index.
    std::function<void(std::size_t)> on_event;
    /// Called when a node appends an entry to its chronicle.
    std::function<void(std::size_t, const training::chronicle_entry&)> on_entry;
    std::uint64_t events() const { return node_events_; }
    std::string describe() const;
    std::size_t index_of(const base::node_id& node) const { return index_of_.at(node); }
    base::node_id id_of(std::size_t index) const {
        return base::node_id{roots_[index].public_part().bytes};
    }

private:
    friend class crew_machine;
    training::crew_config config_of(std::size_t index);
    /// Each signature is looked at once, not by every node.
    bool verify(const base::public_key& key, base::byte_view message,
                const base::signature& signature);
    const base::byte_vector& acquaintance();
    bool linked(std::size_t a, std::size_t b) const;
    /// Leaf hashes of a blob, made once: its pieces leave many nodes many times.
    const std::vector<base::digest>& leaves_of(const base::blob_ref& ref, base::byte_view bytes);
    void observe(std::size_t index);
    void observe_entry(std::size_t index, const training::chronicle_entry& entry);
    void observe_message(std::size_t index, base::byte_view message);
    void observe_fact(std::size_t index, std::string_view kind,
                      const training::crew_protocol::item_key& key, base::byte_view body);

    lane_functions& functions_;
    slice_functions* slices_;  ///< those functions, when they are of a model that can be divided
    std::set<base::digest> broken_;
    training::crew_protocol::job_shape shape_;
    world_options options_;
    base::rng root_;
    scheduler time_;
    virtual_network network_;
    trace_digest trace_;
    std::vector<base::signing_key> roots_, keys_;
    base::byte_vector acquaintance_;  ///< standings as a core stores them
    std::deque<machine> machines_;    ///< stay where they are when others join
    std::deque<virtual_disk> disks_;
    std::vector<std::unique_ptr<crew_machine>> nodes_;
    std::vector<node_log> logs_;
    std::map<base::node_id, std::size_t> index_of_;
    std::map<std::uint64_t, training::chronicle_entry> entries_;  ///< first seen, by round
    std::map<std::string, base::byte_vector> said_;  ///< what each node said about each item
    static constexpr std::size_t verified_max = 4096;
    std::map<std::pair<base::public_key, base::signature>, base::byte_vector> verified_;
    std::map<base::blob_ref, std::vector<base::digest>> leaves_;
    /// Of the jobs, by node, as far as they were looked at since the node's last event.
    mutable std::vector<std::optional<training::job_state>> states_;
    std::uint64_t node_events_ = 0;
    std::map<std::size_t, std::uint64_t> visits_;  ///< of the owners who are there, numbered
    std::uint64_t visit_ = 0;
};

}  // namespace tequio::simulation
