#pragma once

/// A mean's values tensor by tensor, decoded as they are asked for: never all of them at once.

#include <functional>
#include <span>
#include <vector>

#include "training/contribution.hpp"
#include "training/state.hpp"

namespace tequio::training {

/// Reads a mean that passed `check_contribution`. Keeps a view of the bytes.
class mean_reader {
public:
    /// Elements at a time: a chunk of the norm's rule (numerics/reduce.hpp), whole blocks.
    static constexpr std::uint64_t run_elements = 65536;

    mean_reader(const recipe& r, const state_layout& whole, base::byte_view mean);

    /// Calls `use` with every run of the tensor's values, in order: at most `run_elements` of them,
    /// the first one's place in the tensor beside. `t`: of the whole layout.
    void for_each_run(
        const tensor_spec& t,
        const std::function<void(std::uint64_t first, std::span<const float> values)>& use) const;

private:
    contribution_shape shape_;
    int window_;
    base::byte_view mean_;
};

}  // namespace tequio::training
