#include "tests/simulation/team_time.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/ensure.hpp"
#include "training/model/pipeline.hpp"
#include "training/team.hpp"

namespace tequio::simulation {
namespace {

/// Messages from one stage to its neighbour.
struct one_way {
    std::vector<double> arrives;  ///< by micro-batch, in order
    std::vector<double> taken;    ///< likewise; the sender has heard of it
};

/// One step, as it is played.
class step_play {
public:
    step_play(const std::vector<team_stage>& stages, const team_job& job)
        : stages_(stages),
          job_(job),
          free_(stages.size()),
          next_(stages.size()),
          up_(stages.size()),
          down_(stages.size()),
          ahead_(stages.size()),
          back_(stages.size()) {
        for (std::size_t s = 0; s < stages.size(); ++s) {
            order_.push_back(
                training::one_forward_one_backward(s, stages.size(), job.micro_batches));
        }
    }

    double run() {
        for (;;) {
            std::optional<std::size_t> soonest;
            double at = 0;
            for (std::size_t s = 0; s < stages_.size(); ++s) {
                const auto begins = ready(s);
                if (begins && (!soonest || *begins < at)) {
                    soonest = s;
                    at = *begins;
                }
            }
            if (!soonest) break;
            play(*soonest, at);
        }
        for (std::size_t s = 0; s < stages_.size(); ++s) {
            base::ensure(next_[s] == order_[s].size(), "the schedule never stands still");
        }
        return *std::max_element(free_.begin(), free_.end()) + norm();
    }

private:
    double delay(std::size_t a, std::size_t b) const { return stages_[a].delay + stages_[b].delay; }
    /// Where stage `s` takes the input of a pass from; nothing at the ends.
    one_way* input(std::size_t s, bool forward) {
        if (forward) return s == 0 ? nullptr : &ahead_[s - 1];
        return s + 1 == stages_.size() ? nullptr : &back_[s + 1];
    }
    one_way* output(std::size_t s, bool forward) {
        if (forward) return s + 1 == stages_.size() ? nullptr : &ahead_[s];
        return s == 0 ? nullptr : &back_[s];
    }

    /// When stage `s` can begin with its next pass; nothing while that is not known.
    std::optional<double> ready(std::size_t s) {
        if (next_[s] == order_[s].size()) return std::nullopt;
        const auto& pass = order_[s][next_[s]];
        double at = free_[s];
        if (const auto* in = input(s, pass.forward)) {
            if (in->arrives.size() <= pass.micro_batch) return std::nullopt;
            at = std::max(at, in->arrives[pass.micro_batch]);
        }
        return at;
    }

    void play(std::size_t s, double at) {
        const auto pass = order_[s][next_[s]++];
        if (auto* in = input(s, pass.forward)) {
            in->taken.push_back(at + delay(s, pass.forward ? s - 1 : s + 1));
        }
        free_[s] = at + (pass.forward ? stages_[s].forward : stages_[s].backward);
        if (output(s, pass.forward) != nullptr) send(s, pass.forward);
    }

    void send(std::size_t s, bool forward) {
        auto& way = *output(s, forward);
        const auto to = forward ? s + 1 : s - 1;
        // As many may be under way; who sends one more waits.
        const auto before = way.arrives.size();
        if (before >= training::team_messages_max) {
            const auto oldest = before - training::team_messages_max;
            if (way.taken.size() > oldest) free_[s] = std::max(free_[s], way.taken[oldest]);
        }
        const double begins = std::max({free_[s], up_[s], down_[to]});
        const double ends = begins + job_.message_bytes / std::min(stages_[s].up, stages_[to].down);
        up_[s] = down_[to] = ends;
        way.arrives.push_back(ends + delay(s, to));
    }

    /// Sums of squares go from all to all, and whether what was updated is finite.
    double norm() const {
        double furthest = 0;
        for (std::size_t a = 0; a < stages_.size(); ++a) {
            for (std::size_t b = a + 1; b < stages_.size(); ++b) {
                furthest = std::max(furthest, delay(a, b));
            }
        }
        return 2 * furthest;
    }

    const std::vector<team_stage>& stages_;
    const team_job& job_;
    std::vector<std::vector<training::pipeline_step>> order_;
    std::vector<double> free_;       ///< when each stage has done what it began
    std::vector<std::size_t> next_;  ///< of its passes
    std::vector<double> up_, down_;  ///< when each link is free
    std::vector<one_way> ahead_, back_;
};

}  // namespace

double team_times::balance() const {
    const double all = std::accumulate(stage.begin(), stage.end(), 0.0);
    const double slowest = *std::max_element(stage.begin(), stage.end());
    return all / static_cast<double>(stage.size()) / slowest;
}

team_times time_of(const std::vector<team_stage>& stages, const team_job& job) {
    const auto steps = static_cast<double>(job.steps);
    const double passes = steps * static_cast<double>(job.micro_batches);
    const double share = job.contribution_bytes / static_cast<double>(stages.size());
    team_times out;
    double end = 0;
    for (std::size_t s = 0; s < stages.size(); ++s) {
        const double neighbours = (s > 0 ? 1 : 0) + (s + 1 < stages.size() ? 1 : 0);
        const double sends = passes * neighbours * job.message_bytes;
        out.computes.push_back(passes * (stages[s].forward + stages[s].backward));
        out.stage.push_back(std::max(out.computes.back(), sends / stages[s].up));
        out.sent_bytes.push_back(sends + (s > 0 ? share : 0));
        if (s > 0) end = std::max(end, share / stages[s].up);
    }
    const double others = job.contribution_bytes - share;
    end = std::max(end, others / stages.front().down);
    out.lane = steps * step_play(stages, job).run() + end;
    return out;
}

}  // namespace tequio::simulation
