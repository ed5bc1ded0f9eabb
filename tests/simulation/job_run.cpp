#include "tests/simulation/job_run.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "tests/simulation/crew_machine.hpp"
#include "tests/simulation/shared_links.hpp"
#include "tests/simulation/team_time.hpp"
#include "training/full_state.hpp"
#include "training/lane_load.hpp"
#include "training/merge.hpp"
#include "training/slices.hpp"
#include "training/state.hpp"
#include "training/task.hpp"

namespace tequio::simulation {
namespace {

using namespace std::chrono_literals;
using training::work_item;
using training::work_kind;

/// Bytes a second at which contributions are summed and means applied: some passes over memory
/// (guess: `tequio bench codecs` measures 2 to 10 GB/s).
constexpr double merge_rate = 2e9;
/// The same at which full states are hashed and written (guess: a hard disk).
constexpr double disk_rate = 150e6;
/// Of a group on average, at most: groups are as even as ids are, and the largest has to fit.
constexpr std::uint64_t group_size = 40;
/// Up to so many nodes rates are shared out whenever a transfer begins or ends; of more they stand
/// for so long for each stream: half a second of a quarter of a million.
constexpr std::uint64_t exact_links_max = 128;
constexpr base::duration rates_stand_for_each = 2us;
/// Beats in the time of an ideal round.
constexpr int beats_a_round = 60;
/// Share of a busy uplink that streams of teams get: pieces of blobs get one message in five
/// (p2p/network.hpp).
constexpr double stream_share = 0.8;

base::duration duration_of(double seconds) {
    return std::chrono::duration_cast<base::duration>(std::chrono::duration<double>(seconds));
}

/// Uniform in [0, 1).
double uniform(base::rng& rng) {
    return static_cast<double>(rng.below(std::uint64_t{1} << 53)) / 0x1p53;
}

/// What waits for hints waits for some of them at least; all else is as in the field.
training::crew_timings timings_for(base::duration beat) {
    training::crew_timings t;
    t.beat = beat;
    t.silent_after = std::max(t.silent_after, 10 * beat);
    t.steward_lost = std::max(t.steward_lost, 5 * beat / 2);
    t.steward_rank = std::max(t.steward_rank, beat / 4);
    t.owner_patience = std::max(t.owner_patience, 5 * beat);
    t.opening_timeout = std::max(t.opening_timeout, 10 * beat);
    return t;
}

class job_run final : public machine_model {
public:
    job_run(const job_scenario& s, const training::recipe& recipe)
        : scenario_(s),
          cost_(training::cost_of(recipe)),
          root_(s.seed),
          draw_(root_.split("machines")),
          draw_links_(root_.split("connections")) {
        message_bytes_ =
            s.slices > 1 ? static_cast<double>(training::slice_message_bytes(recipe)) : 0;
        load_ = training::lane_load_of(recipe);
        full_state_bytes_ =
            training::full_state_bytes(cost_.parameters, training::optimizer_arrays(recipe.train));
        draw_first();
        // As a node tells its crew (node/core/job.cpp).
        const auto layout = training::layout_of(recipe.model);
        const auto lane = shape_of(training::contribution_kind::lane, recipe, layout);
        const auto mean = shape_of(training::contribution_kind::mean, recipe, layout);
        shard_ = [lane, mean](training::contribution_run units) {
            const auto extent = training::shard_extent_of(lane, mean, units);
            return training::crew_shard{extent.lane_units, extent.part_bytes};
        };
        sums_ = [lane, mean](const training::partial_sums& which,
                             training::contribution_run units) {
            const auto extent = training::partial_extent_of(lane, mean, which, units);
            return training::crew_sums{extent.bytes, extent.pieces};
        };
        const hash_job hashes{.lanes = s.lanes,
                              .rounds = s.rounds,
                              .validation = cost_.validation_tokens > 0,
                              .contribution_bytes = cost_.contribution_bytes,
                              .mean_bytes = cost_.mean_bytes,
                              .units = mean.units(),
                              .shard = shard_,
                              .sums = sums_,
                              .stand_ins = true};
        const auto slices = static_cast<std::uint32_t>(s.slices);
        if (slices > 1) {
            functions_ = std::make_unique<slice_functions>(hashes, slices, slices);
        } else {
            functions_ = make_hash_functions(hashes);
        }
        world_ = std::make_unique<crew_world>(*functions_, options());
        links_ = std::make_unique<shared_links>(world_->time());
        if (s.nodes > exact_links_max) links_->stand_for_each = rates_stand_for_each;
        links_->turns = s.turns;
        links_->on_downloads = [this](std::size_t index) { account(index); };
        if (s.latency_spread > 1) {
            world_->network().way = [this](std::size_t from, std::size_t to) {
                const double base = seconds_of(scenario_.latency);
                return duration_of(machines_[from].rates.delay + machines_[to].rates.delay - base);
            };
        }
        world_->on_entry = [this](std::size_t, const training::chronicle_entry& e) {
            if (e.round.value == closed_.size() && !e.closes()) close_round();
        };
    }

