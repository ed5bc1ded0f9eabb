#include "node/worker/job_runner.hpp"

#include <malloc.h>

#include <algorithm>
#include <chrono>

#include "base/text.hpp"
#include "training/arithmetic.hpp"
#include "training/cost.hpp"
#include "training/dataset.hpp"
#include "training/errc.hpp"
#include "training/full_state.hpp"
#include "training/merge.hpp"
#include "training/slices.hpp"

namespace tequio::node {
namespace {

std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

base::result<void> verify_input(const item_input& input, std::uint32_t index) {
    // A disk can rot and a store can mix up files; a wrong input would look like a faulty node.
    if (base::blob_ref_of(input.bytes.bytes()) == input.blob) return {};
    return base::fail(training::errc::bad_contribution, "input " + std::to_string(index) +
                                                            " is not the blob " +
                                                            input.blob.text() + "; fetch it again");
}

void tell_counts(training::contribution_kind kind, const training::recipe& r,
                 const training::state_layout& layout, item_result& out) {
    const auto counts = training::counts_of(training::shape_of(kind, r, layout), out.blob);
    out.outcome.saturated = counts.saturated;
    out.outcome.flushed = counts.flushed;
    out.outcome.at_top = counts.at_top;
}

training::engine_options engine_options_of(const runner_options& options) {
    training::engine_options out;
    out.slices = options.slices;
    out.slice_count = options.slice_count;
    out.slice = options.slice;
    out.recompute = options.recompute;
    return out;
}

base::result<std::vector<memory_map>> map_blobs(const training::recipe& r,
                                                std::span<const unique_fd> files) {
    const auto refs = training::recipe_blobs(r);
    if (files.size() != refs.size()) {
        return base::fail(training::errc::bad_data, "found " + std::to_string(files.size()) +
                                                        " blobs, the recipe has " +
                                                        std::to_string(refs.size()));
    }
    std::vector<memory_map> out;
    for (std::size_t i = 0; i < refs.size(); ++i) {
        TEQUIO_TRY(auto map,
                   memory_map::of(files[i].get(), refs[i].size, memory_map::access::read));
        if (base::blob_ref_of(map.bytes()) != refs[i]) {
            return base::fail(
                training::errc::bad_data,
                std::string(i == 0 ? "the data is" : "the weights to start from are") +
                    " not the recipe's " + refs[i].text());
        }
        out.push_back(std::move(map));
    }
    return out;
}

}  // namespace

std::uint64_t job_memory_bytes(const training::recipe& r, unsigned threads, std::uint32_t kept,
                               const runner_options& options) {
    const auto cost = training::cost_of(r);
    const auto shape = state_shape_of(r, kept, options.slice, options.slice_count);
    auto bytes = training::engine::memory_bytes_for(r, threads, engine_options_of(options));
    bytes = saturating_add(bytes, state_memory::size_bytes(shape));
    // Of a sum in hand; applying a mean takes a few hundred KiB.
    const auto sum = cost.sum_bytes + cost.contribution_bytes + cost.mean_bytes;
    return saturating_add(bytes, sum / options.slice_count);
}

runner_options fitted(const training::recipe& r, unsigned threads, std::uint32_t kept,
                      runner_options options, std::uint64_t memory_max_bytes) {
    const bool divided = options.slice_count > 1 || options.slices > 1;
    if (divided && memory_max_bytes != 0 &&
        job_memory_bytes(r, threads, kept, options) > memory_max_bytes) {
        options.recompute = true;
    }
    return options;
}

job_runner::job_runner(training::recipe r, std::vector<memory_map> blobs, state_memory state,
                       compute_pool& pool, const runner_options& options)
    : recipe_(std::move(r)),
      blobs_(std::move(blobs)),
      state_(std::move(state)),
      pool_(pool),
      options_(options) {}

base::result<std::unique_ptr<job_runner>> job_runner::open(std::string_view recipe_text,
                                                           std::span<const unique_fd> files,
                                                           unique_fd state, compute_pool& pool,
                                                           const runner_options& options) {
    TEQUIO_TRY(auto recipe, training::parse_recipe(recipe_text));
    if (options.slice_count > training::slices_max(recipe)) {
        return base::fail(training::errc::bad_recipe,
                          "one of " + std::to_string(options.slice_count) +
                              " slices; the recipe's cuts allow " +
                              std::to_string(training::slices_max(recipe)));
    }
    const auto shape =
        state_shape_of(recipe, state_memory::kept_min, options.slice, options.slice_count);
    TEQUIO_TRY(auto memory,
               state_memory::map(std::move(state), training::recipe_id_of(recipe), shape));
    // More slices than there can be need nothing: the engine refuses them.
    auto possible = options;
    possible.slices = std::min(options.slices, training::slices_max(recipe));
    possible = fitted(recipe, pool.threads(), memory.kept(), possible, options.memory_max_bytes);
    auto taken = options;
    taken.recompute = possible.recompute;
    const auto needed = job_memory_bytes(recipe, pool.threads(), memory.kept(), possible);
    if (options.memory_max_bytes != 0 && needed > options.memory_max_bytes) {
        return base::fail(training::errc::out_of_memory,
                          "this job needs " + base::human_size(needed) + " of memory and " +
                              base::human_size(options.memory_max_bytes) +
                              " are allowed here; raise limits.idle.memory to take part");
    }
    TEQUIO_TRY(auto blobs, map_blobs(recipe, files));
    std::unique_ptr<job_runner> out(
        new job_runner(std::move(recipe), std::move(blobs), std::move(memory), pool, taken));
    TEQUIO_TRY(auto data, training::dataset_view::open(out->blobs_[0].bytes(), out->recipe_));
    const auto init = out->recipe_.model.init ? out->blobs_[1].bytes() : base::byte_view{};
    TEQUIO_TRY(out->engine_, training::engine::create(out->recipe_, std::move(data), pool,
                                                      engine_options_of(out->options_), init));
    const auto& layout = out->engine_->layout();
    if (!out->whole() && layout.tensors.size() * 3 > worker_tensors_max) {
        return base::fail(training::errc::bad_recipe,
                          "a slice of " + std::to_string(layout.tensors.size()) + " tensors");
    }
    auto& states = out->state_;
    if (const auto held = states.held();
        held && training::state_digest(layout, states.view()) != held->digest) {
        states.clear();
    }
    out->memory_bytes_ = needed;
    return out;
}

std::uint64_t job_runner::tokens_per_step() const {
    return recipe_.train.batch * recipe_.model.context;
}

void job_runner::page_out() const {
    engine_->page_out();
    state_.page_out();
    for (const auto& blob : blobs_) blob.page_out();
    ::malloc_trim(0);
}

base::result<item_result> job_runner::run(const compute_item& item,
                                          const item_callbacks& callbacks) {
    const auto start = std::chrono::steady_clock::now();
    std::optional<training::kernel_choice> choice;
    if (item.engine == compute_engine::reference) choice.emplace("reference");
    // A library loaded since the last item may have changed it: that voided one item, not the next.
    pool_.restore_environment();
    auto computed = compute(item, callbacks);
    if (pool_.abandoned()) return base::fail(training::errc::stopped, "stopped while parked");
    TEQUIO_TRY(auto out, std::move(computed));
    TEQUIO_CHECK(check_environment());
    const auto spent = std::chrono::steady_clock::now() - start;
    out.outcome.computed_microseconds = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(spent).count());
    if (!out.blob.empty()) out.outcome.blob = base::blob_ref_of(out.blob);
    return out;
}

