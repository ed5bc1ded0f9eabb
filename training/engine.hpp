#pragma once

/// Runs lanes: the pure function (recipe, data, state, round, lane) -> contribution or divergence,
/// and the two others that need the model's arithmetic, the initial state and validation.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "base/bytes.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "training/contribution.hpp"
#include "training/dataset.hpp"
#include "training/executor.hpp"
#include "training/recipe.hpp"
#include "training/state.hpp"
#include "training/team.hpp"

namespace tequio::training {

/// What a lane comes to.
struct lane_result {
    std::variant<base::byte_vector, diverged> outcome;  ///< a container of kind `lane`, or why none
    double loss = 0;  ///< mean over the steps of each step's mean loss, in nats; 0 when diverged
    /// Merkle root whose leaf i is the blob root of the flat padded parameters after step
    /// (i + 1) * trace_every(recipe); a diverged lane has the leaves it came to. Of method
    /// synchronous the only leaf is that of the flat padded gradient, as it is before encoding.
    base::digest trace;
};

/// Inner steps between two leaves of a lane's trace: max(1, inner_steps / 4).
std::uint64_t trace_every(const recipe& r);

/// The inner learning rate in float64, with t = round * inner_steps + step and total = rounds *
/// inner_steps: lr * share * ramp, multiplied from the left.
///   share = (t + 1) / warmup for t < warmup; else, with x = (t - warmup) / (total - warmup):
///   cosine: final + ((1 - final) * 0.5) * (1 + cos(pi x)); linear: 1 - (1 - final) * x; none: 1.
///   ramp = min(1, (step + 1) / ramp_steps), 1 when ramp_steps is 0.
double inner_learning_rate(const train_config& train, std::uint64_t round, std::uint64_t step);

/// What the owner of the machine lets an engine do. Nothing here changes a bit.
struct engine_options {
    std::uint64_t memory_max_bytes = 0;  ///< 0: no limit but the system's
    /// Sequences at a time; 0: the recipe's micro_batch. Another number is refused unless
    /// NUMERICS.md
    /// ("Order in a lane") makes the bits equal: both must cut the step at multiples of 256 tokens
    /// or not at all.
    std::uint64_t micro_batch = 0;
    /// Above 1: lanes run in that many slices (`choose_slices`), one after the other on this
    /// machine. At most `slices_max`.
    std::uint64_t slices = 1;
    /// Above 1: this engine has only slice `slice` of as many. Its states are of that slice's
    /// tensors, and lanes and validations need the others (`engine::join_team`).
    std::uint64_t slice_count = 1;
    std::uint64_t slice = 0;
    /// Activation recomputation, of slices: of a micro-batch in flight only what came across the
    /// cut is kept, and its forward pass is computed once more when its gradients come. Less
    /// memory, up to a third more time. Source: Chen et al. 2016, "Training Deep Nets with
    /// Sublinear Memory Cost".
    bool recompute = false;
};

/// One recipe, its data and an executor. Allocates once, in `create`; a lane in hand allocates only
/// its contribution. Not thread-safe: one caller, which uses the executor's threads inside.
class engine {
public:
    /// `data` and `init` view bytes that outlive the engine, as does `run`. `r` passed
    /// `check_recipe`. `init`: the blob that `r.model.init` names, already verified against its
    /// root; empty when the recipe draws its weights.
    /// Errors: `errc::out_of_memory`, saying how much is needed and allowed; `errc::bad_recipe` for
    /// a micro_batch that would change the bits, or more slices than the recipe has;
    /// `errc::bad_data` when `init` has not the length that the recipe says, or a value that is not
    /// finite (naming the tensor).
    static base::result<std::unique_ptr<engine>> create(const recipe& r, dataset_view data,
                                                        executor& run, engine_options options = {},
                                                        base::byte_view init = {});
    ~engine();
    engine(const engine&) = delete;
    engine& operator=(const engine&) = delete;

