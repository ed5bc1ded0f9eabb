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

/// Speeds by candidate, the median for those not known.
std::vector<double> speeds_of(const std::vector<seat_candidate>& candidates) {
    std::vector<double> known;
    for (const auto& c : candidates) {
        if (c.speed > 0) known.push_back(static_cast<double>(c.speed));
    }
    double median = 1;
    if (!known.empty()) {
        const auto middle = known.begin() + static_cast<std::ptrdiff_t>(known.size() / 2);
        std::nth_element(known.begin(), middle, known.end());
        median = *middle;
    }
    std::vector<double> out;
    for (const auto& c : candidates) {
        out.push_back(c.speed > 0 ? static_cast<double>(c.speed) : median);
    }
    return out;
}

double load_of(const slice_work& work, model_slice slice) {
    return work ? static_cast<double>(std::max<std::uint64_t>(1, work(slice))) : 1.0;
}

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
          const slice_work& work)
        : candidates_(candidates),
          count_(count),
          speeds_(speeds_of(candidates)),
          slices_(candidates.size(), no_seat),
          kept_(candidates.size(), 0) {
        for (std::uint32_t i = 0; i < count; ++i) work_.push_back(load_of(work, {i, count}));
    }

    void keep_teams(const team_plan& before);
    void seat_all();
    void balance();
    /// Teams of those that are in none, like with like.
    team_plan compose() const;
    double pace() const;
    void keep_none() { std::fill(kept_.begin(), kept_.end(), 0); }

private:
    bool holds(std::size_t who) const {
        const auto& held = candidates_[who].holds;
        return held && held->count == count_ && candidates_[who].fits_slice(*held);
    }
    bool fits(std::size_t who, std::size_t slice) const {
        return candidates_[who].fits_slice({static_cast<std::uint32_t>(slice), count_});
    }
    std::vector<std::size_t> order() const;
    /// By slice, those in no kept team: who can begin first, then the fastest.
    std::vector<std::vector<std::size_t>> pools() const;

    const std::vector<seat_candidate>& candidates_;
    std::uint32_t count_;
    std::vector<double> speeds_;
    std::vector<double> work_;
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
        if (speeds_[a] != speeds_[b]) return speeds_[a] > speeds_[b];
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
    for (auto& pool : out) {
        std::stable_sort(pool.begin(), pool.end(), [&](std::size_t a, std::size_t b) {
            if (candidates_[a].ready != candidates_[b].ready) return candidates_[a].ready;
            if (speeds_[a] != speeds_[b]) return speeds_[a] > speeds_[b];
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
        double slowest = 0;
        for (std::size_t slice = 0; slice < count_; ++slice) {
            const auto rate = speeds_[free[slice][k]] / work_[slice];
            slowest = slice == 0 ? rate : std::min(slowest, rate);
        }
        sum += slowest;
    }
    return sum;
}

/// Exchanges the slices of those who hold none yet, as long as the teams get faster.
void table::balance() {
    std::vector<std::size_t> fresh;
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
        const bool settled = holds(i) && candidates_[i].holds->index == slices_[i];
        if (slices_[i] != no_seat && kept_[i] == 0 && !settled) fresh.push_back(i);
    }
    double best = pace();
    for (int round = 0; round < exchanges_max; ++round) {
        bool better = false;
        for (std::size_t a = 0; a < fresh.size(); ++a) {
            for (std::size_t b = a + 1; b < fresh.size(); ++b) {
                auto& mine = slices_[fresh[a]];
                auto& other = slices_[fresh[b]];
                if (mine == other || !fits(fresh[a], other) || !fits(fresh[b], mine)) continue;
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

team_plan seat_teams(const std::vector<seat_candidate>& candidates, std::uint32_t count,
                     const slice_work& work, const team_plan& before, bool regroup) {
    base::ensure(count >= 1 && count <= crew_slices_max, "slices: 1..crew_slices_max");
    table t(candidates, count, work);
    t.keep_teams(before);
    t.seat_all();
    t.balance();
    auto plan = t.compose();
    if (regroup) {
        t.keep_none();
        auto other = t.compose();
        if (pace_of(other, candidates, work) > regroup_gain * pace_of(plan, candidates, work)) {
            return other;
        }
    }
    return plan;
}

double pace_of(const team_plan& plan, const std::vector<seat_candidate>& candidates,
               const slice_work& work) {
    const auto speeds = speeds_of(candidates);
    std::map<base::node_id, double> by_node;
    for (std::size_t i = 0; i < candidates.size(); ++i) by_node[candidates[i].node] = speeds[i];
    double sum = 0;
    for (const auto number : plan.teams()) {
        const auto nodes = plan.team(number);
        std::optional<double> slowest;
        for (std::uint32_t slice = 0; slice < nodes.size(); ++slice) {
            const auto it = by_node.find(nodes[slice]);
            const auto load = load_of(work, {slice, plan.count});
            const auto rate = it == by_node.end() ? 0.0 : it->second / load;
            slowest = slowest ? std::min(*slowest, rate) : rate;
        }
        sum += slowest.value_or(0);
    }
    return sum;
}

void team_desk::step(base::time_point now, const std::vector<seat_candidate>& candidates,
                     std::uint32_t max, const slice_work& work, bool regroup) {
    const auto same = [](const seat_candidate& a, const seat_candidate& b) {
        return a.node == b.node && a.fits == b.fits && a.holds == b.holds && a.ready == b.ready &&
               a.speed == b.speed;
    };
    const bool waits = without_since_.has_value();
    if (!waits && regroup == regrouped_ &&
        std::equal(seen_.begin(), seen_.end(), candidates.begin(), candidates.end(), same)) {
        return;
    }
    seen_ = candidates;
    regrouped_ = regroup;
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
    plan_ = seat_teams(candidates, count, work, plan_, regroup);
}

}  // namespace tequio::training::crew_protocol