base::result<void> job_runner::check_environment() const {
    if (pool_.environment_ok() && training::compute_thread_is_fit()) return {};
    return base::fail(training::errc::environment_changed,
                      "a compute thread's floating-point environment changed meanwhile: its "
                      "result is void and has to be computed again");
}

base::result<item_result> job_runner::compute(const compute_item& item,
                                              const item_callbacks& callbacks) {
    if (item.kind == compute_kind::prepare) return prepare();
    if (item.kind == compute_kind::sum || item.kind == compute_kind::sum_shard) {
        return sum(item, callbacks);
    }
    if (item.kind == compute_kind::sum_lanes) return sum_lanes(item, callbacks);
    if (item.kind == compute_kind::add_sums) return add_sums(item, callbacks);
    if (item.kind == compute_kind::join) return join(item, callbacks);
    if (item.kind == compute_kind::load) return load(item, callbacks);
    TEQUIO_CHECK(expect_round(item));
    switch (item.kind) {
        case compute_kind::lane:
            return run_lane(item, callbacks);
        case compute_kind::validation:
            return validate(item, callbacks);
        default:
            return apply(item, callbacks);
    }
}

base::result<void> job_runner::expect_round(const compute_item& item) {
    // A mean is applied again when what it led to looked wrong: from the state it started from.
    if (const auto newest = state_.held(); item.kind == compute_kind::apply && newest &&
                                           newest->round == item.round.next() &&
                                           state_.step_back()) {
        const auto before = state_.held();
        if (training::state_digest(engine_->layout(), state_.view()) != before->digest) {
            state_.clear();
            return base::fail(training::errc::bad_state,
                              "the state of round " + std::to_string(item.round.value) +
                                  " has changed in memory since it was made");
        }
    }
    const auto held = state_.held();
    // Parameters of older rounds are kept for lanes and validation; only the newest has the
    // optimizer's arrays.
    const bool here = item.kind == compute_kind::apply ? held && held->round == item.round
                                                       : state_.find(item.round).has_value();
    if (here) return {};
    return base::fail(training::errc::bad_state,
                      "an item of round " + std::to_string(item.round.value) + " while " +
                          (held ? "the state of round " + std::to_string(held->round.value)
                                : std::string("no state")) +
                          " is the newest held");
}

