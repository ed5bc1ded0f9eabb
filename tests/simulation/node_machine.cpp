#include "tests/simulation/node_machine.hpp"

#include <cmath>

#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "node/core/errc.hpp"
#include "tests/simulation/crew_machine.hpp"
#include "training/cost.hpp"

namespace tequio::simulation {

using namespace node;
using training::work_kind;

namespace {

constexpr std::size_t outbox_max = 20'000;
constexpr std::size_t ticks_at_once_max = 100;
constexpr auto disk_write = std::chrono::milliseconds(3);
constexpr auto disk_read = std::chrono::microseconds(300);

base::error failed(std::string why) {
    return base::fail(node::errc::compute_failed, std::move(why));
}

}  // namespace

node_machine::node_machine(node_world& world, std::size_t index)
    : world_(world),
      index_(index),
      disk_(world.hosts_[index].disk),
      rng_(world.root_.split("machine " + std::to_string(index) + " life " +
                             std::to_string(world.hosts_[index].life))),
      logic_(config(), *world.hosts_[index].self, disk_.memory, disk_.ledger.open_offers(), now(),
             rng_.split("logic")) {}

moment node_machine::now() const {
    const auto running = asleep_since_ ? *asleep_since_ : world_.time_.now();
    return {running - slept_, world_.wall(index_)};
}

node_logic_config node_machine::config() const {
    const auto& o = world_.options_of(index_);
    node_logic_config c;
    c.network = o.network;
    c.swarm = o.swarm;
    c.exactness = std::string(world_exactness);
    c.accept = o.accept;
    c.jobs_per_submitter = o.jobs_per_submitter;
    c.disk = o.disk;
    c.exact = o.exact;
    c.group_max = o.group_max;
    return c;
}

void node_machine::begin() {
    for (const auto other : world_.options_of(index_).knows) {
        handle(p2p::network_event(p2p::add_address{world_.address_of(other)}));
    }
    handle(p2p::network_event(p2p::set_own_addresses{{world_.address_of(index_)}}));
    handle(node_tick{});
    if (const auto& owned = world_.options_of(index_).owned) {
        governor_.emplace(owned->config, true, governor_moment());
        look();
    }
}

void node_machine::hear(p2p::network_event e) {
    if (!asleep()) return handle(std::move(e));
    const auto shared = std::make_shared<p2p::network_event>(std::move(e));
    on_waking_.push_back([this, shared] { handle(std::move(*shared)); });
}

void node_machine::handle(node_event e) {
    node_effects effects;
    logic_.handle(now(), std::move(e), effects);
    take(std::move(effects));
}

void node_machine::command(const std::function<void(node_logic&, node_effects&)>& ask) {
    node_effects effects;
    ask(logic_, effects);
    take(std::move(effects));
}

void node_machine::take(node_effects effects) {
    for (auto& effect : effects) outbox_.push_back(std::move(effect));
    base::ensure(outbox_.size() < outbox_max, "the outbox stays bounded");
    logic_.check();
    arm_tick();
    pump();
    world_.observe(index_);
}

void node_machine::pump() {
    while (!outbox_.empty() && !holding_) {
        auto effect = std::move(outbox_.front());
        outbox_.pop_front();
        std::visit([this](auto& wanted) { act(wanted); }, effect);
    }
}

void node_machine::arm_tick() {
    const auto deadline = std::max(logic_.next_deadline(), now().now);
    if (deadline == base::time_point::max() || (tick_at_ && *tick_at_ <= deadline)) return;
    tick_at_ = deadline;
    later(deadline - now().now, [this, deadline] {
        if (tick_at_ != deadline) return;
        tick_at_.reset();
        ticks_at_once_ = last_tick_ == deadline ? ticks_at_once_ + 1 : 0;
        base::ensure(ticks_at_once_ < ticks_at_once_max, "a tick settles what was due");
        last_tick_ = deadline;
        handle(node_tick{});
    });
}

void node_machine::later(base::duration delay, std::function<void()> action) {
    const auto due = now().now + delay;
    world_.time_.after(delay,
                       [this, due, alive = std::weak_ptr<bool>(life_), action = std::move(action)] {
                           if (alive.expired()) return;
                           const auto again = [this, due, action] {
                               later(std::max(due - now().now, base::duration::zero()), action);
                           };
                           // Time asleep does not count.
                           if (asleep()) {
                               on_waking_.push_back(again);
                           } else if (now().now < due) {
                               again();
                           } else {
                               action();
                           }
                       });
}

void node_machine::report(node_event e) {
    const auto shared = std::make_shared<node_event>(std::move(e));
    later({}, [this, shared] { handle(std::move(*shared)); });
}

void node_machine::store(base::duration takes, std::function<void()> work) {
    storage_free_ = std::max(storage_free_, now().now) + takes;
    later(storage_free_ - now().now, std::move(work));
}

void node_machine::hold_for(std::function<void()> work) {
    holding_ = true;
    store(disk_write, [this, work = std::move(work)] {
        work();
        holding_ = false;
        pump();
    });
}

void node_machine::act(p2p::link_send& e) {
    if (e.what != p2p::send_class::bulk) world_.observer_.sent(world_.id_of(index_), e.bytes);
    world_.trace(index_, "send", e.bytes);
    world_.send(index_, e.link, std::move(e.bytes));
}
void node_machine::act(p2p::dial& e) {
    world_.trace(index_, "dial " + e.address.text());
    world_.dial(index_, e);
}
void node_machine::act(p2p::close_link& e) {
    world_.trace(index_, "close " + e.ending.message());
    world_.close(index_, e.link, e.ending);
}

void node_machine::act(p2p::read_piece& e) {
    store(disk_read, [this, e] {
        handle(p2p::network_event(p2p::piece_read{e.request, disk_.read_piece(e.ref, e.index)}));
    });
}

void node_machine::act(p2p::store_piece& e) {
    store(disk_read, [this, e = std::move(e)] {
        if (disk_.blobs.contains(e.ref)) return;
        disk_.pieces[e.ref][e.piece.index] = e.piece.bytes;
        disk_.paths[e.ref][e.piece.index] = e.piece.path;
    });
}

void node_machine::act(look_up_blob& e) {
    store(disk_read, [this, ref = e.ref] {
        blob_looked_up answer{ref, disk_.blobs.contains(ref), {}};
        if (const auto it = disk_.pieces.find(ref); !answer.whole && it != disk_.pieces.end()) {
            answer.have.resize(ref.pieces());
            for (const auto& [index, bytes] : it->second) answer.have[index] = true;
        }
        if (!answer.whole) answer.no_room = world_.options_of(index_).no_room;
        handle(std::move(answer));
    });
}

void node_machine::act(confirm_blob& e) {
    store(disk_write, [this, e] {
        if (!disk_.whole(e.ref) && !disk_.pieces_of(e.ref, e.pieces)) {
            return handle(blob_lost{e.ref, "it could not be stored"});
        }
        handle(blob_confirmed{e.ref, e.deliver ? disk_.blobs.at(e.ref) : base::byte_vector{},
                              e.pieces});
    });
}

void node_machine::act(put_blob& e) {
    hold_for([this, e = std::move(e)] {
        base::ensure(base::blob_ref_of(e.bytes) == e.ref, "a blob is put under its own name");
        disk_.blobs[e.ref] = e.bytes;
    });
}

void node_machine::act(drop_blob& e) {
    store(disk_read, [this, ref = e.ref] {
        disk_.blobs.erase(ref);
        disk_.pieces.erase(ref);
    });
}

void node_machine::act(keep& e) {
    std::vector<keep> changes;
    changes.push_back(std::move(e));
    while (!outbox_.empty() && std::holds_alternative<keep>(outbox_.front())) {
        changes.push_back(std::move(std::get<keep>(outbox_.front())));
        outbox_.pop_front();
    }
    hold_for([this, changes = std::move(changes)] {
        for (const auto& change : changes) {
            world_.observer_.stored(change);
            const auto place = std::pair(change.bucket, change.key);
            if (change.value) {
                disk_.memory[place] = *change.value;
            } else {
                disk_.memory.erase(place);
            }
            world_.trace(index_, "keep " + change.bucket + " " + change.key,
                         base::as_bytes(change.value.value_or("")));
        }
    });
}

void node_machine::act(forget_bucket& e) {
    hold_for([this, bucket = e.bucket] {
        std::erase_if(disk_.memory, [&](const auto& item) { return item.first.first == bucket; });
        world_.trace(index_, "forget " + bucket);
    });
}

void node_machine::act(ledger_write& e) {
    store(disk_write, [this, e = std::move(e)] {
        auto outcome = disk_.ledger.commit(e.what);
        if (outcome.what == ledger::write_outcome::kind::written) {
            world_.observer_.written(world_.id_of(index_), e.what);
        }
        handle(ledger_written{e.request, std::move(outcome)});
    });
}

void node_machine::act(open_compute& e) {
    workers_.try_emplace(e.task, job_worker{e.what, {}});
}

void node_machine::act(close_compute& e) {
    if (!workers_.contains(e.task)) return;
    if (in_hand_ && in_hand_->task == e.task) answer(failed("the job was closed"));
    workers_.erase(e.task);
}

void node_machine::act(begin_compute& e) {
    base::ensure(!in_hand_, "one item of compute at a time");
    world_.trace(index_, "begin " + std::to_string(static_cast<int>(e.item.kind)));
    in_hand_ = in_hand{.task = e.task, .item = e.item, .number = ++work_};
    if (!workers_.contains(e.task)) return answer(failed("the job is not open here"));
    const auto& o = world_.options_of(index_);
    ++world_.hosts_[index_].items_begun;
    const double jitter = 0.8 + 0.4 * static_cast<double>(rng_.below(1000)) / 1000;
    const auto nominal = std::chrono::duration<double>(trains() ? o.lane : o.other);
    in_hand_->left = std::chrono::duration_cast<base::duration>(nominal * jitter);
    start_work();
}

void node_machine::act(stop_compute& e) {
    if (in_hand_ && in_hand_->task == e.task) answer(failed("stopped"));
}

void node_machine::answer(base::result<training::work_outcome> outcome) {
    end_stretch();
    auto done = std::move(*in_hand_);
    in_hand_.reset();
    report(compute_answer{done.task, std::move(done.item), std::move(outcome)});
}

void node_machine::finish_work() {
    auto result = compute(workers_.at(in_hand_->task), in_hand_->item);
    if (!result) return answer(result.error());
    if (result->bytes.empty()) return answer(result->outcome);
    auto done = std::move(*in_hand_);
    in_hand_.reset();
    store(disk_write, [this, done, result = std::move(*result)] {
        disk_.blobs[result.outcome.blob] = result.bytes;
        handle(compute_answer{done.task, done.item, result.outcome});
    });
}

base::result<computed> node_machine::compute(job_worker& worker, const training::work_item& item) {
    auto& f = world_.functions_of(worker.task->work);
    auto& states = worker.states;
    for (const auto& ref : training::task_blobs(*worker.task)) {
        if (!disk_.blobs.contains(ref)) return failed("blob " + ref.text() + " is not here");
    }
    if (training::needs_state(item.kind) &&
        std::find(states.begin(), states.end(), item.state) == states.end()) {
        return failed("the state is not in memory");
    }
    std::vector<base::byte_view> inputs;
    std::deque<base::byte_vector> some;  // of blobs that are not whole
    for (std::size_t i = 0; i < item.inputs.size(); ++i) {
        const auto& ref = item.inputs[i];
        const auto it = disk_.blobs.find(ref);
        if (it != disk_.blobs.end()) {
            inputs.push_back(it->second);
        } else if (auto bytes = disk_.pieces_of(ref, input_pieces(item, i, f))) {
            inputs.push_back(some.emplace_back(std::move(*bytes)));
        } else {
            return failed("an input is not in the store");
        }
    }
    const auto arrive = [&](const base::digest& state) {
        states.push_back(state);
        if (states.size() > worker.task->trust.settle + 2) states.pop_front();
    };
    computed out;
    const auto round = item.round.value;
    switch (item.kind) {
        case work_kind::prepare:
            out.outcome.state_after = f.initial();
            arrive(out.outcome.state_after);
            break;
        case work_kind::lane:
        case work_kind::check:
            out = f.lane(item.state, round, item.lane.value);
            break;
        case work_kind::validation:
        case work_kind::check_validation:
            out.outcome.loss = f.validate(item.state, round);
            break;
        case work_kind::sum:
            out = f.sum(inputs);
            break;
        case work_kind::sum_shard:
            out = f.sum_shard(inputs, item.units);
            break;
        case work_kind::join: {
            auto joined = f.join(inputs);
            if (!joined) return failed("a part is none");
            out = std::move(*joined);
            break;
        }
        case work_kind::sum_lanes:
            out = f.sum_lanes(inputs, item.sums.front());
            ++world_.hosts_[index_].lane_sums;
            break;
        case work_kind::add_sums: {
            auto part = f.add_sums(inputs, item.sums, item.units);
            if (!part) return failed("sums are none");
            out = std::move(*part);
            break;
        }
        case work_kind::apply:
            out.outcome.state_after = f.apply(item.state, item.round.value, inputs.front());
            arrive(out.outcome.state_after);
            break;
        case work_kind::keep_state:
            return stored_state(item.state, round, node::full_state_bytes_of(*worker.task), false);
        case work_kind::load_state:
            out.outcome.state_after = loaded_state(inputs.front(), round);
            arrive(out.outcome.state_after);
            break;
    }
    return out;
}

void node_machine::act(export_model& e) {
    const auto it = workers_.find(e.task);
    if (it == workers_.end() || it->second.states.empty() ||
        it->second.states.back() != e.facts.state_digest) {
        return report(model_exported{e.task, {}, "another state is in memory"});
    }
    // One small file that follows from the state alone.
    const auto text = "model " + e.facts.state_digest.hex() + "\n";
    const auto view = base::as_bytes(text);
    store(disk_write, [this, id = e.task, bytes = base::byte_vector(view.begin(), view.end())] {
        const auto ref = base::blob_ref_of(bytes);
        disk_.blobs[ref] = bytes;
        handle(model_exported{id, {{"model.safetensors", ref}}, {}});
    });
}

void node_machine::act(log_line& e) {
    auto& log = world_.hosts_[index_].log;
    log.push_back(e.text);
    if (log.size() > 200) log.pop_front();
    if (world_.loud) {
        std::printf("%9.3f node %zu: %s\n",
                    std::chrono::duration<double>(world_.time_.now().time_since_epoch()).count(),
                    index_, e.text.c_str());
    }
}

}  // namespace tequio::simulation