    job_report run() {
        for (const auto& rates : first_) join(rates);
        const auto limit =
            scenario_.limit > base::duration{}
                ? scenario_.limit
                : duration_of(5 * round_seconds() * static_cast<double>(scenario_.rounds));
        std::size_t looked_at = 0;
        const auto done = [&] {
            looked_at = (looked_at + 1) % machines_.size();
            return world_->log(looked_at).finished.has_value();
        };
        if (world_->run(limit, done)) report_.settled_seconds = now();
        return finish();
    }

    base::duration work_time(std::size_t index, const work_item& item) override {
        const double speed = machines_[index].rates.speed;
        const auto bytes = [](std::uint64_t n) {
            return duration_of(static_cast<double>(n) / merge_rate);
        };
        switch (item.kind) {
            case work_kind::lane:
            case work_kind::check:
                if (!item.team.empty()) return duration_of(team_times_of(item).lane);
                return duration_of(static_cast<double>(cost_.lane_flops) / speed);
            case work_kind::validation:
            case work_kind::check_validation:
                if (!item.team.empty()) return duration_of(validation_seconds(item));
                return duration_of(static_cast<double>(cost_.validation_flops) / speed);
            case work_kind::prepare:
                return bytes(cost_.state_bytes / item.slice.count);
            case work_kind::keep_state:
                return duration_of(static_cast<double>(full_state_bytes_) / disk_rate);
            case work_kind::load_state:
                return bytes(full_state_bytes_);
            case work_kind::apply:
                return bytes(cost_.mean_bytes + 2 * cost_.state_bytes / item.slice.count);
            default:
                break;
        }
        // Sums: what goes in, all or the pieces of a shard, and what comes out.
        auto moved = cost_.mean_bytes;
        if (item.kind == work_kind::sum_shard || item.kind == work_kind::add_sums) {
            moved = shard_(item.units).part_bytes;
        } else if (item.kind == work_kind::sum_lanes) {
            moved = functions_->sums(item.sums.front(), item.sums.front().units).bytes;
        }
        for (std::size_t i = 0; i < item.inputs.size(); ++i) {
            moved += bytes_of(item.inputs[i], input_pieces(item, i, *functions_));
        }
        return bytes(moved);
    }

    base::duration computed_time(std::size_t index, const work_item& item) override {
        if (item.team.empty()) return work_time(index, item);
        if (item.kind != work_kind::lane && item.kind != work_kind::check) return {};
        return duration_of(team_times_of(item).computes[item.slice.index]);
    }

    training::links_measured connection(std::size_t index) override {
        const auto& rates = machines_[index].rates;
        return {static_cast<std::uint64_t>(rates.up), duration_of(rates.delay)};
    }

    /// Each node has room for one slice of the finest division, and for no larger one.
    void divide(std::size_t index, training::crew_slicing& slicing) override {
        slicing.memory_bytes = cost_.state_bytes / scenario_.slices;
        slicing.need_bytes = [bytes = cost_.state_bytes](training::model_slice slice) {
            return bytes / slice.count;
        };
        slicing.lane = load_;
        // Who was there before remembers what it measured then.
        if (scenario_.acquainted && scenario_.placed) {
            slicing.speed = static_cast<std::uint64_t>(machines_[index].rates.speed);
        }
    }