/// Lanes and validations of a slice are computed with the others, those of a whole model alone.
base::result<void> job_runner::join_team(const compute_item& item,
                                         const item_callbacks& callbacks) {
    if (item.team == whole()) {
        return base::fail(training::errc::bad_state,
                          whole() ? "the whole model is open, and needs no team"
                                  : "a slice is open, and needs a team");
    }
    if (item.team) engine_->join_team(*callbacks.team);
    return {};
}

base::result<item_result> job_runner::prepare() {
    engine_->initial_state(state_.next());
    return commit_next({0});
}

/// What a stranger stored: whoever asked compares the digest of what is held then.
base::result<item_result> job_runner::load(const compute_item& item,
                                           const item_callbacks& callbacks) {
    if (!whole()) return base::fail(training::errc::bad_state, "stored states are of whole models");
    TEQUIO_TRY(const auto input, callbacks.input(0));
    TEQUIO_CHECK(verify_input(input, 0));
    const auto read = training::read_full_state(engine_->layout(), training::recipe_id_of(recipe_),
                                                item.round, input.bytes.bytes(), state_.next());
    if (!read) return item_result{};  // the blob is what it is named: trying again is of no use
    return commit_next(item.round);
}

/// Names the state that was just written to the other buffer, and holds it from now on.
base::result<item_result> job_runner::commit_next(base::round_index round) {
    TEQUIO_CHECK(check_environment());
    // Sections were left out: what was written is no state.
    if (pool_.abandoned()) return base::fail(training::errc::stopped, "stopped while parked");
    item_result out;
    auto tensors = training::tensor_digests(engine_->layout(), state_.next());
    out.outcome.state_after = training::state_digest_from(engine_->layout(), tensors);
    if (!whole()) out.outcome.tensors = std::move(tensors);
    state_.commit({round, out.outcome.state_after});
    return out;
}

base::result<item_result> job_runner::run_lane(const compute_item& item,
                                               const item_callbacks& callbacks) {
    if (item.lane.value >= recipe_.train.lanes || item.round.value >= recipe_.train.rounds) {
        return base::fail(training::errc::bad_state,
                          "the recipe has no lane " + std::to_string(item.lane.value) +
                              " in round " + std::to_string(item.round.value));
    }
    TEQUIO_CHECK(join_team(item, callbacks));
    TEQUIO_TRY(auto lane, engine_->run_lane(state_.view(item.round), item.round, item.lane,
                                            callbacks.keep_going));
    item_result out;
    if (options_.slice != 0) return out;  // it stands at the first
    out.outcome.loss = lane.loss;
    out.outcome.trace = lane.trace;
    if (auto* failure = std::get_if<training::diverged>(&lane.outcome)) {
        out.outcome.divergence = compute_divergence{failure->step, std::move(failure->tensor)};
    } else {
        out.blob = std::move(std::get<base::byte_vector>(lane.outcome));
        tell_counts(training::contribution_kind::lane, recipe_, engine_->whole_layout(), out);
    }
    return out;
}

base::result<item_result> job_runner::validate(const compute_item& item,
                                               const item_callbacks& callbacks) {
    if (recipe_.data.validation_tokens == 0) {
        return base::fail(training::errc::bad_data, "this recipe has no validation");
    }
    TEQUIO_CHECK(join_team(item, callbacks));
    item_result out;
    // Windows are not inner steps: none of these counts as progress of a lane.
    const auto go_on = [&callbacks](std::uint64_t) { return callbacks.keep_going(0); };
    const auto loss = engine_->validate(state_.view(item.round), go_on);
    if (!loss && loss.error().is(training::errc::not_finite)) {
        out.outcome.divergence = compute_divergence{0, "loss"};
        return out;
    }
    TEQUIO_TRY(out.outcome.loss, loss);
    return out;
}

base::result<item_result> job_runner::sum(const compute_item& item,
                                          const item_callbacks& callbacks) {
    if (item.inputs != recipe_.train.lanes) {
        return base::fail(training::errc::incomplete_sum,
                          "a sum of " + std::to_string(item.inputs) + " lanes; the recipe has " +
                              std::to_string(recipe_.train.lanes));
    }
    const auto& layout = engine_->whole_layout();
    const bool all = item.kind == compute_kind::sum;
    const auto units = all ? training::contribution_run{0, mean_units()}
                           : training::contribution_run{item.first_unit, item.units};
    TEQUIO_CHECK(expect_units(units));
    training::summation total(recipe_, layout, units);
    for (std::uint32_t index = 0; index < item.inputs; ++index) {
        if (!callbacks.keep_going(0)) return base::fail(training::errc::stopped, "stopped");
        TEQUIO_TRY(const auto input, callbacks.input(index));
        // Of a shard's only some pieces are here; each was verified when it came.
        if (all) TEQUIO_CHECK(verify_input(input, index));
        TEQUIO_CHECK(total.add(base::lane_index{index}, input.bytes.bytes()));
    }
    if (all) {
        TEQUIO_TRY(auto finished, total.finish());
        return mean_made(std::move(finished));
    }
    item_result out;
    TEQUIO_TRY(out.blob, total.part());
    return out;
}

