#include "training/engine.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "base/blob.hpp"
#include "base/ensure.hpp"
#include "base/merkle.hpp"
#include "base/text.hpp"
#include "training/errc.hpp"
#include "training/model/initial.hpp"
#include "training/model/sliced_lane.hpp"
#include "training/model/team_lane.hpp"
#include "training/model/trainer.hpp"
#include "training/numerics/environment.hpp"
#include "training/numerics/gemm.hpp"
#include "training/numerics/reduce.hpp"
#include "training/numerics/split.hpp"
#include "training/research.hpp"

namespace tequio::training {
namespace {

/// Where a lane diverged, if it did.
using lane_end = std::variant<std::monostate, diverged>;

trainer_config trainer_config_of(const recipe& r, const engine_options& options) {
    return {r.model,
            r.train.batch,
            options.micro_batch == 0 ? r.train.micro_batch : options.micro_batch,
            r.train.inner,
            !r.train.synchronous(),
            r.slices,
            options.recompute};
}

/// What a lane holds beside the arena: its contribution, and the tokens or examples in hand.
std::uint64_t bytes_beside_arena(const recipe& r, const state_layout& layout,
                                 const trainer_config& config) {
    const auto shape = shape_of(contribution_kind::lane, r, layout);
    const auto& m = r.model;
    const auto targets = sizeof(std::uint32_t) * config.micro_batch * m.context;
    // An mlp has values for tokens, and their scales. Where each sequence starts is kept too.
    const auto inputs =
        m.inputs == 0 ? targets : sizeof(float) * (config.micro_batch + 2) * m.inputs;
    return shape.size_bytes() + targets + inputs + sizeof(std::uint64_t) * config.micro_batch +
           sizeof(float) * validation_windows_of(r) * m.context;
}

std::uint64_t memory_of(const recipe& r, const state_layout& layout, unsigned threads,
                        const engine_options& options) {
    const auto config = trainer_config_of(r, options);
    std::uint64_t bytes = 0;
    if (options.slice_count > 1) {
        bytes = slice_memory_bytes(r, options.slice, options.slice_count, threads,
                                   config.micro_batch, options.recompute);
        auto beside = bytes_beside_arena(r, layout, config);
        // The container is put together at the first.
        if (options.slice != 0) {
            beside -= shape_of(contribution_kind::lane, r, layout).size_bytes();
        }
        return __builtin_add_overflow(bytes, beside, &bytes) ? ~std::uint64_t{0} : bytes;
    }
    if (options.slices > 1) {
        // The stages' own, and the container that their parts are put together in.
        bytes = bytes_beside_arena(r, layout, config);
        for (const auto& slice : slice_costs(r, options.slices, threads, config.micro_batch)) {
            const auto own = options.recompute ? slice.recompute_memory_bytes : slice.memory_bytes;
            if (__builtin_add_overflow(bytes, own, &bytes)) return ~std::uint64_t{0};
        }
        return bytes;
    }
    const trainer_plan plan(config, layout, threads);
    return __builtin_add_overflow(plan.total.total_bytes(), bytes_beside_arena(r, layout, config),
                                  &bytes)
               ? ~std::uint64_t{0}
               : bytes;
}

/// True when cutting a step into micro-batches of this many sequences joins panels exactly.
bool cuts_at_panels(const recipe& r, std::uint64_t micro_batch) {
    return micro_batch >= r.train.batch ||
           micro_batch * r.model.context % numerics::panel_length == 0;
}

base::result<void> check_micro_batch(const recipe& r, const engine_options& options) {
    const auto own = options.micro_batch;
    if (own == 0 || own == r.train.micro_batch) return {};
    if (own <= r.train.batch && cuts_at_panels(r, own) && cuts_at_panels(r, r.train.micro_batch)) {
        return {};
    }
    return fail(errc::bad_recipe, "micro_batch " + std::to_string(own) +
                                      " would change the bits of a recipe with micro_batch " +
                                      std::to_string(r.train.micro_batch) + ", batch " +
                                      std::to_string(r.train.batch) + " and context " +
                                      std::to_string(r.model.context) + "; leave it at 0");
}

base::result<void> check_slices(const recipe& r, const engine_options& options) {
    const auto most = slices_max(r);
    const auto found = options.slice_count > 1 ? options.slice_count : options.slices;
    if (found >= 1 && found <= most && options.slice < options.slice_count) return {};
    return fail(errc::bad_recipe, "slices: found " + std::to_string(found) +
                                      ", allowed: an integer from 1 to " + std::to_string(most) +
                                      ", one more than the recipe has cuts");
}

base::result<void> check_environment(executor& run) {
    // The executor may give several tasks to one thread; several times as many tasks as threads
    // make it unlikely that one is left out, and the caller's own thread is always asked.
    std::atomic<bool> all_ok = numerics::float_environment_ok();
    auto ask = [&](std::size_t, unsigned) {
        if (!numerics::float_environment_ok()) all_ok = false;
    };
    run.run(std::size_t{4} * run.threads(), ask);
    if (all_ok) return {};
    return fail(errc::environment_changed,
                "a compute thread's floating-point environment is not round-to-nearest with "
                "subnormals kept; a library linked with fast-math may have changed it");
}

}  // namespace

struct engine::parts {
    recipe r;
    state_layout whole_layout;
    dataset_view data;
    executor& run;
    base::byte_view init;  // empty: weights are drawn
    std::uint64_t memory_bytes;
    std::unique_ptr<lane_work> work;
    trainer* whole = nullptr;             // what `work` is, when not in slices
    team_lane* team = nullptr;            // what it is, when it is one slice of several
    std::vector<std::uint32_t> sequence;  // (context + 1)
    std::vector<std::uint64_t> starts;    // (micro_batch)
    std::vector<float> validation_losses;

