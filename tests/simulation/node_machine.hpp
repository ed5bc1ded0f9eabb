#pragma once

/// The shell around one `node_logic` on a virtual machine: one life, from start to crash. Carries
/// effects out in order, a durable write before what follows it, as node/core/node_logic.hpp asks
/// of every shell and node/io does.

#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "tests/simulation/node_world.hpp"

namespace tequio::simulation {

class node_machine {
public:
    node_machine(node_world& world, std::size_t index);

    void begin();  ///< after the world knows it
    void handle(node::node_event e);
    /// What comes over the network: a sleeping machine hears it when it wakes.
    void hear(p2p::network_event e);
    /// A command of the node's user: `ask` calls one of `node_logic`.
    void command(const std::function<void(node::node_logic&, node::node_effects&)>& ask);
    const node::node_logic& logic() const { return logic_; }
    /// Its clocks; that of `now` stands still while the machine sleeps.
    node::moment now() const;

    // The governor's shell, as node/io/governor_loop is on a real machine (node_governing.cpp).

    /// Reads the machine and does what its governor and the release ladder want.
    void look();
    bool said_everything() const { return outbox_.empty() && !holding_; }
    void fall_asleep();
    void wake();
    bool asleep() const { return asleep_since_.has_value(); }
    node::release_level level() const { return ladder_.level(); }
    std::optional<training::work_item> item_in_hand() const;

private:
    struct job_worker {
        std::shared_ptr<const training::task> task;
        std::deque<base::digest> states;  ///< what it holds, newest last
    };
    struct in_hand {
        base::task_id task;
        training::work_item item;
        std::uint64_t number = 0;
        bool begun = false;                       ///< a worker has it
        base::duration left{};                    ///< of its computing
        std::optional<base::time_point> since{};  ///< computing since then
        bool was_parked = false;
    };

    node::node_logic_config config() const;
    void take(node::node_effects effects);
    void pump();
    void arm_tick();
    /// Runs `action` later unless this life has ended by then.
    void later(base::duration delay, std::function<void()> action);
    void report(node::node_event e);
    /// Hands `work` to the storage thread, which does one thing after the other.
    void store(base::duration takes, std::function<void()> work);
    /// The same, and what stands behind it in the outbox waits.
    void hold_for(std::function<void()> work);

    void act(p2p::link_send& e);
    void act(p2p::dial& e);
    void act(p2p::close_link& e);
    void act(p2p::read_piece& e);
    void act(p2p::store_piece& e);
    void act(node::look_up_blob& e);
    void act(node::confirm_blob& e);
    void act(node::put_blob& e);
    void act(node::drop_blob& e);
    void act(node::keep& e);
    void act(node::forget_bucket& e);
    void act(node::ledger_write& e);
    void act(node::begin_compute& e);
    void act(node::stop_compute& e);
    // Modelled workers say nothing to one another.
    static void act(node::team_deliver&) {}
    static void act(node::team_credit&) {}
    void act(node::open_compute& e);
    void act(node::close_compute& e);
    void act(node::export_model& e);
    void act(node::log_line& e);

    void finish_work();
    void start_work();
    /// Goes on computing, or stands still, as gate and ice allow.
    void run_or_park();
    /// Counts the stretch of computing that ends now; its timer is void from then on.
    void end_stretch();
    bool trains() const;
    node::governor::moment governor_moment() const;
    node::governor_signals signals() const;
    node::ladder_facts workers_now() const;
    void act(const node::ladder_effect& e);
    void let_states_go();
    void arm_look();
    void answer(base::result<training::work_outcome> outcome);
    base::result<computed> compute(job_worker& worker, const training::work_item& item);

    node_world& world_;
    std::size_t index_;
    node_disk& disk_;
    base::rng rng_;
    std::optional<base::time_point> asleep_since_;
    base::duration slept_{};
    node::node_logic logic_;
    std::shared_ptr<bool> life_ = std::make_shared<bool>(true);
    std::deque<node::node_effect> outbox_;
    bool holding_ = false;
    base::time_point storage_free_;
    std::optional<base::time_point> tick_at_;
    base::time_point last_tick_;
    std::size_t ticks_at_once_ = 0;
    std::map<base::task_id, job_worker> workers_;
    std::optional<in_hand> in_hand_;
    std::uint64_t work_ = 0;

    std::optional<node::governor> governor_;  ///< of a machine with an owner
    node::release_ladder ladder_;
    std::optional<base::time_point> look_at_;
    unsigned threads_allowed_ = 1;
    bool frozen_ = false;
    bool worker_runs_ = false;
    bool paged_out_ = false;
    base::duration cpu_{};
    std::uint64_t runs_ = 0;  ///< stretches of computing so far
    std::vector<std::function<void()>> on_waking_;
};

}  // namespace tequio::simulation