    void in_hand(std::size_t index, const work_item* item, bool reported) override {
        account(index);
        auto& m = machines_[index];
        if (item == nullptr) {
            if (m.doing) put_down(index, reported ? use_of(index) : use_of_rest(m));
            if (m.session) leave_session(index);
            return;
        }
        if (!item->team.empty()) join_session(index, *item);
        m.lane = item->kind == work_kind::lane || item->kind == work_kind::check;
        m.which = {item->round.value, item->lane.value};
        const bool checks =
            item->kind == work_kind::check || item->kind == work_kind::check_validation;
        m.doing = item->kind == work_kind::lane ? node_use::training
                  : checks                      ? node_use::checking
                                                : node_use::merging;
        m.spent = 0;
        const bool ordered = m.lane || checks || item->kind == work_kind::validation;
        if (ordered && m.newcomer && !m.first_work) {
            m.first_work = now() - m.came;
            links_->settle();
            m.first_bytes = links_->received(index);
        }
    }

    shared_links& links() override { return *links_; }

private:
    using lane_name = std::pair<std::uint64_t, std::uint64_t>;  ///< round, lane
    struct machine_record {
        node_rates rates{};
        double came = 0;
        double since = 0;  ///< what its time was last put down
        bool here = true, newcomer = false;
        bool lane = false;  ///< the item in hand is a lane
        lane_name which{};  ///< then this one
        double spent = 0;   ///< on the item in hand, seconds
        std::optional<node_use> doing{};
        bool downloading = false;
        std::optional<double> first_work{};
        double first_bytes = 0;
        std::optional<base::digest> session{};  ///< of the team that it works in
    };
    /// An attempt of a team.
    struct session_record {
        std::vector<std::size_t> members;
        team_times times;
        bool broken = false;            ///< a member left while it went on
        std::optional<node_use> use{};  ///< when it came to its end
    };

    team_times team_times_of(const work_item& item) {
        const auto it = sessions_.find(item.session);
        if (it != sessions_.end()) return it->second.times;
        session_record record;
        std::vector<team_stage> stages;
        for (std::uint32_t i = 0; i < item.team.size(); ++i) {
            record.members.push_back(world_->index_of(item.team[i]));
            const auto& rates = machines_[record.members.back()].rates;
            const double flops = static_cast<double>(load_.work({i, item.slice.count})) /
                                 static_cast<double>(load_.steps * load_.micro_batches);
            // Backward is twice forward (Kaplan et al. 2020, section 2.1).
            stages.push_back({flops / 3 / rates.speed, 2 * flops / 3 / rates.speed,
                              stream_share * rates.up, rates.down, rates.delay});
        }
        record.times = time_of(stages, {load_.steps, load_.micro_batches, message_bytes_,
                                        static_cast<double>(cost_.contribution_bytes)});
        return sessions_.emplace(item.session, std::move(record)).first->second.times;
    }

    /// Forward only, of so many batches as a validation has: a third of the work of as many tokens
    /// of a lane, in a full pipeline.
    double validation_seconds(const work_item& item) {
        const double share =
            static_cast<double>(cost_.validation_tokens) / static_cast<double>(cost_.lane_tokens);
        return team_times_of(item).lane * share / 3;
    }

    void join_session(std::size_t index, const work_item& item) {
        const auto times = team_times_of(item);
        machines_[index].session = item.session;
        // What the team sends is taken from its members' uplinks; pieces of blobs get the rest.
        const auto& rates = machines_[index].rates;
        const double used = times.sent_bytes[item.slice.index] / times.lane / rates.up;
        links_->set_rates(index, {rates.up * std::max(1 - stream_share, 1 - used), rates.down});
    }

    void leave_session(std::size_t index) {
        auto& m = machines_[index];
        m.session.reset();
        links_->set_rates(index, {m.rates.up, m.rates.down});
    }

