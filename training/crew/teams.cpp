#include "training/crew/teams.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "base/ensure.hpp"

namespace tequio::training::crew_protocol {
namespace {

/// How long a number of slices without a whole team is kept: whoever is missing may come back, and
/// another number means that everybody begins at S(0) (guess).
constexpr base::duration regain_patience = std::chrono::seconds(15);
/// Rounds of exchanging seats (guess; one mostly does).
constexpr int exchanges_max = 3;
constexpr double regroup_gain = 1.1;
/// Whoever changes its slice walks from S(0). Petals' servers move below this share of the
/// throughput that they would come to (petals/server/block_selection.py, balance_quality).
constexpr double move_below = 0.75;
/// Measurements of which the median counts (guess): one that is far off changes nothing.
constexpr std::size_t figures_kept = 3;

constexpr std::size_t no_seat = static_cast<std::size_t>(-1);

/// Gives at most `per_slice` candidates to each slice. Kuhn's augmenting paths: who has a seat
/// keeps one, though perhaps another.
class matching {
public:
    matching(const std::vector<seat_candidate>& candidates, std::uint32_t count)
        : candidates_(&candidates), count_(count), slice_of_(candidates.size(), no_seat) {}

    void give(std::size_t who, std::size_t slice) { slice_of_[who] = slice; }
    std::size_t slice_of(std::size_t who) const { return slice_of_[who]; }
    std::size_t held(std::size_t slice) const {
        return static_cast<std::size_t>(std::count(slice_of_.begin(), slice_of_.end(), slice));
    }
    /// One more for this slice, if that can be. `order`: whom to ask first.
    bool grow(std::size_t slice, const std::vector<std::size_t>& order) {
        std::vector<bool> asked(candidates_->size());
        return grow(slice, order, asked);
    }

private:
    bool grow(std::size_t slice, const std::vector<std::size_t>& order, std::vector<bool>& asked) {
        const auto fits = [&](std::size_t who) {
            return (*candidates_)[who].fits_slice({static_cast<std::uint32_t>(slice), count_});
        };
        for (const auto who : order) {
            if (slice_of_[who] != no_seat || !fits(who)) continue;
            slice_of_[who] = slice;
            return true;
        }
        for (const auto who : order) {
            const auto from = slice_of_[who];
            if (from == no_seat || from == slice || asked[who] || !fits(who)) continue;
            asked[who] = true;
            if (!grow(from, order, asked)) continue;
            slice_of_[who] = slice;
            return true;
        }
        return false;
    }

    const std::vector<seat_candidate>* candidates_;  ///< outlives this
    std::uint32_t count_;
    std::vector<std::size_t> slice_of_;
};

/// One number of each candidate, the median for those not known; nothing when none is.
std::vector<double> known_or_median(const std::vector<seat_candidate>& candidates,
                                    std::uint64_t seat_candidate::*what) {
    std::vector<double> out;
    for (const auto& c : candidates) {
        if (c.*what > 0) out.push_back(static_cast<double>(c.*what));
    }
    if (out.empty()) return out;
    const auto middle = out.begin() + static_cast<std::ptrdiff_t>(out.size() / 2);
    std::nth_element(out.begin(), middle, out.end());
    const double median = *middle;
    out.clear();
    for (const auto& c : candidates) {
        out.push_back(c.*what > 0 ? static_cast<double>(c.*what) : median);
    }
    return out;
}

/// How long a lane takes of candidates and teams, by index.
class lane_times {
public:
    lane_times(const std::vector<seat_candidate>& candidates, std::uint32_t count,
               const crew_lane_load& load)
        : count_(count),
          in_turn_(load.micro_batches == 0 ? 0 : 1 / static_cast<double>(load.micro_batches)) {
        const auto speeds = known_or_median(candidates, &seat_candidate::speed);
        const auto ups = known_or_median(candidates, &seat_candidate::up);
        const auto delays = known_or_median(candidates, &seat_candidate::delay);
        // There and back, over the ways on both sides of it.
        const double passes = 2 * static_cast<double>(load.steps);
        for (std::uint32_t slice = 0; slice < count; ++slice) {
            const model_slice which{slice, count};
            const double work =
                load.work ? static_cast<double>(std::max<std::uint64_t>(1, load.work(which))) : 1.0;
            const double sends =
                load.sends && !ups.empty() ? static_cast<double>(load.sends(which)) : 0.0;
            const double ways = (slice > 0 ? 1 : 0) + (slice + 1 < count ? 1 : 0);
            for (std::size_t who = 0; who < candidates.size(); ++who) {
                const double computes = speeds.empty() ? work : work / speeds[who];
                busy_.push_back(std::max(computes, sends > 0 ? sends / ups[who] : 0.0));
                under_way_.push_back(delays.empty() ? 0.0 : passes * ways * delays[who] / 1e6);
                // A downlink carries no less than the uplink: nothing measures it.
                const double part = static_cast<double>(load.contribution) / count;
                const double gives = slice > 0 ? part : part * (count - 1);
                ends_.push_back(ups.empty() ? 0.0 : gives / ups[who]);
            }
        }
        each_ = candidates.size();
    }

