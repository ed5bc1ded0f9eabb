#include "training/crew.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "base/text.hpp"
#include "training/crew/core.hpp"
#include "training/errc.hpp"

namespace tequio::training {

using namespace crew_protocol;

namespace {

/// Hints without a reader cost a paused machine wake-ups: one in so many beats is kept, for what
/// goes by time.
constexpr int dormant_beats = 10;
/// Who vanished in this time says how long members stay.
constexpr base::duration vanished_count = std::chrono::hours(1);
constexpr std::size_t vanished_max = 4 * crew_members_max;

/// A task may ask for more than a crew of this version can be: it gets the most there is.
crew_config bounded(crew_config c) {
    c.settle = std::clamp<std::uint64_t>(c.settle, 1, crew_settle_max);
    c.slices.max = std::clamp<std::uint32_t>(c.slices.max, 1, crew_slices_max);
    // A model in slices needs its teams to hear of one another.
    const auto most = c.slices.max > 1 ? crew_members_max : crew_groups_nodes_max;
    c.group_max = std::clamp<std::uint64_t>(c.group_max, 1, crew_members_max);
    const bool sums = c.mean_units == 1 || c.sums;
    c.crew_max = std::clamp<std::uint64_t>(c.crew_max, 1, sums ? most : crew_members_max);
    c.crew_min = std::clamp<std::uint64_t>(c.crew_min, 1, c.crew_max);
    c.check = std::clamp(c.check, 0.05, 1.0);
    if (c.slices.max > 1 || c.crew_max <= c.group_max) c.group_max = c.crew_max;
    return c;
}

job_shape shape_of(const crew_config& c) {
    base::ensure(c.lanes >= 1 && c.lanes <= 65536, "lanes: 1..65536");
    base::ensure(c.rounds >= 1 && c.rounds <= (std::uint64_t{1} << 20), "rounds: 1..2^20");

    base::ensure(c.contribution_bytes > 0 && c.mean_bytes > 0, "contributions have a size");
    base::ensure(c.mean_units == 1 || c.shard, "several shards have sizes");
    base::ensure(c.slices.max == 1 || (c.slices.need_bytes && c.slices.compose),
                 "slices have sizes");
    base::ensure(!c.self.is_zero() && c.keys.sign && c.keys.verify_certificate, "an identity");
    return {c.task,       static_cast<std::uint32_t>(c.lanes),
            c.rounds,     c.contribution_bytes,
            c.mean_bytes, c.validation,
            c.mean_units, c.slices.max};
}

}  // namespace

crew::crew(crew_config config, crew_memory memory, base::rng rng)
    : core_(std::make_unique<core>(std::move(config), std::move(memory), rng)) {}
crew::~crew() = default;
crew::crew(crew&&) noexcept = default;
crew& crew::operator=(crew&&) noexcept = default;

base::result<void> crew::handle(base::time_point now, const crew_event& event,
                                std::vector<crew_effect>& out) {
    return core_->handle(now, event, out);
}

base::time_point crew::next_deadline() const {
    return core_->next_deadline();
}

void crew::check() const {
    core_->check();
}

crew_view crew::view(bool with_chronicle) const {
    return core_->view(with_chronicle);
}

crew::core::core(crew_config config, crew_memory memory, base::rng rng)
    : config_(bounded(std::move(config))),
      shape_(shape_of(config_)),
      rng_(rng),
      keys_(config_.keys),
      groups_(shape_.task, config_.self),
      roster_(config_.self, config_.group_max, config_.timings, &groups_, 4 * config_.crew_max),
      planner_(shape_),
      chain_(shape_),
      desk_(config_.timings),
      states_(config_, shape_),
      own_(shape_),
      audit_(shape_),
      shards_(shape_, config_.self),
      mine_(shape_),
      checks_(shape_, config_.self, config_.timings),
      lottery_(shape_, config_.self, config_.check, lottery_root(shape_.task, config_.keys)),
      fits_(fits_of(config_.slices)),
      speed_(config_.slices.speed),
      depth_max_(depth_max(config_.crew_max, config_.group_max)),
      sums_(shape_, config_.self) {
    if (depth_max_ > 0) group_shards_ = group_shards(shape_.mean_units);
    groups_.set_depth(std::min(config_.depth, depth_max_));
    if (grouped()) live_ = std::uint64_t{1} << groups_.own();
    standing_.know(config_.standings);
    load(std::move(memory));
}

void crew::core::load(crew_memory memory) {
    for (const auto& entry : memory.entries) {
        if (!chain_.fits(entry)) {
            trouble_ = "stored chronicle: entry " + std::to_string(chain_.length()) +
                       " does not follow; the rest is fetched again";
            break;
        }
        chain_.append(entry);
        if (!entry.closes()) desk_.keep(entry.mean);
    }
    if (const auto learned = keys_.learn(config_.self, config_.keys.certificate); !learned) {
        trouble_ = "this node's own certificate: " + learned.error().message();
    }
    for (const auto& fact : memory.facts) load_fact(fact);
    settled_ = std::min(settled_, chain_.length());
}

void crew::core::load_fact(const store_fact& fact) {
    base::byte_reader in(fact.bytes);
    if (fact.key == "settled") {
        const auto rounds = in.u64();
        const auto checked = in.u64();
        const auto lanes = in.u64();
        const auto tainted = in.u64();
        const bool hearsay = in.u8() != 0;
        // Where the model can be divided.
        const auto speed = in.at_end() ? 0 : in.u64();
        if (in.failed() || !in.at_end()) return;
        settled_ = rounds;
        lanes_checked_ = checked;
        lanes_settled_ = lanes;
        if (tainted != 0) tainted_from_ = tainted - 1;
        settled_by_hearsay_ = hearsay;
        if (speed > 0) speed_ = steady_figure(speed);
    } else if (fact.key == "standing") {
        if (!standing_.decode(fact.bytes)) trouble_ = "a stored fact is damaged: " + fact.key;
    } else if (fact.key == crew_states_key) {
        const auto states = decode_states(fact.bytes);
        if (!states) {
            trouble_ = "a stored fact is damaged: " + fact.key;
            return;
        }
        states_.load(*states, chain_);
    } else if (fact.key == "final") {
        const auto parts = base::split(base::as_text(fact.bytes), '\n');
        const auto state = parts.size() == 3 ? base::parse_u64(parts[0]) : std::nullopt;
        if (!state || *state > static_cast<std::uint64_t>(job_state::cancelled)) return;
        job_ = static_cast<job_state>(*state);
        reason_code_ = std::string(parts[1]);
        reason_ = std::string(parts[2]);
    } else if (fact.key.starts_with(signer_key)) {
        const auto node = base::parse_id<base::node_id>(fact.key.substr(signer_key.size()));
        // A damaged one is not believed; then another has to bring the key.
        if (node && keys_.learn(*node, fact.bytes)) names_.keep_key(*node);
    } else if (fact.key.starts_with("claim/")) {
        auto stored = decode_stored_claim(fact.bytes);
        if (!stored) return;
        auto said = parse_claim(shape_, stored->first.body);
        if (!said || said->node != config_.self ||
            !keys_.verify(config_.self, fact_kind::claim, stored->first)) {
            trouble_ = "a stored fact is damaged: " + fact.key;
            return;
        }
        if (said->key.item < shape_.lanes && !stored->second.is_zero()) {
            checks_.own_trace(said->key, stored->second);
        }
        own_claims_[said->key] = {*said, std::move(stored->first), stored->second};
    }
}

void crew::core::start(base::time_point now, effects&) {
    started_ = true;
    leadership_.emplace(shape_, config_.self, config_.timings, now);
    company_ = now;
    open_books();
}

/// The oldest round that still has a book.
std::uint64_t crew::core::books_low() const {
    const auto kept = config_.settle + 2;
    return chain_.length() > kept ? chain_.length() - kept : 0;
}

/// Books of the open round and of the closed ones that others may still ask about.
void crew::core::open_books() {
    if (!chain_.state()) return;
    const auto length = chain_.length();
    const bool own_counts = !others_can_judge();
    for (auto round = books_low(); round <= std::min(length, shape_.rounds); ++round) {
        auto it = books_.find(round);
        if (it == books_.end()) {
            it = books_.try_emplace(round, shape_, round, chain_.state_at(round), config_.self)
                     .first;
            for (auto own = own_claims_.lower_bound({round, 0});
                 own != own_claims_.end() && own->first.round == round; ++own) {
                it->second.add({own->second.said, own->second.fact});
                weigh(it->second, own->first.item);
            }
        }
        it->second.own_counts(own_counts);
        if (round < length && !it->second.closed()) {
            const auto& entry = chain_.entries()[round];
            auto results = entry.contributions;
            results.resize(shape_.lanes);
            results.push_back(entry.validation_loss ? validation_result(*entry.validation_loss)
                                                    : base::digest{});
            results.push_back(chain_.entry_ref(round).root);
            it->second.close(std::move(results));
            closed_at_[round] = now_;
        }
    }
}

base::result<void> crew::core::handle(base::time_point now, const crew_event& event, effects& out) {
    base::ensure(!started_ || now >= now_, "time never falls");
    now_ = now;
    if (!started_) start(now, out);
    auto verdict = std::visit([&](const auto& e) { return on(e, out); }, event);
    if (!dormant()) next_beat_ = std::min(next_beat_, now_ + config_.timings.beat);
    if (next_beat_ <= now_) beat(out);
    advance(out);
    return verdict;
}

base::result<void> crew::core::on(const crew_message& e, effects& out) {
    TEQUIO_TRY(auto m, decode(shape_, e.bytes));
    if (e.from == config_.self) return fail(errc::bad_message, "a message from this node itself");
    return std::visit([&](auto&& body) { return heard(e.from, std::move(body), out); },
                      std::move(m));
}

base::result<void> crew::core::on(const member_up& e, effects& out) {
    if (e.node == config_.self) return fail(errc::bad_message, "this node is not its own member");
    TEQUIO_CHECK(keys_.learn(e.node, e.certificate));
    if (!roster_.up(now_, e.node)) return {};
    auto said = spoken_status();
    said.full = roster_.full(now_) && !roster_.find(e.node)->joined;
    send(e.node, said, out);
    return {};
}

base::result<void> crew::core::on(const member_down& e, effects&) {
    const auto* m = roster_.find(e.node);
    std::erase_if(vanished_, [&](const auto& v) { return now_ - v.second > vanished_count; });
    if (m != nullptr && m->joined && !m->said.leaving && vanished_.size() < vanished_max) {
        vanished_[e.node] = now_;
    }
    roster_.down(e.node);
    return {};
}

base::result<void> crew::core::on(const work_progress& e, effects&) {
    if (in_hand_ && e.steps != in_hand_->steps) {
        in_hand_->steps = e.steps;
        in_hand_->steps_total = e.steps_total;
        ++activity_;
    }
    return {};
}

base::result<void> crew::core::on(const blob_ready& e, effects& out) {
    desk_.arrived(e.ref, e.pieces);
    measure_part(e.ref);
    ++activity_;
    if (e.bytes.empty() || lists_.arrived(e.ref, e.bytes, desk_)) return {};
    if (const auto verdict = chain_.arrived(e.ref, e.bytes); !verdict) {
        trouble_ = "a chronicle entry from another node was refused: " + verdict.error().message();
        out.push_back(crew_progress{});
    }
    return {};
}

base::result<void> crew::core::on(const blob_failed& e, effects&) {
    desk_.failed(now_, e.ref, e.pieces);
    return {};
}

base::result<void> crew::core::on(const crew_command& e, effects& out) {
    switch (e) {
        case crew_command::pause:
            paused_ = true;
            break;
        case crew_command::resume:
            draining_ = false;
            [[fallthrough]];
        case crew_command::go_on:
            paused_ = suspended_ = false;
            resting_until_.reset();
            failures_ = 0;
            break;
        case crew_command::suspend:
            suspended_ = true;
            break;
        case crew_command::drain:
            draining_ = true;
            break;
        case crew_command::leave:
            left_ = true;
            break;
        case crew_command::cancel:
            if (job_ == job_state::waiting || job_ == job_state::running) {
                finish(job_state::cancelled, "cancelled", "the submitter cancelled this job", out);
            }
            break;
    }
    out.push_back(crew_progress{});
    return {};
}

base::result<void> crew::core::on(const crew_tick&, effects&) {
    return {};
}

bool crew::core::dormant() const {
    return (paused_ || suspended_) && roster_.all().empty();
}

void crew::core::beat(effects& out) {
    next_beat_ = now_ + config_.timings.beat * (dormant() ? dormant_beats : 1);
    ++beats_;
    roster_.beat(now_);
    look_for_steward();
    divide_when_full(out);
    for (const auto& s : checks_.beat(now_, out)) {
        if (s.show) {
            show(s.to, s.key, out);
            continue;
        }
        facts ask;
        const auto& own = own_claims_.at(s.key);
        if (auto signers = keys_.certificates_for(own.said, ask)) {
            ask.certificates = std::move(*signers);
            ask.claims.push_back(own.fact);
        }
        ask.openings_wanted.push_back(s.key);
        send(s.to, ask, out);
    }
    if (beats_ % 2 == 1) {
        send_status(out);
        tell_parts(out);
        if (grouped() && leadership_->leading()) send_notes(out);
    }
    relay_waiting(out);
    if (leadership_->leading()) send_round_open(out);
    wait_for_parts_no_longer(out);
    if (call_out_) call_team(false, out);
}

/// Takes over, or resigns, if that is due.
void crew::core::look_for_steward() {
    const auto lead_round = std::min(chain_.length(), shape_.rounds + 1);
    leadership_->beat(now_, lead_round, may_lead(), rivals(), roster_.expecting());
}

void crew::core::advance(effects& out) {
    const bool over = job_ != job_state::waiting && job_ != job_state::running;
    teams_whole_ = sliced() ? teams_here() : 0;
    if (has_company()) company_ = now_;
    if (!over) {
        open_books();
        set_apart(chain_.reject_misfits());
        drive_jump(out);
        const bool in_parts = chain_.next() != nullptr && mean_comes_in_parts();
        chain_.step(now_, roster_, desk_, in_parts, leadership_->leading(), out);
        draw_checks();
        if (sliced()) compare_slices(out);
        while (accept_closing(out) || close_last(out) || close_by_slices(out) ||
               prove_candidate(out) || adopt_finished(out) || settle(out)) {
        }
        drive_exchanges(out);
        drop_old_books(out);
        if (!judge_divergence(out) && chain_.complete() && settled_ == chain_.length() &&
            !checks_.waiting(now_, roster_)) {
            finish(job_state::done, "done", "every round is settled", out);
        }
    }
    // Whoever cannot lead any more says so at once, and is succeeded at once.
    if (leadership_->leading() ? !may_lead() : !leadership_->current()) look_for_steward();
    lead(out);
    if (job_ == job_state::waiting && caught_up() && leadership_->current() &&
        roster_.count_present(now_) + 1 + abroad_ >= config_.crew_min) {
        job_ = job_state::running;
    }
    choose(out);
    status_on_change(out);
}

void crew::core::check() const {
    chain_.check();
    roster_.check();
    desk_.check();
    checks_.check();
    shards_.check();
    sums_.check();
    base::ensure(groups_.depth() <= depth_max_, "no more groups than the crew may have");
    lottery_.check();
    lists_.check();
    base::ensure(!sliced() || proven_ <= applied_, "nothing proven that is not held");
    base::ensure(!call_out_ || (in_hand_ && !in_hand_->work.team.empty()), "calls are for work");
    base::ensure(!unnamed_ || names_.owed(shape_, call_out_),
                 "a result waits for those who are still to be named");
    for (const auto& [round, b] : books_) {
        base::ensure(b.round() == round, "books by round");
        base::ensure(b.closed() == (round < chain_.length()), "a book is closed by its entry");
        b.check();
    }
    base::ensure(books_.size() <= config_.settle + 3, "bounded books");
    base::ensure(applied_ <= std::min(chain_.length(), shape_.rounds), "nothing applied unheard");
    states_.check(chain_);
    base::ensure(settled_ <= chain_.length(), "nothing settled that is not closed");
    base::ensure(
        !in_hand_ || !in_hand_->work.inputs.empty() ||
            (in_hand_->work.kind != work_kind::sum && in_hand_->work.kind != work_kind::apply &&
             in_hand_->work.kind != work_kind::sum_shard && in_hand_->work.kind != work_kind::join),
        "sums and means have inputs");
    for (const auto& [key, own] : own_claims_) {
        base::ensure(own.said.key == key && own.said.node == config_.self, "own claims by item");
    }
}

}  // namespace tequio::training