    double now() const { return seconds_of(world_->time().now().time_since_epoch()); }
    double round_seconds() const { return report_.bound.compute + report_.bound.transfer; }

    void draw_first() {
        for (std::uint64_t i = 0; i < scenario_.nodes; ++i) first_.push_back(draw_node());
        const auto messages = static_cast<double>(load_.steps * load_.micro_batches);
        report_.bound = bound_of(scenario_, cost_, first_, messages * message_bytes_);
    }

    /// Speed, connection and distance, each log-uniform, independent of one another.
    node_rates draw_node() {
        node_rates r;
        r.speed = scenario_.speed_gflops * 1e9 * std::pow(scenario_.spread, uniform(draw_));
        const double wider = std::pow(scenario_.link_spread, uniform(draw_links_));
        r.up = static_cast<double>(scenario_.up_bits) / 8 * wider;
        r.down = static_cast<double>(scenario_.down_bits) / 8 * wider;
        const double further = std::pow(scenario_.latency_spread, uniform(draw_links_));
        r.delay = seconds_of(scenario_.latency) / 2 * further;
        return r;
    }

    world_options options() {
        world_options o;
        o.nodes = 0;
        o.seed = scenario_.seed;
        o.network.delay_min = scenario_.latency * 3 / 4;
        o.network.delay_max = scenario_.latency * 5 / 4;
        // p2p drops a link whose piece does not come for that long (p2p/network.hpp).
        o.network.death_noticed = 20s;
        o.check_every = ~std::uint64_t{0};
        o.reads_messages = false;
        o.timings = timings_for(beat());
        o.lane_tokens = cost_.lane_tokens;
        o.full_state_bytes = full_state_bytes_;
        o.full_state_spacing = training::full_state_spacing(training::keep_config{}.state_every,
                                                            full_state_bytes_, cost_.mean_bytes);
        o.model = this;
        o.acquainted = scenario_.acquainted;
        o.blind = !scenario_.placed;
        if (scenario_.nodes > training::crew_members_max) {
            o.crew_max = training::crew_groups_nodes_max;
            o.nodes_expected = scenario_.nodes;
            // About half full, as they are when a crew has divided.
            while (scenario_.nodes >> o.depth > group_size) ++o.depth;
            o.links_bounded = true;
        }
        return o;
    }

    base::duration beat() {
        report_.beat = scenario_.beat;
        if (report_.beat == base::duration{}) {
            report_.beat = std::clamp<base::duration>(duration_of(round_seconds() / beats_a_round),
                                                      500ms, 2min);
        }
        return report_.beat;
    }

    void join(const node_rates& rates) {
        const auto index = world_->add_machine();
        machines_.push_back({.rates = rates, .came = now(), .since = now()});
        machines_.back().newcomer = index >= scenario_.nodes;
        links_->add_node({rates.up, rates.down});
        world_->start(index);
        const double a = leaving_rate(scenario_) / 3600;
        if (a == 0) return;
        const double stays = -std::log1p(-uniform(draw_)) / a;
        world_->time().after(duration_of(stays), [this, index] { leave(index); });
    }

    void leave(std::size_t index) {
        account(index);
        auto& m = machines_[index];
        if (m.doing)
            put_down(index, *m.doing == node_use::merging ? node_use::merging : node_use::left);
        m.here = false;
        if (!over_) ++report_.left;
        if (m.session && !over_) lose_attempt(*m.session);
        world_->crash(index);
        if (!over_) ++report_.joined;
        join(draw_node());
    }

    /// A member of a team that is at work left: it works in one attempt, so that is all it costs.
    void lose_attempt(const base::digest& session) {
        auto& record = sessions_.at(session);
        if (record.broken || record.use) return;
        record.broken = true;
        ++report_.attempts_lost;
    }

    /// Puts down what the time since the last change went into; of an item in hand when it ends.
    void account(std::size_t index) {
        auto& m = machines_[index];
        if (over_ || !m.here) return;
        const double passed = now() - std::exchange(m.since, now());
        const auto idle = m.newcomer && !m.first_work ? node_use::catching_up
                          : ending_                   ? node_use::ending
                          : m.downloading             ? node_use::transferring
                                                      : node_use::waiting;
        if (m.doing) {
            m.spent += passed;
        } else {
            report_.use[static_cast<std::size_t>(idle)] += passed;
        }
        m.downloading = links_->downloads(index) > 0;
        able_flops_ += passed * m.rates.speed;
    }