    /// Of one member of a team, what it adds to the team's time: to bring like together.
    double of(std::size_t who, std::size_t slice) const {
        const auto at = slice * each_ + who;
        return busy_[at] + under_way_[at] + ends_[at];
    }
    /// One forward, one backward: all stages once, the slowest one for each micro-batch more.
    /// Source: Narayanan et al. 2021, section 2.2.1. `member(slice)`: who has it.
    template <class Member>
    double of_team(Member&& member) const {
        double slowest = 0, all = 0, under_way = 0, end = 0;
        for (std::size_t slice = 0; slice < count_; ++slice) {
            const auto at = slice * each_ + member(slice);
            slowest = std::max(slowest, busy_[at]);
            all += busy_[at];
            under_way += under_way_[at];
            end = std::max(end, ends_[at]);
        }
        return slowest + (all - slowest) * in_turn_ + under_way + end;
    }

private:
    std::size_t count_;
    std::size_t each_ = 0;
    double in_turn_;  ///< share of a stage's time that a lane waits for it
    std::vector<double> busy_, under_way_, ends_;  ///< by slice, then candidate
};

/// Teams that can be made of so many for each slice.
std::size_t whole_teams(const std::vector<std::vector<std::size_t>>& pools) {
    std::size_t out = pools.empty() ? 0 : pools.front().size();
    for (const auto& pool : pools) out = std::min(out, pool.size());
    return out;
}

/// Seats while they are dealt out. Candidates by index.
class table {
public:
    table(const std::vector<seat_candidate>& candidates, std::uint32_t count,
          const crew_lane_load& load)
        : candidates_(candidates),
          count_(count),
          times_(candidates, count, load),
          slices_(candidates.size(), no_seat),
          kept_(candidates.size(), 0) {}

    void keep_teams(const team_plan& before);
    void seat_all();
    /// Exchanges slices, as long as the teams get faster: of those who hold none yet, or of all.
    void balance(bool all);
    /// Teams of those that are in none, like with like.
    team_plan compose() const;
    /// Lanes a second of the teams that are not kept.
    double pace() const;
    /// About the most that `pace` could be, whoever held what.
    double pace_at_best() const;
    /// Gives out anew the slices of those who have made nothing of theirs.
    void deal();
    /// Teams that work on nothing may be taken apart.
    void free_teams();
    /// Most of them are where their states are.
    bool settled() const;

private:
    bool holds(std::size_t who) const {
        const auto& held = candidates_[who].holds;
        return held && held->count == count_ && candidates_[who].fits_slice(*held);
    }
    /// At the tip, with its slice.
    bool stands(std::size_t who) const {
        return candidates_[who].ready && holds(who) &&
               candidates_[who].holds->index == slices_[who];
    }
    bool fits(std::size_t who, std::size_t slice) const {
        return candidates_[who].fits_slice({static_cast<std::uint32_t>(slice), count_});
    }
    std::vector<std::size_t> order() const;
    /// By slice, those in no kept team: who can begin first, then the fastest.
    std::vector<std::vector<std::size_t>> pools() const;

