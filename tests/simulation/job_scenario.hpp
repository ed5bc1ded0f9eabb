#pragma once

/// What `tequio-sim job` simulates: a job of a named model among nodes with modelled compute and
/// links. Sizes and operations come from the recipe, as everywhere (training/cost.hpp).

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "training/cost.hpp"
#include "training/recipe.hpp"

namespace tequio::simulation {

/// All that determines a run.
struct job_scenario {
    std::uint64_t nodes = 8;
    std::uint64_t rounds = 10;
    std::string model = "small-10m";
    std::uint64_t lanes = 32;
    std::uint64_t inner_steps = 50;
    std::uint64_t batch = 8;
    std::string codec = "mxint8";
    std::string codec_down = "mxint8";
    double speed_gflops = 50;  ///< of the slowest node there can be
    double spread = 10;        ///< the fastest is that many times as fast; between, log-uniform
    std::uint64_t up_bits = 20'000'000;                      ///< a second
    std::uint64_t down_bits = 100'000'000;                   ///< a second
    base::duration latency = std::chrono::milliseconds(20);  ///< one way, give or take a quarter
    double link_spread = 1;     ///< the fastest connection carries so many times as much, both ways
    std::uint64_t turns = 0;    ///< transfers that an uplink serves at a time; 0: all
    double latency_spread = 1;  ///< the furthest node is so many times as far
    /// Slices that the model is divided into, each node having room for one; 1: all hold all.
    std::uint64_t slices = 1;
    std::string activations = "bf16";  ///< across the cuts
    bool placed = true;  ///< teams are composed by what is measured; else in order of ids
    double leaving = 0;  ///< share of the nodes that leave in an hour; others come in their place
    /// Nobody is a newcomer, whose first lanes are all checked: those who come were there before.
    bool acquainted = false;
    std::uint64_t seed = 1;
    /// Period of the crew's hints; zero: chosen by the length of a round. Its other patiences
    /// that count hints grow with it.
    base::duration beat{};
    /// Virtual time after which an unfinished run ends; zero: five times the ideal.
    base::duration limit{};
};

/// One option of the command: how it is called, what it takes, and where it goes.
struct job_option {
    std::string_view name;                              ///< "lanes"
    std::string_view help;                              ///< for people
    std::string_view allowed;                           ///< "1 to 4096"
    bool (*set)(job_scenario&, std::string_view text);  ///< false: not allowed
    std::string (*get)(const job_scenario&);            ///< as `set` would read it
};
const std::vector<job_option>& job_options();

/// Sets an option by its name. Errors: `base::errc::bad_encoding` naming option, found and allowed.
base::result<void> set_option(job_scenario& s, std::string_view name, std::string_view text);

/// "home", "volunteers", "grid". Errors as above.
base::result<job_scenario> job_preset(std::string_view name);

/// The recipe, after `check_recipe`. Errors: those, with the option's name in front.
base::result<training::recipe> recipe_of(const job_scenario& s);

/// Leaving rate an hour of the exponential law by which `leaving` of the nodes leave in one.
double leaving_rate(const job_scenario& s);

/// What a node has.
struct node_rates {
    double speed = 0;         ///< operations a second
    double up = 0, down = 0;  ///< bytes a second
    double delay = 0;         ///< its part of a message's way, seconds
};

/// What no protocol can beat, in seconds of a round. Where the model is divided: what no teams can
/// beat whose members leave, each lane having the bubble of its pipeline.
struct job_bound {
    double compute = 0;   ///< all lanes at the summed speed
    double full = 1;      ///< share of a pipeline's time in which it is full, M / (M + S - 1)
    double transfer = 0;  ///< the last lane's contribution up, the mean to everyone
    /// aT / (e^(aT) - 1): of a lane time T, what is finished before its node leaves; mean over
    /// nodes weighted by speed.
    double kept = 1;
    /// Beside that, of a divided model: the share of their speed that nodes could use if each were
    /// as fast as its uplink carries what it sends across the cuts.
    double links = 1;
    double goodput_share() const { return kept * compute / (compute / full + transfer); }
};
/// `cut_bytes`: of a lane, across one cut, one way.
job_bound bound_of(const job_scenario& s, const training::job_cost& cost,
                   const std::vector<node_rates>& nodes, double cut_bytes = 0);

}  // namespace tequio::simulation
