#pragma once

/// What an engine asks of whoever computes a lane, in one piece or in slices: steps, and the arrays
/// that they leave, in the order of the whole layout.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/bytes.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "training/contribution.hpp"
#include "training/model/network.hpp"
#include "training/numerics/adamw.hpp"
#include "training/recipe.hpp"

namespace tequio::training {

/// What one step came to.
struct step_result {
    double loss = 0;  ///< mean over the step's tokens, nats
    /// "loss" or the name of the first tensor, by name, whose gradient or new values are not
    /// finite.
    std::optional<std::string> not_finite;
};

/// Fills a batch with sequences (or examples) first, first + 1, ...
using batch_source = std::function<void(std::uint64_t first, const batch_span& batch)>;

/// The arrays that a lane leaves.
enum class lane_array { parameters, gradients };

/// Scalars of AdamW's step `number`, counted from 1, for gradients of this square norm.
numerics::adamw_scalars step_scalars(const inner_config& inner, double squares,
                                     std::uint64_t number, double learning_rate);

/// The root of `base::blob_ref_of`, pieces shared out among the threads.
base::digest blob_root(base::byte_view bytes, executor& run);

/// out[i] = a[i] - b[i]; out may be either.
void subtract(std::span<const float> a, std::span<const float> b, std::span<float> out,
              executor& run);

/// Not thread-safe.
class lane_work {
public:
    virtual ~lane_work() = default;

    /// As `arena::page_out`.
    virtual void page_out() const = 0;
    /// Starts a lane: copies the parameters (padded_size floats), clears the moments.
    virtual void begin(std::span<const float> parameters) = 0;
    /// One step, the `number`-th since `begin`, counted from 1. `go_on` is asked before each
    /// micro-batch. Errors: `errc::stopped`; the parameters are then those before the step.
    virtual base::result<step_result> step(std::uint64_t number, double learning_rate,
                                           const batch_source& source,
                                           const std::function<bool()>& go_on) = 0;
    /// Forward and backward alone, at `parameters` (padded_size): the mean loss, and as the
    /// gradients that of the mean loss, unclipped. Errors: `errc::stopped`.
    virtual base::result<step_result> gradient(std::span<const float> parameters,
                                               const batch_source& source,
                                               const std::function<bool()>& go_on) = 0;
    /// Losses of `sequences` sequences from the source, at `parameters`. losses: (sequences *
    /// context), written. Errors: `errc::stopped`.
    virtual base::result<void> evaluate(std::span<const float> parameters, std::uint64_t sequences,
                                        const batch_source& source,
                                        const std::function<bool()>& go_on,
                                        std::span<float> losses) = 0;

    /// Blob root of the little-endian bytes of an array (padded_size floats). Errors: of a team's
    /// member, `errc::stopped`.
    virtual base::result<base::digest> root_of(lane_array which) = 0;
    /// gradients[i] = start[i] - parameters[i]: the outer gradient. start: (padded_size).
    virtual void subtract_from(std::span<const float> start) = 0;
    /// The gradients as a lane's container. Errors: `errc::not_finite`; `refused` finds the tensor.
    virtual base::result<base::byte_vector> encode(const recipe& r, double loss) = 0;
    /// The first tensor, by name, with a gradient that the codec refuses; "loss" without one.
    virtual std::string refused(contribution_codec codec) const = 0;
};

}  // namespace tequio::training