    const std::vector<seat_candidate>& candidates_;
    std::uint32_t count_;
    lane_times times_;
    std::vector<std::size_t> slices_;
    std::vector<std::uint32_t> kept_;  ///< team, of those that stay in one
};

/// Whole teams of the plan before that are here in full, unless a standby is ready for somebody
/// who is not.
void table::keep_teams(const team_plan& before) {
    if (before.count != count_) return;
    std::map<base::node_id, std::size_t> index;
    for (std::size_t i = 0; i < candidates_.size(); ++i) index[candidates_[i].node] = i;
    std::set<std::size_t> spare;  // slices with somebody ready who is in no team
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
        const auto* s = before.find(candidates_[i].node);
        if (holds(i) && candidates_[i].ready && (s == nullptr || s->team == 0)) {
            spare.insert(candidates_[i].holds->index);
        }
    }
    for (const auto number : before.teams()) {
        const auto nodes = before.team(number);
        bool whole = true;
        for (std::size_t slice = 0; slice < nodes.size() && whole; ++slice) {
            const auto it = index.find(nodes[slice]);
            whole = it != index.end() && fits(it->second, slice) &&
                    (candidates_[it->second].ready || !spare.contains(slice));
        }
        if (!whole) continue;
        for (std::size_t slice = 0; slice < nodes.size(); ++slice) {
            slices_[index.at(nodes[slice])] = slice;
            kept_[index.at(nodes[slice])] = number;
        }
    }
}

/// Who holds something comes first, then the fastest; ids last.
std::vector<std::size_t> table::order() const {
    std::vector<std::size_t> out(candidates_.size());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = i;
    std::stable_sort(out.begin(), out.end(), [&](std::size_t a, std::size_t b) {
        const bool held_a = holds(a), held_b = holds(b);
        if (held_a != held_b) return held_a;
        const auto time_a = times_.of(a, 0), time_b = times_.of(b, 0);
        if (time_a != time_b) return time_a < time_b;
        return candidates_[a].node < candidates_[b].node;
    });
    return out;
}

void table::seat_all() {
    matching seats(candidates_, count_);
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
        if (kept_[i] != 0) seats.give(i, slices_[i]);
    }
    const auto by_rank = order();
    std::size_t teams = 0;
    for (std::size_t slice = 0; slice < count_; ++slice) {
        teams = slice == 0 ? seats.held(slice) : std::min(teams, seats.held(slice));
    }
    // Team by team, as long as every slice gets one more: first from those that hold it.
    for (;; ++teams) {
        auto more = seats;
        bool whole = true;
        for (std::size_t slice = 0; slice < count_ && whole; ++slice) {
            for (const auto who : by_rank) {
                if (more.held(slice) > teams) break;
                if (more.slice_of(who) == no_seat && holds(who) &&
                    candidates_[who].holds->index == slice) {
                    more.give(who, slice);
                }
            }
        }
        for (std::size_t slice = 0; slice < count_ && whole; ++slice) {
            while (whole && more.held(slice) <= teams) whole = more.grow(slice, by_rank);
        }
        if (!whole) break;
        seats = std::move(more);
    }
    std::vector<std::size_t> seated(count_);
    for (std::size_t slice = 0; slice < count_; ++slice) seated[slice] = seats.held(slice);
    // The rest stand by: where they are, or where fewest are.
    for (const auto who : by_rank) {
        if (seats.slice_of(who) != no_seat || !holds(who)) continue;
        seats.give(who, candidates_[who].holds->index);
        ++seated[candidates_[who].holds->index];
    }
    for (const auto who : by_rank) {
        if (seats.slice_of(who) != no_seat) continue;
        std::size_t best = no_seat;
        for (std::size_t slice = 0; slice < count_; ++slice) {
            if (fits(who, slice) && (best == no_seat || seated[slice] < seated[best])) best = slice;
        }
        if (best == no_seat) continue;
        seats.give(who, best);
        ++seated[best];
    }
    for (std::size_t i = 0; i < candidates_.size(); ++i) slices_[i] = seats.slice_of(i);
}

