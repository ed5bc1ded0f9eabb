#pragma once

/// One slice of a lane at work: forward and backward of its layers for one micro-batch at a time,
/// its parameters, optimizer state and part of the contribution. What other slices must know goes
/// in messages: activations and gradients across the cuts (numerics/cut_format.hpp has the bytes),
/// rows of a tied embedding and their gradients, each tensor's sum of squares. Pure: who carries
/// the messages is the caller's business.
///
/// A step, for every stage: `begin_step`; with a tied embedding `rows` of the last one to
/// `take_rows` of the first; `forward` and `backward` in the order of `one_forward_one_backward`;
/// `loss` of the last, which must be finite; with a tied embedding `row_gradients` of the first to
/// `add_row_gradients` of the last; `square_sums` of all, added in order of tensor name; `update`.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "training/contribution.hpp"
#include "training/executor.hpp"
#include "training/model/arena.hpp"
#include "training/model/network.hpp"
#include "training/model/network_part.hpp"
#include "training/model/trainer.hpp"
#include "training/state.hpp"

namespace tequio::training {

/// Which slice of a lane, and how it works.
struct stage_config {
    trainer_config lane;  ///< of the whole lane, with its cuts
    std::uint64_t index = 0, count = 1;
    std::uint64_t first = 0, end = 0;  ///< layers

    network_part part() const;
    /// Micro-batches between their forward and their backward pass, at most.
    std::uint64_t in_flight() const;
    /// True when the forward pass is computed again, because others came in between.
    bool recomputes() const { return lane.recompute && in_flight() > 1; }
};

/// Everything a stage keeps, planned. P = padded_size of `layout_of_part`.
struct stage_plan {
    stage_plan(const stage_config& config, const state_layout& layout, unsigned threads);

    arena_plan total;
    arena_slice gradients, parameters;  ///< (P) each
    arena_slice first, second;          ///< (P) each, AdamW's moments; (0) without updates
    arena_slice losses;                 ///< (batch * context); of the last stage
    arena_slice border;                 ///< (micro_batch * context, width): what came across a cut
    /// What came across it of each micro-batch in flight, as it came; if that is computed again.
    std::vector<arena_slice> came;
    std::unique_ptr<network_plan> model;
};

/// Blocks of a stage's part of the contribution, tensor after tensor.
struct coded_part {
    base::byte_vector scales, codes;
    contribution_counts counts;
};

/// Not thread-safe.
class stage {
public:
    /// Errors: `errc::out_of_memory`.
    static base::result<std::unique_ptr<stage>> create(const stage_config& config, executor& run);
    /// Memory of a stage while a lane runs, with its part of the contribution and a message each
    /// way. Saturates.
    static std::uint64_t memory_bytes_for(const stage_config& config, contribution_codec codec,
                                          unsigned threads);

    const state_layout& layout() const { return layout_; }
    void page_out() const { memory_.page_out(); }

    /// Copies this part of the parameters (flat, in `whole`'s layout). `flushed`: as a lane of
    /// diloco starts, with the moments cleared.
    void load(const state_layout& whole, std::span<const float> parameters, bool flushed);
    /// Copies what this part has of the elements `run` of an array in `whole`'s layout. out:
    /// (run.count); the rest is left.
    void copy_out(lane_array which, const state_layout& whole, contribution_run run,
                  std::span<float> out) const;

    /// An array in `layout()`.
    std::span<const float> values(lane_array which) const { return array(which); }

    /// Bytes of a message of activations, or of gradients, of this batch.
    std::uint64_t border_bytes(const batch_view& batch) const;
    /// Bytes of `rows()`, and of `row_gradients()`, of the step that was begun.
    std::uint64_t row_message_bytes() { return model_->share()->message_floats() * sizeof(float); }

    /// Before a step, or a batch of validation: all its tokens.
    void begin_step(std::span<const std::uint32_t> tokens);
    /// True where the table of a tied embedding is shared with another stage.
    bool shares_embedding() { return model_->share() != nullptr; }
    /// Of the last stage: (rows, width) of the step's tokens, for `take_rows` of the first.
    std::vector<float> rows();
    /// Errors: `errc::bad_message` for another size.
    base::result<void> take_rows(std::span<const float> rows);

    /// in: the message from the stage before; empty at the first. Returns that for the next; empty
    /// at the last. Errors: `errc::bad_message` when `in` is no message of such values.
    base::result<base::byte_vector> forward(const batch_view& batch, std::uint64_t micro_batch,
                                            base::byte_view in);
    /// in: the message from the stage behind; empty at the last. Returns that for the stage before;
    /// empty at the first. Errors: as above.
    base::result<base::byte_vector> backward(const batch_view& batch, std::uint64_t micro_batch,
                                             base::byte_view in);
    /// Of the last stage, after `forward`: each target's loss, without a backward pass.
    void evaluate(const batch_view& batch, std::span<float> losses);
    /// Of the last stage, after all backward passes: the mean loss of the step.
    double loss() const;

    /// Of the first stage: gradients of the rows, for `add_row_gradients` of the last.
    std::vector<float> row_gradients();
    /// Errors: `errc::bad_message` for another size.
    base::result<void> add_row_gradients(std::span<const float> gradients);

    /// Of each tensor of `layout()`: the sum of squares of its gradient.
    std::vector<double> square_sums() const;
    /// AdamW of this part, with the square norm of all parts. The first tensor whose new values are
    /// not finite.
    std::optional<std::string> update(double squares, std::uint64_t number, double learning_rate);

    /// gradients = start - parameters. start: flat, in `whole`'s layout.
    void subtract_from(const state_layout& whole, std::span<const float> start);
    /// The gradients in a codec. Errors: `errc::not_finite`.
    base::result<coded_part> encode(contribution_codec codec, int window) const;
    /// The first tensor with a gradient that the codec refuses.
    std::optional<std::string> refused(contribution_codec codec) const;

private:
    stage(const stage_config& config, state_layout layout, stage_plan plan, arena memory,
          executor& run);
    std::span<float> array(lane_array which) const;
    /// What came across a cut, as values: (tokens, width).
    base::result<std::span<const float>> read(base::byte_view in, std::size_t tokens,
                                              const char* what, std::uint64_t micro_batch);
    base::byte_vector write(std::span<const float> values) const;
    base::result<void> go_forward(const batch_view& batch, std::uint64_t micro_batch,
                                  base::byte_view in);
    /// Leaves in the network's slot what `go_forward` left there.
    base::result<void> go_forward_again(const batch_view& batch, std::uint64_t micro_batch);

    stage_config config_;
    state_layout layout_;
    stage_plan plan_;
    arena memory_;
    executor& run_;
    std::unique_ptr<stage_network> model_;
    std::uint64_t latest_ = 0;  ///< micro-batch that went forward last
};

}  // namespace tequio::training