std::uint64_t job_runner::mean_units() const {
    return shape_of(training::contribution_kind::mean, recipe_, engine_->whole_layout()).units();
}

base::result<void> job_runner::expect_units(training::contribution_run wanted) const {
    const auto units = mean_units();
    if (wanted.count > 0 && wanted.first < units && wanted.count <= units - wanted.first) return {};
    return base::fail(training::errc::incomplete_sum,
                      "a shard beyond the mean's " + std::to_string(units) + " units");
}

/// What a group of a crew sums of its own lanes, for others to add theirs to.
base::result<item_result> job_runner::sum_lanes(const compute_item& item,
                                                const item_callbacks& callbacks) {
    const auto& which = item.sums.front();
    const auto lanes = recipe_.train.lanes;
    if (which.lanes.first >= lanes || which.lanes.count > lanes - which.lanes.first) {
        return base::fail(training::errc::incomplete_sum,
                          "sums of lanes beyond the recipe's " + std::to_string(lanes) + " lanes");
    }
    TEQUIO_CHECK(expect_units(which.units));
    training::summation total(recipe_, engine_->whole_layout(), which.units);
    for (std::uint32_t index = 0; index < item.inputs; ++index) {
        if (!callbacks.keep_going(0)) return base::fail(training::errc::stopped, "stopped");
        // Only some pieces are here; each was verified when it came.
        TEQUIO_TRY(const auto input, callbacks.input(index));
        TEQUIO_CHECK(total.add({which.lanes.first + index}, input.bytes.bytes()));
    }
    item_result out;
    TEQUIO_TRY(out.blob, total.partial(which.lanes));
    return out;
}

base::result<item_result> job_runner::add_sums(const compute_item& item,
                                               const item_callbacks& callbacks) {
    const training::contribution_run units{item.first_unit, item.units};
    TEQUIO_CHECK(expect_units(units));
    training::summation total(recipe_, engine_->whole_layout(), units);
    for (std::uint32_t index = 0; index < item.inputs; ++index) {
        if (!callbacks.keep_going(0)) return base::fail(training::errc::stopped, "stopped");
        TEQUIO_TRY(const auto input, callbacks.input(index));
        TEQUIO_CHECK(total.add_partial(item.sums[index], input.bytes.bytes()));
    }
    item_result out;
    TEQUIO_TRY(out.blob, total.part());
    return out;
}

base::result<item_result> job_runner::join(const compute_item& item,
                                           const item_callbacks& callbacks) {
    std::vector<item_input> inputs;
    std::vector<base::byte_view> parts;
    for (std::uint32_t index = 0; index < item.inputs; ++index) {
        if (!callbacks.keep_going(0)) return base::fail(training::errc::stopped, "stopped");
        TEQUIO_TRY(auto input, callbacks.input(index));
        TEQUIO_CHECK(verify_input(input, index));
        inputs.push_back(std::move(input));
    }
    for (const auto& input : inputs) parts.push_back(input.bytes.bytes());
    TEQUIO_TRY(auto joined, training::join_parts(recipe_, engine_->whole_layout(), parts));
    return mean_made(std::move(joined));
}

base::result<item_result> job_runner::mean_made(training::sum_output made) const {
    item_result out;
    out.outcome.sum = made.sum;
    out.outcome.loss = made.loss;
    out.blob = std::move(made.mean);
    tell_counts(training::contribution_kind::mean, recipe_, engine_->whole_layout(), out);
    return out;
}

base::result<item_result> job_runner::apply(const compute_item& item,
                                            const item_callbacks& callbacks) {
    TEQUIO_TRY(const auto input, callbacks.input(0));
    TEQUIO_CHECK(verify_input(input, 0));
    const auto from = state_.view();
    const auto to = state_.next();
    std::copy(from.parameters.begin(), from.parameters.end(), to.parameters.begin());
    std::copy(from.momentum.begin(), from.momentum.end(), to.momentum.begin());
    std::copy(from.second.begin(), from.second.end(), to.second.begin());
    TEQUIO_CHECK(training::apply_mean(recipe_, engine_->whole_layout(), engine_->layout(),
                                      item.round, input.bytes.bytes(), to));
    return commit_next(item.round.next());
}

}  // namespace tequio::node
