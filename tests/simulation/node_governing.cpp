// A virtual machine with an owner: the real governor and the real release ladder, and a worker that
// can be parked, frozen, paged out and ended. What node/io/governor_loop and job_workers do.
#include "base/ensure.hpp"
#include "node/core/errc.hpp"
#include "tests/simulation/node_machine.hpp"

namespace tequio::simulation {

using namespace node;
using training::work_kind;

namespace {

constexpr auto no_pressure = std::uint64_t{2} << 30;  ///< bytes left to others

}  // namespace

bool node_machine::trains() const {
    return in_hand_->item.kind == work_kind::lane || in_hand_->item.kind == work_kind::check;
}

std::optional<training::work_item> node_machine::item_in_hand() const {
    if (!in_hand_ || !in_hand_->begun) return std::nullopt;
    return in_hand_->item;
}

/// No worker is started for an item while the machine is given back.
void node_machine::start_work() {
    if (threads_allowed_ == 0 && !worker_runs_) return;
    worker_runs_ = in_hand_->begun = true;
    run_or_park();
}

/// Hashes, sums and applies have no tasks to park at: only SIGSTOP ends them.
void node_machine::run_or_park() {
    if (!in_hand_ || !in_hand_->begun) return;
    const auto at = now().now;
    const bool may = !frozen_ && (threads_allowed_ > 0 || !trains());
    auto& hand = *in_hand_;
    if (!may && hand.since) {
        end_stretch();
        hand.was_parked = true;
        if (trains()) ++world_.hosts_[index_].released.parked;
    } else if (may && !hand.since) {
        hand.since = at;
        if (hand.was_parked && trains()) ++world_.hosts_[index_].released.gone_on;
        hand.was_parked = paged_out_ = false;
        later(hand.left, [this, number = hand.number, run = ++runs_] {
            if (!in_hand_ || in_hand_->number != number || runs_ != run) return;
            end_stretch();
            finish_work();
        });
    }
}

void node_machine::end_stretch() {
    if (!in_hand_ || !in_hand_->since) return;
    const auto spent = now().now - *in_hand_->since;
    in_hand_->left -= spent;
    in_hand_->since.reset();
    cpu_ += spent;
    ++runs_;
}

governor::moment node_machine::governor_moment() const {
    return {now().now, now().wall, 0, 0};
}

governor_signals node_machine::signals() const {
    const auto& owned = *world_.options_of(index_).owned;
    governor_signals out;
    out.processors = 4;
    out.memory_bytes = owned.memory_bytes;
    out.idle_source = "a script";
    if (owned.owner_here) out.since_input = base::duration::zero();
    if (!owned.owner_here && owned.last_input) out.since_input = now().now - *owned.last_input;
    out.memory_available_bytes = owned.memory_short ? 0 : no_pressure;
    out.preparing_for_sleep = owned.preparing_for_sleep;
    return out;
}

ladder_facts node_machine::workers_now() const {
    ladder_facts out;
    out.running = worker_runs_;
    out.busy = in_hand_.has_value();
    out.cpu = cpu_;
    if (in_hand_ && in_hand_->since) out.cpu += now().now - *in_hand_->since;
    out.held_bytes = [this] {
        const auto& owned = *world_.options_of(index_).owned;
        std::uint64_t sum = 0;
        if (worker_runs_) sum += paged_out_ ? owned.worker_paged_bytes : owned.worker_bytes;
        for (const auto& [id, worker] : workers_) {
            if (!worker.states.empty()) sum += owned.state_bytes;
        }
        return sum;
    };
    return out;
}

void node_machine::look() {
    if (!governor_ || asleep()) return;
    const auto at = governor_moment();
    governor_->wish(at, logic_.owner());
    const auto& allowed = governor_->handle(at, signals());
    governor_->check();
    std::vector<ladder_effect> effects;
    ladder_.handle(at.now, ladder_facts_of(allowed, workers_now(), 0), effects);
    ladder_.check();
    for (const auto& e : effects) act(e);
    arm_look();
}

void node_machine::arm_look() {
    const auto at = now().now;
    auto due = std::min(governor_->next_deadline(), ladder_.next_deadline());
    if (level() == release_level::parked || level() == release_level::suspended)
        due = std::min(due, at + std::chrono::milliseconds(250));
    due = std::max(due, at + std::chrono::milliseconds(1));
    if (look_at_ && *look_at_ > at && *look_at_ <= due) return;
    look_at_ = due;
    later(due - at, [this, due] {
        if (look_at_ != due) return;
        look_at_.reset();
        look();
    });
}

void node_machine::act(const ladder_effect& e) {
    auto& counts = world_.hosts_[index_].released;
    if (const auto* gate = std::get_if<set_gate>(&e)) {
        threads_allowed_ = gate->threads;
        if (gate->threads > 0 && in_hand_ && !in_hand_->begun) start_work();
        run_or_park();
    } else if (std::holds_alternative<freeze_workers>(e)) {
        frozen_ = true;
        ++counts.frozen;
        run_or_park();
    } else if (std::holds_alternative<thaw_workers>(e)) {
        frozen_ = false;
        run_or_park();
    } else if (const auto* told = std::get_if<tell_crews>(&e)) {
        world_.trace(index_, release_level_name(told->level));
        if (told->level == release_level::ended && in_hand_ && in_hand_->begun) ++counts.lost;
        handle(machine_released{told->level});
    } else if (std::holds_alternative<hand_back_memory>(e)) {
        paged_out_ = true;
    } else if (std::holds_alternative<end_workers>(e)) {
        worker_runs_ = frozen_ = false;
        if (in_hand_) answer(base::fail(errc::compute_failed, "the worker process ended"));
    } else if (std::holds_alternative<release_states>(e)) {
        let_states_go();
    }
}

void node_machine::let_states_go() {
    base::ensure(!worker_runs_, "states are let go of when no worker knows them");
    for (auto& [id, worker] : workers_) {
        if (worker.states.empty()) continue;
        worker.states.clear();
        ++world_.hosts_[index_].released.states_lost;
        report(compute_states_lost{id});
    }
}

void node_machine::fall_asleep() {
    base::ensure(!asleep(), "a machine falls asleep once");
    asleep_since_ = world_.time_.now();
}

void node_machine::wake() {
    if (!asleep()) return;
    slept_ += world_.time_.now() - *asleep_since_;
    asleep_since_.reset();
    for (const auto& action : std::exchange(on_waking_, {})) action();
    look();
}

}  // namespace tequio::simulation
