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
    /// A command of the node's user: `ask` calls one of `node_logic`.
    void command(const std::function<void(node::node_logic&, node::node_effects&)>& ask);
    const node::node_logic& logic() const { return logic_; }

private:
    struct job_worker {
        std::shared_ptr<const training::task> task;
        std::deque<base::digest> states;  ///< what it holds, newest last
    };
    struct in_hand {
        base::task_id task;
        training::work_item item;
        std::uint64_t number = 0;
    };

    node::moment now() const;
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
    void act(node::ledger_write& e);
    void act(node::begin_compute& e);
    void act(node::stop_compute& e);
    void act(node::open_compute& e);
    void act(node::close_compute& e);
    void act(node::export_model& e);
    void act(node::log_line& e);

    void finish_work();
    void answer(base::result<training::work_outcome> outcome);
    base::result<computed> compute(job_worker& worker, const training::work_item& item);

    node_world& world_;
    std::size_t index_;
    node_disk& disk_;
    base::rng rng_;
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
};

}  // namespace tequio::simulation
