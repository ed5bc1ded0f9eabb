#include "tests/simulation/crew_machine.hpp"

#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"
#include "base/text.hpp"
#include "training/errc.hpp"

namespace tequio::simulation {

using namespace training;

namespace {

enum class packet : std::uint8_t { crew = 0, ask_piece = 1, piece = 2 };

std::string blob_key(const base::blob_ref& ref, const base::piece_run& pieces = {}) {
    if (pieces.whole()) return "blob/" + ref.text();
    return "blob/" + ref.text() + "/" + std::to_string(pieces.first) + "+" +
           std::to_string(pieces.count);
}

/// Zero-padded, so that the disk's order is the order of rounds.
std::string entry_key(std::uint64_t round) {
    auto digits = std::to_string(round);
    return "entry/" + std::string(8 - digits.size(), '0') + digits;
}

void write_ref(base::byte_writer& w, const base::blob_ref& ref) {
    w.raw(ref.root.view());
    w.u64(ref.size);
}

base::blob_ref read_ref(base::byte_reader& in) {
    base::blob_ref ref;
    const auto root = in.raw(32);
    std::copy(root.begin(), root.end(), ref.root.bytes.begin());
    ref.size = in.u64();
    return ref;
}

}  // namespace

base::piece_run input_pieces(const work_item& item, std::size_t index, const lane_functions& f) {
    contribution_run out;
    if (item.kind == work_kind::sum_shard) out = f.shard(item.units).lane_units;
    if (item.kind == work_kind::sum_lanes) out = f.shard(item.sums.front().units).lane_units;
    if (item.kind == work_kind::add_sums) out = f.sums(item.sums[index], item.units).pieces;
    return {out.first, out.count};
}

crew_machine::crew_machine(crew_world& world, std::size_t index)
    : world_(world),
      index_(index),
      disk_(world.disks_[index]),
      rng_(world.root_.split("machine " + std::to_string(index) + " event " +
                             std::to_string(world.time_.events()))),
      crew_(world.config_of(index), memory_of(disk_), rng_.split("crew")) {}

crew_memory crew_machine::memory_of(const virtual_disk& disk) {
    crew_memory memory;
    for (const auto& [key, value] : disk.all()) {
        if (key.starts_with("fact/")) memory.facts.push_back({key.substr(5), value});
        if (key.starts_with("entry/")) {
            auto entry = parse_chronicle_entry(base::as_text(value));
            base::ensure(entry.has_value(), "what was stored can be read");
            memory.entries.push_back(std::move(*entry));
        }
    }
    return memory;
}

void crew_machine::begin() {
    feed(crew_tick{});
    if (world_.options_.model == nullptr || world_.options_.blind) return;
    feed(world_.options_.model->connection(index_));
}

void crew_machine::later(base::duration delay, std::function<void()> action) {
    world_.time_.after(delay, [alive = std::weak_ptr<bool>(life_), action = std::move(action)] {
        if (!alive.expired()) action();
    });
}

void crew_machine::receive(std::size_t from, base::byte_view bytes) {
    base::byte_reader in(bytes);
    switch (static_cast<packet>(in.u8())) {
        case packet::crew:
            feed(crew_message{world_.id_of(from), {bytes.begin() + 1, bytes.end()}});
            break;
        case packet::ask_piece:
            give_piece(from, in);
            break;
        case packet::piece:
            take_piece(in);
            break;
    }
}

void crew_machine::peer_up(std::size_t other) {
    const auto& certificate = world_.keys_[other].public_part();
    feed(member_up{world_.id_of(other), {certificate.bytes.begin(), certificate.bytes.end()}});
}

void crew_machine::peer_down(std::size_t other) {
    feed(member_down{world_.id_of(other)});
}

void crew_machine::feed(const crew_event& e) {
    std::vector<crew_effect> effects;
    if (const auto verdict = crew_.handle(world_.time_.now(), e, effects); !verdict) {
        world_.logs_[index_].refused.push_back(verdict.error().message());
    }
    for (auto& effect : effects) {
        if (const auto* entry = std::get_if<store_entry>(&effect)) {
            world_.observe_entry(index_, entry->entry);
        }
        queue_.push_back(std::move(effect));
    }
    world_.observe(index_);
    arm_tick();
    pump();
}

void crew_machine::arm_tick() {
    const auto deadline = std::max(crew_.next_deadline(), world_.time_.now());
    if (tick_at_ && *tick_at_ <= deadline) return;
    tick_at_ = deadline;
    later(deadline - world_.time_.now(), [this, deadline] {
        if (tick_at_ != deadline) return;
        tick_at_.reset();
        feed(crew_tick{});
    });
}

void crew_machine::pump() {
    if (pumping_) return;
    pumping_ = true;
    while (!queue_.empty() && !waiting_for_disk_) {
        const auto effect = std::move(queue_.front());
        queue_.pop_front();
        carry_out(effect);
    }
    pumping_ = false;
}

/// Everything behind a write waits until it is durable.
void crew_machine::store_then(std::string key, base::byte_vector value,
                              std::function<void()> then) {
    disk_.put(std::move(key), std::move(value));
    waiting_for_disk_ = true;
    later(world_.machines_[index_].disk, [this, then = std::move(then)] {
        disk_.sync();
        waiting_for_disk_ = false;
        if (then) then();
        pump();
    });
}

base::byte_vector crew_machine::without_secrets(const base::byte_vector& message) const {
    auto decoded = crew_protocol::decode(world_.shape_, message);
    auto* said = std::get_if<crew_protocol::status>(&*decoded);
    if (said == nullptr) return message;
    std::erase_if(said->tickets, [](const auto& t) { return t.shown; });
    return crew_protocol::encode(world_.shape_.task, *said);
}

base::byte_vector crew_machine::with_false_team(const base::byte_vector& message) const {
    auto decoded = crew_protocol::decode(world_.shape_, message);
    auto* told = std::get_if<crew_protocol::facts>(&*decoded);
    if (told == nullptr) return message;
    for (auto& fact : told->claims) {
        auto c = *crew_protocol::parse_claim(world_.shape_, fact.body);
        if (c.node != world_.id_of(index_) || c.team.members.empty()) continue;
        const auto team = crew_protocol::team_of(c);
        switch (world_.machines_[index_].names) {
            case team_naming::honest:
                break;
            case team_naming::nobody:
                c.team = {};
                break;
            case team_naming::not_all:
                c.team.members.pop_back();
                if (c.team.members.empty()) c.team.attempt = 0;
                break;
            case team_naming::stranger:
                for (std::size_t i = 0; i < world_.roots_.size(); ++i) {
                    const auto id = world_.id_of(i);
                    if (std::find(team.begin(), team.end(), id) == team.end()) {
                        c.team.members.back().node = id;
                    }
                }
                break;
        }
        fact.body = crew_protocol::claim_body(world_.shape_.task, c);
        fact.signature = world_.keys_[index_].sign(
            crew_protocol::signed_bytes(crew_protocol::fact_kind::claim, fact.body));
    }
    return crew_protocol::encode(world_.shape_.task, *told);
}

void crew_machine::carry_out(const crew_effect& effect) {
    if (const auto* e = std::get_if<send_crew>(&effect)) {
        world_.observe_message(index_, e->bytes);
        const auto& m = world_.machines_[index_];
        base::byte_vector changed;
        if (m.hides_secrets) {
            changed = without_secrets(e->bytes);
        } else if (m.names != team_naming::honest) {
            changed = with_false_team(e->bytes);
        }
        const auto& said = changed.empty() ? e->bytes : changed;
        base::byte_vector bytes(1 + said.size());
        bytes[0] = static_cast<std::uint8_t>(packet::crew);
        std::copy(said.begin(), said.end(), bytes.begin() + 1);
        world_.network_.send(index_, world_.index_of_.at(e->to), std::move(bytes));
    } else if (const auto* b = std::get_if<training::begin_work>(&effect)) {
        begin_work(b->item);
    } else if (std::holds_alternative<stop_work>(effect)) {
        ++work_;
        note_broken();
        working_ = false;
        if (auto* model = world_.options_.model) model->in_hand(index_, nullptr, false);
    } else if (const auto* f = std::get_if<fetch_blob>(&effect)) {
        start_fetch(*f);
    } else if (const auto* d = std::get_if<drop_blob>(&effect)) {
        forget(d->ref);
    } else if (const auto* p = std::get_if<put_blob>(&effect)) {
        store_then(blob_key(p->ref), p->bytes, {});
    } else if (const auto* s = std::get_if<store_fact>(&effect)) {
        store_then("fact/" + s->key, s->bytes, {});
    } else if (const auto* x = std::get_if<forget_fact>(&effect)) {
        disk_.erase("fact/" + x->key);
    } else if (const auto* n = std::get_if<store_entry>(&effect)) {
        const auto text = chronicle_entry_text(n->entry);
        const auto view = base::as_bytes(text);
        store_then(entry_key(n->entry.round.value), {view.begin(), view.end()}, {});
    } else if (const auto* c = std::get_if<check_recorded>(&effect)) {
        world_.logs_[index_].checks.push_back(*c);
    } else if (const auto* news = std::get_if<training::standing_changed>(&effect)) {
        world_.logs_[index_].standings.push_back(*news);
    } else if (const auto* done = std::get_if<job_finished>(&effect)) {
        world_.logs_[index_].finished = *done;
    }
}

const base::byte_vector* crew_machine::blob(const base::blob_ref& ref,
                                            const base::piece_run& pieces) const {
    const auto* whole = disk_.get(blob_key(ref));
    return whole != nullptr || pieces.whole() ? whole : disk_.get(blob_key(ref, pieces));
}

void crew_machine::forget(const base::blob_ref& ref) {
    std::erase_if(transfers_, [&](const auto& t) {
        if (t.first.first != ref) return false;
        if (t.second.carried) world_.options_.model->links().stop(*t.second.carried);
        return true;
    });
    std::erase_if(left_over_, [&](const auto& rest) { return rest.first.first == ref; });
    std::erase_if(pieces_, [&](const auto& kept) { return kept.first.first == ref; });
    std::vector<std::string> keys;
    const auto& all = disk_.all();
    for (auto it = all.lower_bound(blob_key(ref)); it != all.end(); ++it) {
        if (!it->first.starts_with(blob_key(ref))) break;
        keys.push_back(it->first);
    }
    for (const auto& key : keys) disk_.erase(key);
    disk_.sync();
}

void crew_machine::begin_work(const work_item& item) {
    base::ensure(!working_, "one item at a time");
    working_ = true;
    const auto& m = world_.machines_[index_];
    const bool trains = item.kind == work_kind::lane || item.kind == work_kind::check;
    if (m.never_sums && !training::needs_state(item.kind) && item.kind != work_kind::prepare) {
        ++work_;
        return;
    }
    const double jitter = 0.8 + 0.4 * static_cast<double>(rng_.below(1000)) / 1000;
    const auto nominal = std::chrono::duration<double>(trains ? m.lane : m.other);
    item_ = item;
    left_ = std::chrono::duration_cast<base::duration>(nominal * m.slowness * jitter);
    computed_ = left_;
    if (auto* model = world_.options_.model) {
        left_ = model->work_time(index_, item);
        computed_ = model->computed_time(index_, item);
        model->in_hand(index_, &item, false);
    }
    computed_ = std::chrono::duration_cast<base::duration>(computed_ / m.boasts);
    if (world_.options_.blind) computed_ = {};
    phase_ = item.team.empty() ? team_phase::computes : team_phase::begins;
    phase_since_ = world_.time_.now();
    if (parked_) return;
    if (phase_ == team_phase::begins) {
        poll_team();
    } else {
        run_timer();
    }
}

/// Every other member of the team has come as far.
bool crew_machine::team_is_at(team_phase phase) const {
    return std::ranges::all_of(item_.team, [&](const base::node_id& id) {
        const auto index = world_.index_of_.at(id);
        const auto* other = world_.nodes_[index].get();
        if (index == index_) return true;
        if (other == nullptr) return false;
        const bool given = other->parts_.contains(item_.session);
        if (phase == team_phase::gives || given) return given;
        return other->in_team() && other->item_.session == item_.session && !other->parked_;
    });
}

/// Waits for the others of the team, as a worker that hears from them would, with a deadline.
void crew_machine::poll_team() {
    later(std::chrono::milliseconds(50), [this, number = ++work_] {
        if (number != work_) return;
        const auto waited = world_.time_.now() - phase_since_;
        if (team_is_at(phase_)) {
            if (phase_ == team_phase::gives) {
                team_done(work_item(item_));
                return;
            }
            phase_ = team_phase::computes;
            run_timer();
        } else if (waited > (phase_ == team_phase::gives ? std::chrono::seconds(60)
                                                         : std::chrono::seconds(6))) {
            note_broken();
            working_ = false;
            if (auto* model = world_.options_.model) model->in_hand(index_, nullptr, false);
            feed(work_failed{work_item(item_), "a member of the team is not heard"});
        } else {
            poll_team();
        }
    });
}

void crew_machine::note_broken() {
    if (!in_team()) return;
    if (std::ranges::any_of(item_.team, [&](const base::node_id& id) {
            return world_.nodes_[world_.index_of_.at(id)] == nullptr;
        })) {
        world_.broken_.insert(item_.session);
    }
}

/// The whole result is put together by the first member, and nowhere else.
void crew_machine::team_done(const work_item& item) {
    auto& f = *world_.slices_;
    const auto round = item.round.value;
    work_outcome outcome;
    computed out;
    working_ = false;
    if (auto* model = world_.options_.model) model->in_hand(index_, nullptr, true);
    if (item.slice.index == 0) {
        ++world_.logs_[index_].team_lanes;
        std::vector<slice_functions::tensor_list> parts;
        for (const auto& id : item.team) {
            parts.push_back(world_.nodes_[world_.index_of_.at(id)]->parts_.at(item.session));
        }
        if (item.kind == work_kind::lane || item.kind == work_kind::check) {
            ++world_.logs_[index_].lanes_run;
            out = f.lane_of(parts, round, item.lane.value);
        } else {
            out.outcome.loss = f.validation_of(parts, round);
        }
    }
    if (out.bytes.empty()) {
        feed(work_done{item, out.outcome, computed_});
        return;
    }
    working_ = true;
    const auto key = blob_key(out.outcome.blob);
    disk_.put(key, std::move(out.bytes));
    later(world_.machines_[index_].disk, [this, item, made = out.outcome, number = work_] {
        disk_.sync();
        if (number != work_) return;
        working_ = false;
        feed(work_done{item, made, computed_});
    });
}

/// States of one slice. Ensures that the machine has room for it.
computed crew_machine::slice_work(const work_item& item, const std::vector<base::byte_view>& in) {
    auto& f = *world_.slices_;
    const auto& m = world_.machines_[index_];
    computed out;
    auto tensors = item.kind == work_kind::prepare
                       ? f.first(item.slice)
                       : f.apply_slice(tensors_.at(item.state), in.front());
    base::ensure(m.memory == 0 || tensors.size() <= m.memory, "a slice that there is room for");
    if (item.kind == work_kind::prepare) {
        states_.clear();
        tensors_.clear();
        held_ = item.slice;
    }
    if (m.miscalculates && item.kind == work_kind::apply) tensors.front().bytes[0] ^= 1;
    out.outcome.tensors = tensors;
    if (m.mistells && item.kind == work_kind::apply) out.outcome.tensors.front().bytes[0] ^= 1;
    out.outcome.state_after = slice_functions::slice_state(tensors);
    tensors_[out.outcome.state_after] = std::move(tensors);
    return out;
}

void crew_machine::run_timer() {
    timed_since_ = world_.time_.now();
    later(left_, [this, number = ++work_] {
        // A copy: what it reports may begin the next item.
        if (number == work_) finish_work(work_item(item_));
    });
}

void crew_machine::park() {
    if (parked_) return;
    parked_ = true;
    if (!working_) return;
    ++work_;
    if (phase_ == team_phase::computes) left_ -= world_.time_.now() - timed_since_;
}

void crew_machine::unpark() {
    if (!parked_) return;
    parked_ = false;
    if (!working_) return;
    if (phase_ == team_phase::computes) {
        run_timer();
    } else {
        poll_team();
    }
}

/// The core has broken off what is in hand, and something has to be durable before that.
bool crew_machine::stop_is_due() const {
    return std::ranges::any_of(queue_,
                               [](const auto& e) { return std::holds_alternative<stop_work>(e); });
}

void crew_machine::finish_work(const work_item& item) {
    if (stop_is_due()) return;
    if (!item.team.empty() && tensors_.contains(item.state) && held_ == item.slice &&
        !world_.machines_[index_].fails_in_teams) {
        give_part(item);
        return;
    }
    working_ = false;
    if (auto* model = world_.options_.model) model->in_hand(index_, nullptr, true);
    if (!item.team.empty()) {
        feed(work_failed{item, "this worker gives up, or does not hold this state"});
        return;
    }
    if (needs_state(item.kind) &&
        std::find(states_.begin(), states_.end(), item.state) == states_.end()) {
        feed(work_failed{item, "the worker does not hold this state"});
        return;
    }
    std::vector<base::byte_view> inputs;
    for (std::size_t i = 0; i < item.inputs.size(); ++i) {
        const auto* bytes = blob(item.inputs[i], input_pieces(item, i, world_.functions_));
        if (bytes == nullptr) {
            feed(work_failed{item, "an input is not in the store"});
            return;
        }
        inputs.push_back(*bytes);
    }
    base::ensure(item.slice.whole() || item.kind == work_kind::prepare ||
                     (item.kind == work_kind::apply && held_ == item.slice),
                 "slices are worked on by teams");
    auto out = item.slice.whole() ? whole_work(item, inputs)
                                  : base::result<computed>(slice_work(item, inputs));
    if (!out) {
        feed(work_failed{item, out.error().message()});
        return;
    }
    if (item.kind == work_kind::prepare || item.kind == work_kind::apply ||
        item.kind == work_kind::load_state) {
        states_.push_back(out->outcome.state_after);
        if (states_.size() > world_.options_.settle + 2) states_.pop_front();
    }
    report_work(item, std::move(*out));
}

/// The lane whose result it hands in, which an honest machine asks nobody.
std::uint64_t crew_machine::lane_given(const work_item& item) const {
    const auto& m = world_.machines_[index_];
    const bool lies = m.lies.contains({item.round.value, item.lane.value}) &&
                      (item.kind == work_kind::check || !m.lies_in_checks_only);
    return lies ? (item.lane.value + 1) % world_.functions_.lanes() : item.lane.value;
}

/// Of a lane in a team: this member's part is there for the others.
void crew_machine::give_part(const work_item& item) {
    const bool trains = item.kind == work_kind::lane || item.kind == work_kind::check;
    parts_[item.session] =
        world_.slices_->part(tensors_.at(item.state), item.round.value,
                             trains ? lane_given(item) : world_.functions_.lanes());
    phase_ = team_phase::gives;
    phase_since_ = world_.time_.now();
    poll_team();
}

/// A lane of the whole model, honest or not.
computed crew_machine::lane_work(const work_item& item) {
    auto& f = world_.functions_;
    const auto& m = world_.machines_[index_];
    const std::pair<std::uint64_t, std::uint64_t> which{item.round.value, item.lane.value};
    ++world_.logs_[index_].lanes_run;
    auto out = f.lane(item.state, item.round.value, lane_given(item));
    if (m.diverges.contains(which)) {
        out = {};
        out.outcome.divergence = diverged{1, "transformer.wte.weight"};
    }
    return out;
}

computed crew_machine::shard_work(const work_item& item,
                                  const std::vector<base::byte_view>& inputs) {
    const auto& m = world_.machines_[index_];
    ++world_.logs_[index_].shards_summed;
    auto out = world_.functions_.sum_shard(inputs, item.units);
    if (m.forges_parts) out.bytes[40] ^= 1;  // of the first mean that is in it
    if (m.breaks_parts) std::fill(out.bytes.begin(), out.bytes.end(), std::uint8_t{0});
    if (m.forges_parts || m.breaks_parts) out.outcome.blob = base::blob_ref_of(out.bytes);
    return out;
}

computed crew_machine::sums_work(const work_item& item,
                                 const std::vector<base::byte_view>& inputs) {
    const auto& m = world_.machines_[index_];
    ++world_.logs_[index_].lane_sums;
    world_.logs_[index_].sums_of.emplace_back(item.round.value, item.sums.front());
    auto out = world_.functions_.sum_lanes(inputs, item.sums.front());
    for (std::size_t i = 0; m.forges_sums && i < out.bytes.size(); i += base::piece_size_bytes) {
        out.bytes[i] ^= 1;
    }
    // As integers, more than any lanes come to.
    if (m.breaks_sums) std::fill(out.bytes.begin(), out.bytes.end(), std::uint8_t{0x7f});
    if (m.forges_sums || m.breaks_sums) out.outcome.blob = base::blob_ref_of(out.bytes);
    return out;
}

/// Work on all of the model. Errors: a part that is none.
base::result<computed> crew_machine::whole_work(const work_item& item,
                                                const std::vector<base::byte_view>& inputs) {
    auto& f = world_.functions_;
    const auto& m = world_.machines_[index_];
    computed out;
    switch (item.kind) {
        case work_kind::prepare:
            base::ensure(
                m.memory == 0 || world_.slices_ == nullptr || m.memory >= world_.slices_->tensors(),
                "a model that there is room for");
            out.outcome.state_after = f.initial();
            break;
        case work_kind::lane:
        case work_kind::check:
            return lane_work(item);
        case work_kind::validation:
        case work_kind::check_validation:
            out.outcome.loss = f.validate(item.state, item.round.value);
            if (!std::isfinite(out.outcome.loss)) out.outcome.divergence = diverged{0, "loss"};
            break;
        case work_kind::sum:
            ++world_.logs_[index_].whole_sums;
            return f.sum(inputs);
        case work_kind::sum_shard:
            return shard_work(item, inputs);
        case work_kind::sum_lanes:
            return sums_work(item, inputs);
        case work_kind::add_sums: {
            ++world_.logs_[index_].sums_added;
            auto part = f.add_sums(inputs, item.sums, item.units);
            if (!part) return base::fail(training::errc::bad_contribution, "sums are none");
            return std::move(*part);
        }
        case work_kind::join: {
            auto joined = f.join(inputs);
            if (!joined) return base::fail(training::errc::bad_contribution, "a part is none");
            return std::move(*joined);
        }
        case work_kind::apply:
            ++world_.logs_[index_].means_applied;
            out.outcome.state_after = f.apply(item.state, item.round.value, inputs.front());
            if (m.miscalculates) out.outcome.state_after.bytes[0] ^= 1;
            break;
        case work_kind::keep_state: {
            if (m.keeps_none) return base::fail(training::errc::bad_state, "no room");
            ++world_.logs_[index_].states_kept;
            auto state = item.state;
            if (m.forges_states) state.bytes[0] ^= 1;
            const auto& o = world_.options_;
            return stored_state(state, item.round.value, o.full_state_bytes, o.model != nullptr);
        }
        case work_kind::load_state:
            ++world_.logs_[index_].states_loaded;
            out.outcome.state_after = loaded_state(inputs.front(), item.round.value);
            break;
    }
    return out;
}

/// The blob is durable before the work is reported; the effects behind do not wait for it.
void crew_machine::report_work(const work_item& item, computed out) {
    if (out.bytes.empty()) {
        feed(work_done{item, out.outcome, computed_});
        return;
    }
    if (world_.machines_[index_].disk_full) {
        feed(work_failed{item, "no space left on the disk"});
        return;
    }
    const auto key = blob_key(out.outcome.blob);
    disk_.put(key, std::move(out.bytes));
    later(world_.machines_[index_].disk, [this, item, outcome = out.outcome, number = work_] {
        disk_.sync();
        if (number == work_ && !stop_is_due()) feed(work_done{item, outcome, computed_});
    });
}

void crew_machine::start_fetch(const fetch_blob& f) {
    if (blob(f.ref, f.pieces) != nullptr) {
        later(std::chrono::milliseconds(1), [this, f] {
            const auto* bytes = blob(f.ref, f.pieces);
            if (bytes == nullptr) {
                feed(blob_failed{f.ref, "dropped meanwhile", f.pieces});
            } else {
                feed(blob_ready{f.ref, f.deliver ? *bytes : base::byte_vector{}, f.pieces});
            }
        });
        return;
    }
    const place what{f.ref, f.pieces};
    const bool fresh = !transfers_.contains(what);
    auto& t = transfers_[what];
    t.holders = f.holders;
    t.deliver = f.deliver;
    t.failures = 0;
    if (fresh) {
        t.next = f.pieces.first;
        t.bytes.assign(world_.options_.model ? 0 : f.pieces.first * base::piece_size_bytes, 0);
    }
    if (world_.options_.model != nullptr) {
        carry(what);
    } else {
        ask_piece(what);
    }
}

/// Other living machines that have the blob, or those of its pieces.
std::vector<link_holder> crew_machine::living_holders(const place& what) const {
    std::vector<link_holder> out;
    const auto whole = blob_key(what.first);
    const auto pieces = blob_key(what.first, what.second);
    for (const auto& node : transfers_.at(what).holders) {
        const auto index = world_.index_of_.at(node);
        const auto* other = world_.nodes_[index].get();
        if (index == index_ || other == nullptr) continue;
        const auto& disk = other->disk_;
        const bool all = disk.get(whole) != nullptr;
        // Of what is taken in runs only whoever made it has all.
        if (all || (whole != pieces && disk.get(pieces) != nullptr)) out.push_back({index, all});
    }
    return out;
}

/// Begins or redirects a transfer by size: of the pieces asked for, each run by itself. Whoever
/// does not have the blob says so in no time.
void crew_machine::carry(const place& what) {
    auto& t = transfers_.at(what);
    auto holders = living_holders(what);
    auto& links = world_.options_.model->links();
    if (t.carried) {
        if (!holders.empty()) links.set_holders(*t.carried, std::move(holders));
        return;
    }
    if (holders.empty()) {
        later(std::chrono::milliseconds(1),
              [this, what] { fetch_done(what, "nobody has it, or nobody answers"); });
        return;
    }
    const auto rest = left_over_.find(what);
    const double bytes = rest != left_over_.end()
                             ? rest->second
                             : static_cast<double>(bytes_of(what.first, what.second));
    t.carried = links.start(index_, bytes, std::move(holders),
                            [this, what, alive = std::weak_ptr<bool>(life_)](double left) {
                                if (!alive.expired()) carried(what, left);
                            });
}

void crew_machine::carried(const place& what, double left) {
    const auto it = transfers_.find(what);
    if (it == transfers_.end()) return;
    const auto holders = living_holders(what);
    if (left > 0 || holders.empty()) {
        if (left > 0) left_over_[what] = left;
        fetch_done(what, "every holder is gone");
        return;
    }
    left_over_.erase(what);
    const auto& [ref, pieces] = what;
    disk_.put(blob_key(ref, pieces), *world_.nodes_[holders.front().node]->blob(ref, pieces));
    world_.trace_.add(world_.time_.now(), "blob to " + std::to_string(index_), ref.root.view());
    // The first request's way there and the last piece's way back.
    const auto& way = world_.network_.conditions;
    later(way.delay_min + way.delay_max + world_.machines_[index_].disk, [this, what] {
        disk_.sync();
        fetch_done(what, {});
    });
}

void crew_machine::ask_piece(const place& what) {
    const auto it = transfers_.find(what);
    if (it == transfers_.end()) return;
    auto& t = it->second;
    if (t.holders.empty() || t.failures > 3 + 2 * t.holders.size()) {
        later(std::chrono::milliseconds(1),
              [this, what] { fetch_done(what, "nobody has it, or nobody answers"); });
        return;
    }
    const auto& holder = t.holders[t.failures % t.holders.size()];
    base::byte_vector bytes;
    base::byte_writer w(bytes);
    w.u8(static_cast<std::uint8_t>(packet::ask_piece));
    write_ref(w, what.first);
    w.u64(t.next);
    world_.network_.send(index_, world_.index_of_.at(holder), std::move(bytes));
    later(std::chrono::milliseconds(400), [this, what, attempt = ++t.attempt] {
        const auto again = transfers_.find(what);
        if (again == transfers_.end() || again->second.attempt != attempt) return;
        ++again->second.failures;
        ask_piece(what);
    });
}

void crew_machine::give_piece(std::size_t to, base::byte_reader& in) {
    const auto ref = read_ref(in);
    const auto index = in.u64();
    const auto* bytes = blob(ref);
    if (in.failed() || index >= ref.pieces()) return;
    std::vector<base::digest> path;
    if (bytes != nullptr) {
        path = base::merkle_path(world_.leaves_of(ref, *bytes), index);
    } else if (const auto kept = pieces_.find({ref, index}); kept != pieces_.end()) {
        path = kept->second.path;
        bytes = blob(ref, kept->second.run);
    }
    if (bytes == nullptr) return;
    base::byte_vector out;
    base::byte_writer w(out);
    w.u8(static_cast<std::uint8_t>(packet::piece));
    write_ref(w, ref);
    w.u64(index);
    w.u32(static_cast<std::uint32_t>(path.size()));
    for (const auto& d : path) w.raw(d.view());
    w.raw(base::byte_view(*bytes).subspan(index * base::piece_size_bytes, ref.piece_size(index)));
    world_.logs_[index_].piece_bytes_sent += ref.piece_size(index);
    world_.network_.send(index_, to, std::move(out));
}

void crew_machine::take_piece(base::byte_reader& in) {
    const auto ref = read_ref(in);
    base::blob_piece piece;
    piece.index = in.u64();
    piece.path.resize(std::min<std::uint32_t>(in.u32(), 64));
    for (auto& d : piece.path) {
        const auto bytes = in.raw(32);
        std::copy(bytes.begin(), bytes.end(), d.bytes.begin());
    }
    const auto rest = in.raw(ref.piece_size(piece.index));
    piece.bytes.assign(rest.begin(), rest.end());
    if (in.failed() || !base::piece_verifies(ref, piece)) return;
    // Several runs of one blob may be under way, and each may wait for this piece.
    std::vector<place> served;
    for (auto& [what, t] : transfers_) {
        if (what.first != ref || t.next != piece.index) continue;
        t.bytes.insert(t.bytes.end(), piece.bytes.begin(), piece.bytes.end());
        if (!what.second.whole()) t.paths.emplace_back(piece.index, piece.path);
        t.failures = 0;
        ++t.attempt;
        ++t.next;
        served.push_back(what);
    }
    for (const auto& what : served) {
        const auto it = transfers_.find(what);
        if (it == transfers_.end()) continue;
        const auto run = what.second.within(ref);
        if (it->second.next < run.first + run.count) {
            ask_piece(what);
            continue;
        }
        if (world_.machines_[index_].disk_full) {
            fetch_done(what, "no space left on the disk");
            continue;
        }
        it->second.bytes.resize(ref.size);
        disk_.put(blob_key(ref, what.second), it->second.bytes);
        for (auto& [at, path] : it->second.paths) {
            pieces_[{ref, at}] = {std::move(path), what.second};
        }
        later(world_.machines_[index_].disk, [this, what] {
            disk_.sync();
            fetch_done(what, {});
        });
    }
}

void crew_machine::fetch_done(const place& what, const std::string& failure) {
    const auto it = transfers_.find(what);
    if (it == transfers_.end()) return;
    const bool deliver = it->second.deliver;
    transfers_.erase(it);
    const auto& [ref, pieces] = what;
    const auto* bytes = blob(ref, pieces);
    if (!failure.empty() || bytes == nullptr) {
        feed(blob_failed{ref, failure.empty() ? "lost" : failure, pieces});
    } else {
        feed(blob_ready{ref, deliver ? *bytes : base::byte_vector{}, pieces});
    }
}

}  // namespace tequio::simulation
