#pragma once

/// A lane in slices, all of them on this machine: the stages of a team, one after the other in the
/// order in which their messages come. Its bits are those of `trainer`; what it costs beside one is
/// the messages, and the activations of micro-batches in flight.

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "training/model/lane_work.hpp"
#include "training/model/slice_map.hpp"
#include "training/model/stage.hpp"
#include "training/model/step_tokens.hpp"
#include "training/slices.hpp"

namespace tequio::training {

/// All tensors' sums of squares, added from +0 in order of name, which is the order of the whole
/// norm. parts[s]: of stage s's tensors, in order of name; owners[i]: the stage of tensor i of all.
/// Stops before a sum that is not finite.
struct added_squares {
    double total = 0;
    std::size_t tensors = 0;  ///< added; owners.size() if all are finite
};
added_squares add_in_order(std::span<const std::vector<double>> parts,
                           std::span<const std::size_t> owners);

class sliced_lane final : public lane_work {
public:
    /// `config`: of the whole lane. `layout`: `layout_of` its model; outlives the lane. slices:
    /// `choose_slices`, at least two. Errors: `errc::out_of_memory`.
    static base::result<std::unique_ptr<sliced_lane>> create(const trainer_config& config,
                                                             const state_layout& layout,
                                                             std::span<const slice_range> slices,
                                                             executor& run);

    void page_out() const override;
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

private:
    sliced_lane(const trainer_config& config, const state_layout& layout,
                std::span<const slice_range> slices);
    base::result<void> read_step(const batch_source& source, const std::function<bool()>& go_on);
    base::result<void> share_rows(std::span<const std::uint32_t> tokens);
    base::result<void> run_pipeline(const std::function<bool()>& go_on);
    base::result<double> run_batch(const batch_source& source, const std::function<bool()>& go_on);
    /// The square norm of all gradients, or the first tensor with one that is not finite.
    std::optional<std::string> add_squares(double& squares) const;

    trainer_config config_;
    const state_layout& layout_;
    slice_map map_;
    std::vector<std::unique_ptr<stage>> stages_;
    step_tokens step_;
};

}  // namespace tequio::training
