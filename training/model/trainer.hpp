#pragma once

/// One inner step: forward and backward over micro-batches, clipping, AdamW; or its gradient alone.
/// Knows neither rounds nor data files; lanes and the throughput measurement are built on it.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "training/executor.hpp"
#include "training/model/arena.hpp"
#include "training/model/lane_work.hpp"
#include "training/model/network.hpp"
#include "training/recipe.hpp"
#include "training/state.hpp"

namespace tequio::training {

/// What a trainer must know.
struct trainer_config {
    model_config model;
    std::uint64_t batch = 0;        ///< sequences a step
    std::uint64_t micro_batch = 0;  ///< sequences at a time, at most `batch`
    inner_config inner;
    /// False: gradients alone are wanted, so neither parameters nor moments are kept.
    bool updates = true;
    slices_config slices = {};
    /// Of stages: see `engine_options::recompute`.
    bool recompute = false;
};

/// Everything a trainer keeps, planned. Sizes in floats: P = padded_size of the layout.
struct trainer_plan {
    trainer_plan(const trainer_config& config, const state_layout& layout, unsigned threads);

    arena_plan total;
    arena_slice gradients;                  ///< (P)
    arena_slice parameters, first, second;  ///< (P) each, AdamW's moments; (0) without updates
    arena_slice losses;                     ///< (batch * context)
    std::unique_ptr<network_plan> model;
};

/// All of a model on one machine.
class trainer final : public lane_work {
public:
    /// Errors: `errc::out_of_memory`.
    static base::result<std::unique_ptr<trainer>> create(const trainer_config& config,
                                                         const state_layout& layout, executor& run);

    void page_out() const override { memory_.page_out(); }
    void begin(std::span<const float> parameters) override;
    base::result<step_result> step(std::uint64_t number, double learning_rate,
                                   const batch_source& source,
                                   const std::function<bool()>& go_on) override;
    base::result<step_result> gradient(std::span<const float> parameters,
                                       const batch_source& source,
                                       const std::function<bool()>& go_on) override;
    base::result<void> evaluate(std::span<const float> parameters, std::uint64_t sequences,
                                const batch_source& source, const std::function<bool()>& go_on,
                                std::span<float> losses) override;
    base::result<base::digest> root_of(lane_array which) override;
    void subtract_from(std::span<const float> start) override;
    base::result<base::byte_vector> encode(const recipe& r, double loss) override;
    std::string refused(contribution_codec codec) const override;

    /// (padded_size): the parameters now.
    std::span<const float> parameters() const { return memory_.floats(plan_.parameters); }
    /// (padded_size) each: AdamW's moments now.
    std::span<float> first_moments() { return memory_.floats(plan_.first); }
    std::span<float> second_moments() { return memory_.floats(plan_.second); }
    /// (padded_size): the last step's gradients before clipping; free to be overwritten between
    /// steps.
    std::span<float> gradients() const { return memory_.floats(plan_.gradients); }

private:
    trainer(const trainer_config& config, const state_layout& layout, trainer_plan plan,
            arena memory, executor& run);
    base::result<double> run_batch(std::span<const float> parameters, const batch_source& source,
                                   const std::function<bool()>& go_on);
    std::optional<std::string> update(std::uint64_t number, double learning_rate);
    batch_view next_batch(std::uint64_t first, std::uint64_t sequences, const batch_source& source);

    trainer_config config_;
    const state_layout& layout_;
    trainer_plan plan_;
    arena memory_;
    executor& run_;
    std::unique_ptr<network> model_;
    std::vector<std::uint32_t> tokens_, targets_;  // (micro_batch, context); no tokens for an mlp
    std::vector<float> inputs_;                    // (micro_batch, inputs), for an mlp
};

}  // namespace tequio::training