    /// Layout of the states: of the recipe's model, or of this engine's slice of it; lives as long
    /// as the engine.
    const state_layout& layout() const;
    /// Layout of the recipe's model, whatever this engine has of it.
    const state_layout& whole_layout() const;
    /// The other members of this slice's team, for the lanes and validations that follow; outlives
    /// them. Ensures that the engine has a slice. At member 0 they come to what a lane in one piece
    /// comes to; at the others an empty container, a loss of 0 and a trace of nothing, unless the
    /// lane diverges, which all of them learn. Errors then, beside those named below: those of the
    /// link, and `errc::bad_message` when a member sent what no slice can have computed.
    void join_team(team_link& others);
    /// Memory that this engine holds while a lane runs, the contribution included; states belong to
    /// the caller. Equal to `memory_bytes_for` with the options given.
    std::uint64_t memory_bytes() const;
    /// Asks the system to move that memory out to swap; nothing is lost, and it comes back page by
    /// page. Between two tasks of a lane too.
    void page_out() const;
    /// The same as `memory_bytes` before anything is allocated. Saturates at 2^64-1.
    static std::uint64_t memory_bytes_for(const recipe& r, unsigned threads,
                                          engine_options options = {});

    /// S(0), velocity 0. With `init`: its float32 values (little-endian, all tensors by name,
    /// without padding), |x| < 2^-48 as +0. Else each tensor as its family says (`tensor_spec`):
    /// drawn from a normal distribution or constant; element i of tensor k (in name order) is draw
    /// i of (round 0, lane 0, step k) of the stream "initialisation".
    void initial_state(state_span out) const;

    /// Asked before every micro-batch with the number of finished inner steps (or, in validation,
    /// of finished windows); false stops the work.
    using keep_going = std::function<bool(std::uint64_t finished)>;

    /// inner_steps AdamW steps from `state`, optimizer state fresh, then the outer gradient (start
    /// minus end) encoded in the recipe's codec. Ends as `diverged` at the first step whose loss,
    /// gradient or new parameters are not finite ("loss", or the first such tensor by name).
    /// With method synchronous: the gradient of the mean loss over the lane's tokens at `state`,
    /// unclipped, encoded in the recipe's codec; `diverged` as above, at step 0.
    /// Errors: `errc::stopped`; `errc::environment_changed` when a compute thread's floating-point
    /// environment is wrong at the start or end (the lane is void here, nobody's fault).
    base::result<lane_result> run_lane(state_view state, base::round_index round,
                                       base::lane_index lane, const keep_going& go_on);

    /// Mean loss over all validation windows, in nats: the float64 32-way sum of the tokens' losses
    /// in order, divided by their number. Ensures that the data has validation windows.
    /// Errors: as `run_lane`; `errc::not_finite`.
    base::result<double> validate(state_view state, const keep_going& go_on);

private:
    struct parts;
    explicit engine(std::unique_ptr<parts> p);
    std::unique_ptr<parts> parts_;
};

/// A model and batch of `tequio bench train`.
struct bench_preset {
    std::string_view name;
    model_config model;
    std::uint64_t batch = 0;
};

/// Errors: `errc::not_in_version`, saying what there is.
base::result<bench_preset> bench_preset_of(std::string_view name);
/// All presets, joined by ", ".
std::string bench_preset_names();

/// One inner step on random tokens (or examples), over and over, for a caller with a clock:
/// training reads none.
class step_bench {
public:
    /// `preset` may have another batch or context than the table says. Errors:
    /// `errc::out_of_memory`.
    static base::result<std::unique_ptr<step_bench>> create(const bench_preset& preset,
                                                            executor& run);
    ~step_bench();
    step_bench(const step_bench&) = delete;
    step_bench& operator=(const step_bench&) = delete;

    /// Forward, backward, clipping and AdamW over one batch; returns the step's loss.
    double one_step();
    std::uint64_t parameters() const;
    std::uint64_t tokens_per_step() const;
    /// 6 * parameters * tokens + 12 * layers * context * width * tokens.
    std::uint64_t flops_per_step() const;

private:
    struct parts;
    explicit step_bench(std::unique_ptr<parts> p);
    std::unique_ptr<parts> parts_;
};

}  // namespace tequio::training