    /// The item in hand is over, and its time went into `use`.
    void put_down(std::size_t index, node_use use) {
        auto& m = machines_[index];
        m.doing.reset();
        if (over_) return;
        if (m.newcomer && !m.first_work) use = node_use::catching_up;
        report_.use[static_cast<std::size_t>(use)] += m.spent;
        if (use == node_use::stopped) ++report_.lanes_stopped;
        if (!m.lane || use == node_use::stopped || use == node_use::left) return;
        if (m.session && !end_session(*m.session, use)) return;
        ++(use == node_use::training || use == node_use::copies ? report_.lanes_run
                                                                : report_.checks_run);
        auto& by = computed_[m.which];
        const bool first = by.empty();
        by.push_back(m.session ? sessions_.at(*m.session).members.front() : index);
        if (first && m.which.first == closed_.size()) end_soon();
    }

    /// The first of a team that is done speaks for all of it.
    bool end_session(const base::digest& session, node_use use) {
        auto& record = sessions_.at(session);
        if (record.use) return false;
        record.use = use;
        const auto& t = record.times;
        report_.balance += t.lane * t.balance();
        double computes = 0;
        for (const double seconds : t.computes) computes += seconds;
        report_.team_busy += computes / static_cast<double>(t.computes.size());
        team_seconds_ += t.lane;
        for (const double bytes : t.sent_bytes) team_bytes_ += bytes;
        return true;
    }

    /// Of an item that came to its end: what others had of it by then.
    node_use use_of(std::size_t index) const {
        const auto& m = machines_[index];
        if (!m.lane) return *m.doing;
        if (m.session && sessions_.at(*m.session).use) return *sessions_.at(*m.session).use;
        const auto it = computed_.find(m.which);
        if (it == computed_.end()) return node_use::training;
        const bool open = m.which.first == closed_.size();
        const bool gone = std::none_of(it->second.begin(), it->second.end(),
                                       [&](std::size_t i) { return machines_[i].here; });
        if (open && gone) return node_use::again;
        return m.doing == node_use::training ? node_use::copies : node_use::checking;
    }

    /// Of one that was broken off.
    node_use use_of_rest(const machine_record& m) const {
        if (m.session && m.doing != node_use::merging && sessions_.at(*m.session).broken) {
            return node_use::left;
        }
        return m.doing == node_use::merging ? node_use::merging : node_use::stopped;
    }

    /// All lanes of the open round have been computed: idle time is now the round's end.
    void end_soon() {
        if (++lanes_here_ < scenario_.lanes) return;
        for (std::size_t i = 0; i < machines_.size(); ++i) account(i);
        ending_ = true;
    }

    void close_round() {
        for (std::size_t i = 0; i < machines_.size(); ++i) account(i);
        ending_ = false;
        lanes_here_ = 0;
        closed_.push_back(now());
        // Checks of closed rounds go on; older ones than the settling window are over.
        if (closed_.size() > 8) {
            computed_.erase(computed_.begin(), computed_.lower_bound({closed_.size() - 8, 0}));
        }
        if (closed_.size() == scenario_.rounds) count_up();
    }