    /// Of the states.
    const state_layout& layout() const { return team == nullptr ? whole_layout : team->layout(); }

    /// Source of sequences, or examples, that start where `start_of` says.
    template <class StartOf>
    batch_source source(StartOf start_of) {
        return [this, start_of](std::uint64_t first, const batch_span& batch) {
            const auto count = batch.targets.size() / r.model.context;
            for (std::uint64_t i = 0; i < count; ++i) starts[i] = start_of(first + i);
            if (data.holds_examples()) return read_examples(batch);
            read_sequences(batch);
        };
    }
    void read_sequences(const batch_span& batch);
    void read_examples(const batch_span& batch);

    base::result<lane_end> run_steps(base::round_index round, base::lane_index lane,
                                     const keep_going& go_on, lane_result& result);
    base::result<lane_end> run_gradient(state_view state, base::round_index round,
                                        base::lane_index lane, const keep_going& go_on,
                                        lane_result& result);
    base::result<lane_end> run_inner_steps(state_view state, base::round_index round,
                                           base::lane_index lane, const keep_going& go_on,
                                           lane_result& result);
    base::result<void> encode(lane_result& result);

    /// `research_options::carry_inner_state`: what each lane ended its last round with.
    struct inner_state {
        base::round_index next;
        std::vector<float> first, second;
    };
    std::map<base::lane_index, inner_state> carried;
    base::result<void> take_inner_state(base::round_index round, base::lane_index lane);
    void keep_inner_state(base::round_index round, base::lane_index lane);
};

void engine::parts::read_sequences(const batch_span& batch) {
    const auto context = r.model.context;
    for (std::uint64_t i = 0; i * context < batch.targets.size(); ++i) {
        data.read(starts[i], sequence);
        const auto at = static_cast<std::ptrdiff_t>(i * context);
        std::copy(sequence.begin(), sequence.end() - 1, batch.tokens.begin() + at);
        std::copy(sequence.begin() + 1, sequence.end(), batch.targets.begin() + at);
    }
}

void engine::parts::read_examples(const batch_span& batch) {
    const auto inputs = r.model.inputs;
    // A model of one narrow layer computes little more than this reads, so threads share it.
    numerics::for_pieces(batch.targets.size(), numerics::row_grain(inputs), run,
                         [&](std::size_t begin, std::size_t end) {
                             for (std::size_t i = begin; i < end; ++i) {
                                 const auto values = batch.inputs.subspan(i * inputs, inputs);
                                 batch.targets[i] = data.read_example(starts[i], values);
                             }
                         });
}

engine::engine(std::unique_ptr<parts> p) : parts_(std::move(p)) {}
engine::~engine() = default;

base::result<std::unique_ptr<engine>> engine::create(const recipe& r, dataset_view data,
                                                     executor& run, engine_options options,
                                                     base::byte_view init) {
    TEQUIO_CHECK(check_micro_batch(r, options));
    TEQUIO_CHECK(check_slices(r, options));
    auto layout = layout_of(r.model);
    if (r.model.init || !init.empty()) TEQUIO_CHECK(check_weights(layout, init));
    const auto bytes = memory_of(r, layout, run.threads(), options);
    if (options.memory_max_bytes != 0 && bytes > options.memory_max_bytes) {
        return fail(errc::out_of_memory, "a lane needs " + base::human_size(bytes) +
                                             " of memory, " +
                                             base::human_size(options.memory_max_bytes) +
                                             " may be used; raise limits.memory, or leave this job "
                                             "to larger machines");
    }
    auto p = std::make_unique<parts>(parts{r,
                                           std::move(layout),
                                           std::move(data),
                                           run,
                                           init,
                                           bytes,
                                           nullptr,
                                           nullptr,
                                           nullptr,
                                           {},
                                           {},
                                           {},
                                           {}});
    p->sequence.resize(r.model.context + 1);
    p->starts.resize(trainer_config_of(r, options).micro_batch);
    p->validation_losses.resize(validation_windows_of(r) * r.model.context);
    if (options.slice_count > 1) {
        TEQUIO_TRY(auto member,
                   team_lane::create(trainer_config_of(r, options), p->whole_layout,
                                     choose_slices(r, options.slice_count), options.slice, run));
        p->team = member.get();
        p->work = std::move(member);
        return std::unique_ptr<engine>(new engine(std::move(p)));
    }
    if (options.slices > 1) {
        TEQUIO_TRY(p->work, sliced_lane::create(trainer_config_of(r, options), p->whole_layout,
                                                choose_slices(r, options.slices), run));
        return std::unique_ptr<engine>(new engine(std::move(p)));
    }
    TEQUIO_TRY(auto whole, trainer::create(trainer_config_of(r, options), p->whole_layout, run));
    p->whole = whole.get();
    p->work = std::move(whole);
    return std::unique_ptr<engine>(new engine(std::move(p)));
}

const state_layout& engine::layout() const {
    return parts_->layout();
}

const state_layout& engine::whole_layout() const {
    return parts_->whole_layout;
}

void engine::join_team(team_link& others) {
    base::ensure(parts_->team != nullptr, "an engine of one slice has a team");
    parts_->team->join(others);
}

std::uint64_t engine::memory_bytes() const {
    return parts_->memory_bytes;
}

void engine::page_out() const {
    parts_->work->page_out();
}

std::uint64_t engine::memory_bytes_for(const recipe& r, unsigned threads, engine_options options) {
    return memory_of(r, layout_of(r.model), threads, options);
}

void engine::initial_state(state_span out) const {
    const auto& p = *parts_;
    if (p.r.model.init) return fill_from(p.whole_layout, p.layout(), p.init, out);
    fill_initial(p.whole_layout, p.layout(), p.r.train.seed, p.r.data.tokens.root, out, p.run);
}

base::result<lane_end> engine::parts::run_steps(base::round_index round, base::lane_index lane,
                                                const keep_going& go_on, lane_result& result) {
    std::vector<base::digest> leaves;
    double losses = 0;
    lane_end end;
    auto train = r.train;
    std::uint64_t steps_before = 0;
    if (active_research().carry_inner_state && round.value > 0) {
        train.inner.ramp_steps = 0;
        steps_before = round.value * train.inner_steps;
    }
    for (std::uint64_t step = 0; step < r.train.inner_steps; ++step) {
        const auto sequences = source(
            [&](std::uint64_t index) { return data.training_start(round, lane, step, index); });
        TEQUIO_TRY(auto done, work->step(steps_before + step + 1,
                                         inner_learning_rate(train, round.value, step), sequences,
                                         [&] { return go_on(step); }));
        if (done.not_finite) {
            end = diverged{step, std::move(*done.not_finite)};
            break;
        }
        losses += done.loss;
        if ((step + 1) % trace_every(r) == 0) {
            run.note({"trace", 0, 4 * layout().padded_size});
            TEQUIO_TRY(const auto root, work->root_of(lane_array::parameters));
            leaves.push_back(base::merkle_leaf(root.view()));
        }
    }
    result.trace = base::merkle_root(leaves);
    result.loss = losses / static_cast<double>(r.train.inner_steps);
    return end;
}

base::result<void> engine::parts::take_inner_state(base::round_index round, base::lane_index lane) {
    if (!active_research().carry_inner_state || round.value == 0) return {};
    const auto it = carried.find(lane);
    if (it == carried.end() || it->second.next != round) {
        return fail(errc::out_of_memory, "the inner state of lane " + std::to_string(lane.value) +
                                             " is gone with the process that held it; start the "
                                             "study again");
    }
    std::copy(it->second.first.begin(), it->second.first.end(), whole->first_moments().begin());
    std::copy(it->second.second.begin(), it->second.second.end(), whole->second_moments().begin());
    return {};
}

void engine::parts::keep_inner_state(base::round_index round, base::lane_index lane) {
    if (!active_research().carry_inner_state) return;
    auto& kept = carried[lane];
    kept.next = {round.value + 1};
    kept.first.assign(whole->first_moments().begin(), whole->first_moments().end());
    kept.second.assign(whole->second_moments().begin(), whole->second_moments().end());
}

/// Method synchronous: leaves the gradient in the trainer's array.
base::result<lane_end> engine::parts::run_gradient(state_view state, base::round_index round,
                                                   base::lane_index lane, const keep_going& go_on,
                                                   lane_result& result) {
    lane_end end;
    const auto sequences =
        source([&](std::uint64_t index) { return data.training_start(round, lane, 0, index); });
    TEQUIO_TRY(auto done, work->gradient(state.parameters, sequences, [&] { return go_on(0); }));
    std::vector<base::digest> leaves;
    if (done.not_finite) {
        end = diverged{0, std::move(*done.not_finite)};
    } else {
        run.note({"trace", 0, 4 * layout().padded_size});
        TEQUIO_TRY(const auto root, work->root_of(lane_array::gradients));
        leaves.push_back(base::merkle_leaf(root.view()));
    }
    result.trace = base::merkle_root(leaves);
    result.loss = done.loss;
    return end;
}

/// Method diloco: leaves the outer gradient in the trainer's array.
base::result<lane_end> engine::parts::run_inner_steps(state_view state, base::round_index round,
                                                      base::lane_index lane,
                                                      const keep_going& go_on,
                                                      lane_result& result) {
    run.note({"start of a lane", 0, 16 * state.parameters.size()});
    work->begin(state.parameters);
    TEQUIO_CHECK(take_inner_state(round, lane));
    TEQUIO_TRY(auto end, run_steps(round, lane, go_on, result));
    keep_inner_state(round, lane);
    if (std::holds_alternative<std::monostate>(end)) {
        work->subtract_from(state.parameters);
    }
    return end;
}

base::result<void> engine::parts::encode(lane_result& result) {
    run.note({"contribution", 0, 17 * layout().padded_size});
    auto bytes = work->encode(r, result.loss);
    if (bytes) {
        result.outcome = std::move(*bytes);
        return {};
    }
    if (!bytes.error().is(errc::not_finite)) return bytes.error();
    // Both ends are finite, their difference is not (or more than f32 takes): the last step is to
    // blame.
    result.outcome =
        diverged{r.train.inner_steps - 1, work->refused(codec_of(contribution_kind::lane, r))};
    result.loss = 0;
    return {};
}

base::result<lane_result> engine::run_lane(state_view state, base::round_index round,
                                           base::lane_index lane, const keep_going& go_on) {
    auto& p = *parts_;
    base::ensure(state.parameters.size() == p.layout().padded_size, "a state of this recipe");
    TEQUIO_CHECK(check_environment(p.run));
    lane_result result;
    const bool gradient = p.r.train.synchronous();
    TEQUIO_TRY(auto end, gradient ? p.run_gradient(state, round, lane, go_on, result)
                                  : p.run_inner_steps(state, round, lane, go_on, result));
    if (auto* d = std::get_if<diverged>(&end)) {
        result.outcome = std::move(*d);
        result.loss = 0;
    } else {
        TEQUIO_CHECK(p.encode(result));
    }
    TEQUIO_CHECK(check_environment(p.run));
    return result;
}

base::result<double> engine::validate(state_view state, const keep_going& go_on) {
    auto& p = *parts_;
    const auto windows = p.data.validation_windows();
    base::ensure(windows > 0, "validation is asked of a recipe that has it");
    base::ensure(state.parameters.size() == p.layout().padded_size, "a state of this recipe");
    TEQUIO_CHECK(check_environment(p.run));
    const auto losses = std::span(p.validation_losses).first(windows * p.r.model.context);
    std::uint64_t finished = 0;
    auto sequences = p.source([&](std::uint64_t window) {
        finished = window;
        return p.data.validation_start(window);
    });
    TEQUIO_CHECK(p.work->evaluate(
        state.parameters, windows, sequences, [&] { return go_on(finished); }, losses));
    TEQUIO_CHECK(check_environment(p.run));
    const double loss = numerics::wide_sum(losses) / static_cast<double>(losses.size());
    if (!std::isfinite(loss)) {
        return fail(errc::not_finite, "the validation loss is not finite");
    }
    return loss;
}

}  // namespace tequio::training