std::vector<std::vector<std::size_t>> table::pools() const {
    std::vector<std::vector<std::size_t>> out(count_);
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
        if (slices_[i] != no_seat && kept_[i] == 0) out[slices_[i]].push_back(i);
    }
    for (std::size_t slice = 0; slice < count_; ++slice) {
        std::stable_sort(out[slice].begin(), out[slice].end(), [&](std::size_t a, std::size_t b) {
            if (candidates_[a].ready != candidates_[b].ready) return candidates_[a].ready;
            const auto time_a = times_.of(a, slice), time_b = times_.of(b, slice);
            if (time_a != time_b) return time_a < time_b;
            return candidates_[a].node < candidates_[b].node;
        });
    }
    return out;
}

double table::pace() const {
    const auto free = pools();
    const auto teams = whole_teams(free);
    double sum = 0;
    for (std::size_t k = 0; k < teams; ++k) {
        sum += 1 / times_.of_team([&](std::size_t slice) { return free[slice][k]; });
    }
    return sum;
}

/// The fastest make up the first team, the next the second, and so on.
double table::pace_at_best() const {
    std::vector<std::size_t> free;
    std::size_t smallest = candidates_.size();
    for (const auto& pool : pools()) {
        free.insert(free.end(), pool.begin(), pool.end());
        smallest = std::min(smallest, pool.size());
    }
    std::sort(free.begin(), free.end(),
              [&](std::size_t a, std::size_t b) { return times_.of(a, 0) < times_.of(b, 0); });
    double sum = 0;
    for (std::size_t k = 0; k < smallest; ++k) {
        sum += 1 / times_.of_team([&](std::size_t slice) { return free[k * count_ + slice]; });
    }
    return sum;
}

void table::free_teams() {
    std::set<std::uint32_t> at_work;
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
        if (candidates_[i].working) at_work.insert(kept_[i]);
    }
    for (auto& team : kept_) {
        if (!at_work.contains(team)) team = 0;
    }
}

/// The fastest make up the first team, the next the second, as far as there is one for each slice;
/// within a team they change places as long as it gets faster.
void table::deal() {
    std::vector<std::size_t> free;
    std::vector<std::size_t> seats(count_);
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
        if (slices_[i] == no_seat || kept_[i] != 0 || !candidates_[i].unmade) continue;
        bool anywhere = true;
        for (std::size_t slice = 0; slice < count_; ++slice) anywhere &= fits(i, slice);
        if (!anywhere) continue;
        free.push_back(i);
        ++seats[slices_[i]];
    }
    const auto teams = *std::min_element(seats.begin(), seats.end());
    const std::size_t inner = count_ > 1 ? 1 : 0;
    std::stable_sort(free.begin(), free.end(), [&](std::size_t a, std::size_t b) {
        return times_.of(a, inner) < times_.of(b, inner);
    });
    std::size_t next = 0;
    for (std::size_t k = 0; k < teams; ++k, next += count_) {
        const auto first = free.begin() + static_cast<std::ptrdiff_t>(next);
        std::vector<std::size_t> team(first, first + count_);
        const auto time = [&] { return times_.of_team([&](auto slice) { return team[slice]; }); };
        double best = time();
        for (bool better = true; better;) {
            better = false;
            for (std::size_t a = 0; a < count_; ++a) {
                for (std::size_t b = a + 1; b < count_; ++b) {
                    std::swap(team[a], team[b]);
                    if (const double now = time(); now < best * (1 - 1e-9)) {
                        best = now;
                        better = true;
                    } else {
                        std::swap(team[a], team[b]);
                    }
                }
            }
        }
        for (std::size_t slice = 0; slice < count_; ++slice) slices_[team[slice]] = slice;
    }
    // The slices that are left, for the others.
    for (auto& n : seats) n -= teams;
    for (std::size_t slice = 0; next < free.size(); ++next) {
        while (seats[slice] == 0) ++slice;
        --seats[slice];
        slices_[free[next]] = slice;
    }
}

