#pragma once

/// A lane of which this machine computes one slice, and others the rest: one stage, and a link to
/// the others' (training/team.hpp). Together their bits are those of `trainer` and `sliced_lane`;
/// the results stand at member 0, the others have none.

#include <memory>
#include <span>
#include <vector>

#include "training/model/lane_work.hpp"
#include "training/model/slice_map.hpp"
#include "training/model/sliced_lane.hpp"
#include "training/model/stage.hpp"
#include "training/model/step_tokens.hpp"
#include "training/team.hpp"

namespace tequio::training {

class team_lane final : public lane_work {
public:
    /// `config`: of the whole lane. `whole`: `layout_of` its model; outlives the lane. slices:
    /// `choose_slices`, at least two, of which this is number `index`. Errors:
    /// `errc::out_of_memory`.
    static base::result<std::unique_ptr<team_lane>> create(const trainer_config& config,
                                                           const state_layout& whole,
                                                           std::span<const slice_range> slices,
                                                           std::size_t index, executor& run);

    /// The others, for the next calls; outlives them.
    void join(team_link& others) { others_ = &others; }
    const state_layout& layout() const { return stage_->layout(); }

    // Parameters are of `layout()`, not of the whole. Errors, beside those named in lane_work.hpp:
    // `errc::bad_message` when what a member sent is nothing that a stage can have computed.

    void page_out() const override { stage_->page_out(); }
    void begin(std::span<const float> parameters) override;
    base::result<step_result> step(std::uint64_t number, double learning_rate,
                                   const batch_source& source,
                                   const std::function<bool()>& go_on) override;
    base::result<step_result> gradient(std::span<const float> parameters,
                                       const batch_source& source,
                                       const std::function<bool()>& go_on) override;
    /// losses: written at member 0; elsewhere zeros.
    base::result<void> evaluate(std::span<const float> parameters, std::uint64_t sequences,
                                const batch_source& source, const std::function<bool()>& go_on,
                                std::span<float> losses) override;
    /// Of all members together at member 0; elsewhere zero.
    base::result<base::digest> root_of(lane_array which) override;
    void subtract_from(std::span<const float> start) override;
    /// Empty elsewhere than at member 0.
    base::result<base::byte_vector> encode(const recipe& r, double loss) override;
    std::string refused(contribution_codec codec) const override;

private:
    team_lane(const trainer_config& config, const state_layout& whole,
              std::span<const slice_range> slices, std::size_t index);

    bool first() const { return index_ == 0; }  ///< and so the one that leads
    bool last() const { return index_ + 1 == count_; }
    team_tag tag(team_word word, std::uint64_t part = 0) const { return {step_, word, part}; }
    base::result<void> send(std::size_t to, const team_tag& what, base::byte_vector bytes);
    base::result<team_message> receive(std::size_t from, const team_tag& what, std::uint64_t size);
    /// To every other member.
    base::result<void> tell_all(const team_tag& what, const base::byte_vector& bytes);
    base::error senseless(std::size_t member, const team_tag& what);

    /// A validation, of which several batches are under way at a time.
    struct evaluation {
        const batch_source& source;
        std::uint64_t sequences = 0, batches = 0;
        std::uint64_t lag = 0;  ///< batches that go forward before the first one's losses come
        std::span<float> losses;
    };
    batch_view windows(const evaluation& e, std::uint64_t batch);
    base::result<void> send_rows_of(const evaluation& e, std::uint64_t batch);
    base::result<void> take_losses_of(const evaluation& e, std::uint64_t batch);
    base::result<void> evaluate_batch(const evaluation& e, std::uint64_t number);
    base::result<void> share_rows(std::span<const std::uint32_t> tokens);
    base::result<void> send_rows(std::span<const std::uint32_t> tokens);
    base::result<void> run_pipeline(const std::function<bool()>& go_on);
    base::result<void> go_forward(const batch_view& batch, std::uint64_t m);
    base::result<void> go_backward(const batch_view& batch, std::uint64_t m);
    base::result<void> share_row_gradients(double loss);
    /// Losses and gradients of a batch, then the square norm of all members' gradients.
    base::result<step_result> run_batch(const batch_source& source,
                                        const std::function<bool()>& go_on, double& squares);
    base::result<void> exchange_sums(step_result& result, double& squares);
    base::result<void> exchange_updates(step_result& result, const std::optional<std::string>& own);
    std::uint32_t index_of(const std::optional<std::string>& tensor) const;
    std::optional<std::string> name_of(std::uint32_t tensor) const;
    base::byte_vector values_in(lane_array which, contribution_run piece) const;
    base::result<void> send_trace(lane_array which);
    base::result<base::digest> gather_trace(lane_array which);
    base::result<void> send_blocks(const recipe& r);
    base::result<void> gather_blocks(const recipe& r, std::size_t member,
                                     contribution_header& facts, std::span<std::uint8_t> container);

    trainer_config config_;
    const state_layout& whole_;
    slice_map map_;
    std::size_t index_, count_;
    std::unique_ptr<stage> stage_;
    team_link* others_ = nullptr;
    std::uint64_t step_ = 0;
    std::optional<std::string> refused_;
    step_tokens tokens_;
};

}  // namespace tequio::training
