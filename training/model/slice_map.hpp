#pragma once

/// Which slice has what of the whole state's flat array: for what is put together from all of them.

#include <span>
#include <vector>

#include "training/contribution.hpp"
#include "training/model/network_part.hpp"
#include "training/round/codec.hpp"
#include "training/slices.hpp"
#include "training/state.hpp"

namespace tequio::training {

class slice_map {
public:
    /// `whole`: `layout_of(model)`; outlives the map.
    slice_map(const model_config& model, const state_layout& whole,
              std::span<const slice_range> slices);

    /// Of each tensor of the whole, in order of name: its slice.
    std::span<const std::size_t> owners() const { return owners_; }
    const state_layout& layout(std::size_t slice) const { return layouts_[slice]; }

    /// A run of the whole array that lies in one tensor.
    struct stretch {
        std::uint64_t first = 0, count = 0;  ///< elements of the whole
        std::uint64_t own = 0;               ///< where it starts in the slice's own array
    };
    /// What a slice has of a run of the whole, without padding, in order.
    std::vector<stretch> stretches(std::size_t slice, contribution_run run) const;
    /// Writes blocks of a slice, of its elements `run` (multiples of 32), where they belong in a
    /// container of the whole.
    void place(std::size_t slice, const contribution_shape& shape, contribution_run run,
               const coded_blocks& blocks, std::span<std::uint8_t> container) const;

    /// Pieces of 256 KiB that the whole array's bytes are hashed in.
    std::uint64_t pieces() const { return holders_.size(); }
    contribution_run elements_of(std::uint64_t piece) const;
    /// Slices with values in a piece, ascending; one or more.
    std::span<const std::size_t> holders(std::uint64_t piece) const { return holders_[piece]; }

private:
    const state_layout& whole_;
    std::vector<state_layout> layouts_;
    std::vector<std::size_t> owners_;
    std::vector<std::vector<std::size_t>> holders_;
};

}  // namespace tequio::training