bool table::settled() const {
    std::size_t seated = 0, walking = 0;
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
        if (slices_[i] == no_seat) continue;
        ++seated;
        walking += !stands(i);
    }
    return 4 * walking <= seated;
}

void table::balance(bool all) {
    std::vector<std::size_t> movable;
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
        const bool held = holds(i) && candidates_[i].holds->index == slices_[i];
        if (slices_[i] == no_seat || kept_[i] != 0) continue;
        if (all ? stands(i) : !held) movable.push_back(i);
    }
    double best = pace();
    for (int round = 0; round < exchanges_max; ++round) {
        bool better = false;
        for (std::size_t a = 0; a < movable.size(); ++a) {
            for (std::size_t b = a + 1; b < movable.size(); ++b) {
                auto& mine = slices_[movable[a]];
                auto& other = slices_[movable[b]];
                if (mine == other || !fits(movable[a], other) || !fits(movable[b], mine)) continue;
                std::swap(mine, other);
                const double now = pace();
                if (now > best * (1 + 1e-9)) {
                    best = now;
                    better = true;
                } else {
                    std::swap(mine, other);
                }
            }
        }
        if (!better) break;
    }
}

team_plan table::compose() const {
    team_plan out;
    out.count = count_;
    std::vector<std::uint32_t> teams = kept_;
    std::set<std::uint32_t> numbers(kept_.begin(), kept_.end());
    const auto free = pools();
    const auto more = whole_teams(free);
    std::uint32_t number = 1;
    for (std::size_t k = 0; k < more; ++k) {
        while (numbers.contains(number)) ++number;
        numbers.insert(number);
        for (const auto& pool : free) teams[pool[k]] = number;
    }
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
        if (slices_[i] == no_seat) continue;
        out.seats.push_back(
            {candidates_[i].node, static_cast<std::uint32_t>(slices_[i]), teams[i]});
    }
    std::sort(out.seats.begin(), out.seats.end());
    return out;
}

}  // namespace

bool fit(const slice_fits& fits, model_slice slice) {
    return slice.count >= 1 && slice.count <= fits.size() &&
           ((fits[slice.count - 1] >> slice.index) & 1u) != 0;
}

bool fit_any(const slice_fits& fits) {
    return std::any_of(fits.begin(), fits.end(), [](auto bits) { return bits != 0; });
}

const seat* team_plan::find(const base::node_id& node) const {
    const auto it = std::lower_bound(seats.begin(), seats.end(), node,
                                     [](const seat& s, const auto& n) { return s.node < n; });
    return it == seats.end() || it->node != node ? nullptr : &*it;
}

std::vector<base::node_id> team_plan::team(std::uint32_t number) const {
    std::vector<base::node_id> out;
    if (number == 0) return out;
    for (const auto& s : seats) {
        if (s.team != number || s.slice >= count) continue;
        out.resize(count);
        out[s.slice] = s.node;
    }
    return out;
}

std::vector<std::uint32_t> team_plan::teams() const {
    std::set<std::uint32_t> out;
    for (const auto& s : seats) {
        if (s.team != 0) out.insert(s.team);
    }
    return {out.begin(), out.end()};
}

