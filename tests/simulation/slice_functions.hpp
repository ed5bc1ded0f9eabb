#pragma once

/// A toy model that can be divided: its state is a list of tensors, each a hash; a lane needs
/// something of every tensor, so nobody gets its result without every slice, and it depends on the
/// recipe alone.

#include <map>
#include <memory>
#include <vector>

#include "tests/simulation/lane_functions.hpp"

namespace tequio::simulation {

class slice_functions final : public lane_functions {
public:
    using tensor_list = std::vector<base::digest>;

    /// tensors: at least as many as there are ever slices.
    slice_functions(const hash_job& job, std::uint32_t tensors, std::uint32_t slices_max);

    std::uint32_t tensors() const { return tensors_; }
    std::uint32_t slices_max() const { return slices_max_; }
    /// S(0) of one slice.
    tensor_list first(training::model_slice slice) const;
    tensor_list apply_slice(const tensor_list& tensors, base::byte_view mean) const;
    static base::digest slice_state(const tensor_list& tensors);
    /// Of a whole state, from the slices' lists. Errors: not every tensor once.
    base::result<base::digest> compose(const std::vector<tensor_list>& lists) const;
    /// What a slice gives to a lane, or with `lane` = `lanes()` to a validation.
    tensor_list part(const tensor_list& tensors, std::uint64_t round, std::uint64_t lane) const;
    computed lane_of(const std::vector<tensor_list>& parts, std::uint64_t round,
                     std::uint64_t lane);
    double validation_of(const std::vector<tensor_list>& parts, std::uint64_t round);

    std::uint64_t lanes() const override { return hashes_->lanes(); }
    std::uint64_t rounds() const override { return hashes_->rounds(); }
    bool validation() const override { return hashes_->validation(); }
    std::uint64_t contribution_bytes() const override { return hashes_->contribution_bytes(); }
    std::uint64_t mean_bytes() const override { return hashes_->mean_bytes(); }
    base::digest initial() override;
    computed lane(const base::digest& state, std::uint64_t round, std::uint64_t lane) override;
    double validate(const base::digest& state, std::uint64_t round) override;
    computed sum(const std::vector<base::byte_view>& contributions) override {
        return hashes_->sum(contributions);
    }
    base::digest apply(const base::digest& state, std::uint64_t round,
                       base::byte_view mean) override;
    std::uint64_t mean_units() const override { return hashes_->mean_units(); }
    training::crew_shard shard(training::contribution_run units) const override {
        return hashes_->shard(units);
    }
    computed sum_shard(const std::vector<base::byte_view>& contributions,
                       training::contribution_run units) override {
        return hashes_->sum_shard(contributions, units);
    }
    std::optional<computed> join(const std::vector<base::byte_view>& parts) override {
        return hashes_->join(parts);
    }

private:
    base::digest keep(tensor_list tensors);

    std::unique_ptr<lane_functions> hashes_;
    std::uint32_t tensors_, slices_max_;
    std::map<base::digest, tensor_list> states_;  ///< whole ones
};

}  // namespace tequio::simulation