    /// What is counted ends here, though the last checks go on.
    void count_up() {
        if (over_) return;
        for (std::size_t i = 0; i < machines_.size(); ++i) account(i);
        // What is in hand would have come to its end.
        for (const auto& m : machines_) {
            if (m.here && m.doing) report_.use[static_cast<std::size_t>(*m.doing)] += m.spent;
        }
        links_->settle();
        over_ = true;
        auto& r = report_;
        r.seconds = now();
        r.messages = world_->network().sent();
        double sent = 0, received = 0;
        for (std::size_t i = 0; i < machines_.size(); ++i) {
            sent += links_->sent(i);
            received += links_->received(i);
        }
        const double rounds = std::max<double>(1, static_cast<double>(closed_.size()));
        const double node_rounds = rounds * static_cast<double>(scenario_.nodes);
        const auto messages = static_cast<double>(world_->network().bytes_sent());
        r.message_bytes = messages / node_rounds;
        r.bytes_sent = sent / node_rounds + r.message_bytes;
        r.activation_bytes = team_bytes_ / node_rounds;
        if (team_seconds_ > 0) {
            r.balance /= team_seconds_;
            r.team_busy /= team_seconds_;
        }
        r.bytes_formula = scenario_.nodes == 1
                              ? 0
                              : static_cast<double>(cost_.mean_bytes) +
                                    static_cast<double>(cost_.contribution_bytes) *
                                        static_cast<double>(r.lanes_run) / node_rounds;
        const double node_seconds = r.seconds * static_cast<double>(scenario_.nodes);
        r.uplink_busy =
            (sent + messages) * 8 / static_cast<double>(scenario_.up_bits) / node_seconds;
        r.downlink_busy = received * 8 / static_cast<double>(scenario_.down_bits) / node_seconds;
    }

    job_report finish() {
        count_up();
        auto& r = report_;
        r.rounds = closed_.size();
        r.finished = r.rounds == scenario_.rounds;
        r.cost = cost_;
        r.lanes_merged = r.rounds * scenario_.lanes;
        r.tokens = r.lanes_merged * cost_.lane_tokens;
        const double token_flops =
            static_cast<double>(cost_.lane_flops) / static_cast<double>(cost_.lane_tokens);
        r.goodput = static_cast<double>(r.tokens) / r.seconds;
        r.summed_speed = able_flops_ / token_flops / r.seconds;
        r.utilisation = r.goodput / r.summed_speed;
        r.bound_goodput = r.bound.goodput_share() * r.summed_speed;
        r.ratio_to_bound = r.goodput / r.bound_goodput;
        double all = 0;
        for (const double share : r.use) all += share;
        for (double& share : r.use) share /= all;
        newcomers();
        r.events = world_->time().events();
        r.trace = world_->trace();
        return r;
    }

    void newcomers() {
        std::vector<double> times;
        for (std::size_t i = 0; i < machines_.size(); ++i) {
            const auto& m = machines_[i];
            report_.states_fetched += world_->log(i).states_loaded;
            if (!m.first_work) continue;
            times.push_back(*m.first_work);
            report_.newcomer_bytes += m.first_bytes;
        }
        if (times.empty()) return;
        report_.newcomer_bytes /= static_cast<double>(times.size());
        std::sort(times.begin(), times.end());
        report_.first_work_seconds = times[times.size() / 2];
    }

    job_scenario scenario_;
    training::job_cost cost_;
    std::uint64_t full_state_bytes_ = 0;
    base::rng root_, draw_, draw_links_;
    std::vector<node_rates> first_;
    double message_bytes_ = 0;  ///< of a micro-batch, across a cut
    training::crew_lane_load load_;
    job_report report_;
    std::function<training::crew_shard(training::contribution_run)> shard_;
    std::function<training::crew_sums(const training::partial_sums&, training::contribution_run)>
        sums_;
    std::unique_ptr<lane_functions> functions_;
    std::deque<machine_record> machines_;
    std::unique_ptr<crew_world> world_;
    std::unique_ptr<shared_links> links_;
    std::vector<double> closed_;                              ///< when each round was
    std::map<lane_name, std::vector<std::size_t>> computed_;  ///< by whom, first first
    std::uint64_t lanes_here_ = 0;  ///< lanes of the open round that were computed by somebody
    bool ending_ = false;           ///< all of them
    std::map<base::digest, session_record> sessions_;  ///< by name
    double team_seconds_ = 0, team_bytes_ = 0;         ///< of the lanes that came to their end
    double able_flops_ = 0;
    bool over_ = false;
};

}  // namespace

base::result<job_report> run_job(const job_scenario& s) {
    TEQUIO_TRY(const auto recipe, recipe_of(s));
    return job_run(s, recipe).run();
}

}  // namespace tequio::simulation