team_reach reach_of(const std::vector<seat_candidate>& candidates, std::uint32_t count) {
    team_reach out;
    std::vector<std::size_t> order(candidates.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    for (const auto& c : candidates) {
        out.helpers += count >= 1 && count <= c.fits.size() && c.fits[count - 1] != 0;
    }
    matching seats(candidates, count);
    for (;; ++out.teams) {
        for (std::uint32_t slice = 0; slice < count; ++slice) {
            if (seats.grow(slice, order)) continue;
            if (out.teams == 0) out.lacking = slice;
            return out;
        }
        if (count == 0) return out;
    }
}

std::uint32_t choose_count(const std::vector<seat_candidate>& candidates, std::uint32_t max,
                           std::uint32_t now) {
    std::vector<team_reach> reach(max + 1);
    std::size_t helpers = 0;
    for (std::uint32_t count = 1; count <= max; ++count) {
        reach[count] = reach_of(candidates, count);
        if (reach[count].teams > 0) helpers = std::max(helpers, reach[count].helpers);
    }
    const auto serves = [&](std::uint32_t count) {
        return reach[count].teams > 0 && 2 * reach[count].helpers >= helpers;
    };
    if (now >= 1 && now <= max && serves(now)) return now;
    for (std::uint32_t count = 1; count <= max; ++count) {
        if (serves(count)) return count;
    }
    return 0;
}

void steady_figure::add(std::uint64_t measured) {
    if (measured == 0) return;
    if (last_.size() == figures_kept) last_.erase(last_.begin());
    last_.push_back(measured);
    auto sorted = last_;
    std::sort(sorted.begin(), sorted.end());
    const auto median = sorted[sorted.size() / 2];
    const auto off = median > told_ ? median - told_ : told_ - median;
    if (off > told_ / 8) told_ = median;
}

team_plan seat_teams(const std::vector<seat_candidate>& candidates, std::uint32_t count,
                     const crew_lane_load& load, const team_plan& before, change most) {
    base::ensure(count >= 1 && count <= crew_slices_max, "slices: 1..crew_slices_max");
    table t(candidates, count, load);
    t.keep_teams(before);
    t.seat_all();
    t.balance(false);
    auto plan = t.compose();
    if (most == change::seats) return plan;
    const auto pace = [&](const team_plan& p) { return pace_of(p, candidates, load); };
    t.free_teams();
    auto other = t.compose();
    if (pace(other) > regroup_gain * pace(plan)) plan = std::move(other);
    if (most == change::teams) return plan;
    const bool unmade =
        std::any_of(candidates.begin(), candidates.end(), [](const auto& c) { return c.unmade; });
    if (unmade) {
        auto dealt = t;
        dealt.deal();
        other = dealt.compose();
        if (pace(other) > regroup_gain * pace(plan)) plan = std::move(other);
        return plan;
    }
    // Who changes its slice is of no use until it has walked there.
    if (!t.settled() || t.pace() >= move_below * t.pace_at_best()) return plan;
    t.balance(true);
    other = t.compose();
    if (pace(plan) < move_below * pace(other)) plan = std::move(other);
    return plan;
}

double pace_of(const team_plan& plan, const std::vector<seat_candidate>& candidates,
               const crew_lane_load& load) {
    const lane_times times(candidates, plan.count, load);
    std::map<base::node_id, std::size_t> index;
    for (std::size_t i = 0; i < candidates.size(); ++i) index[candidates[i].node] = i;
    double sum = 0;
    for (const auto number : plan.teams()) {
        const auto nodes = plan.team(number);
        const bool here = std::all_of(nodes.begin(), nodes.end(),
                                      [&](const auto& node) { return index.contains(node); });
        if (here) sum += 1 / times.of_team([&](std::size_t s) { return index.at(nodes[s]); });
    }
    return sum;
}

void team_desk::step(base::time_point now, const std::vector<seat_candidate>& candidates,
                     std::uint32_t max, const crew_lane_load& load, change most) {
    const auto same = [](const seat_candidate& a, const seat_candidate& b) {
        return a.node == b.node && a.fits == b.fits && a.holds == b.holds && a.ready == b.ready &&
               a.speed == b.speed && a.up == b.up && a.delay == b.delay && a.working == b.working &&
               a.unmade == b.unmade;
    };
    const bool waits = without_since_.has_value();
    if (!waits &&
        std::equal(seen_.begin(), seen_.end(), candidates.begin(), candidates.end(), same)) {
        return;
    }
    seen_ = candidates;
    auto count = choose_count(candidates, max, plan_.count);
    const bool short_of = plan_.count != 0 && reach_of(candidates, plan_.count).teams == 0;
    if (!short_of) {
        without_since_.reset();
    } else if (!without_since_) {
        without_since_ = now;
    }
    if (short_of && now - *without_since_ < regain_patience) count = plan_.count;
    if (count == 0) count = plan_.count;
    if (count == 0) return;
    plan_ = seat_teams(candidates, count, load, plan_, most);
}

}  // namespace tequio::training::crew_protocol
