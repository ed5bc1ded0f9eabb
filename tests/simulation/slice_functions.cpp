#include "tests/simulation/slice_functions.hpp"

#include <algorithm>
#include <string>

#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "training/errc.hpp"

namespace tequio::simulation {

using namespace training;

namespace {

base::digest hash_all(const slice_functions::tensor_list& list) {
    base::sha256_stream all;
    for (const auto& t : list) all.add(t.view());
    return all.finish();
}

slice_functions::tensor_list joined(const std::vector<slice_functions::tensor_list>& lists) {
    slice_functions::tensor_list out;
    for (const auto& list : lists) out.insert(out.end(), list.begin(), list.end());
    return out;
}

}  // namespace

slice_functions::slice_functions(const hash_job& job, std::uint32_t tensors,
                                 std::uint32_t slices_max)
    : hashes_(make_hash_functions(job)), tensors_(tensors), slices_max_(slices_max) {}

slice_functions::tensor_list slice_functions::first(model_slice slice) const {
    tensor_list out;
    const auto end = (slice.index + 1) * tensors_ / slice.count;
    for (auto i = slice.index * tensors_ / slice.count; i < end; ++i) {
        out.push_back(hash_of("tensor", {}, i, 0));
    }
    return out;
}

slice_functions::tensor_list slice_functions::apply_slice(const tensor_list& tensors,
                                                          base::byte_view mean) const {
    const auto name = base::sha256(mean);
    tensor_list out;
    for (const auto& t : tensors) {
        out.push_back(hash_all({t, name}));
    }
    return out;
}

base::digest slice_functions::slice_state(const tensor_list& tensors) {
    return hash_all(tensors);
}

base::result<base::digest> slice_functions::compose(const std::vector<tensor_list>& lists) const {
    const auto all = joined(lists);
    if (all.size() != tensors_) {
        return fail(errc::bad_message, "the slices do not have every tensor once");
    }
    // In order of name: "10" comes before "2", so that slices are no runs of it.
    std::vector<std::pair<std::string, base::digest>> named;
    for (std::size_t i = 0; i < all.size(); ++i) named.emplace_back(std::to_string(i), all[i]);
    std::sort(named.begin(), named.end());
    tensor_list sorted;
    for (const auto& [name, t] : named) sorted.push_back(t);
    return hash_all(sorted);
}

slice_functions::tensor_list slice_functions::part(const tensor_list& tensors, std::uint64_t round,
                                                   std::uint64_t lane) const {
    tensor_list out;
    for (const auto& t : tensors) out.push_back(hash_of("part", t.view(), round, lane));
    return out;
}

computed slice_functions::lane_of(const std::vector<tensor_list>& parts, std::uint64_t round,
                                  std::uint64_t lane) {
    const auto all = joined(parts);
    base::ensure(all.size() == tensors_, "a lane needs every slice's part");
    return hashes_->lane(hash_all(all), round, lane);
}

double slice_functions::validation_of(const std::vector<tensor_list>& parts, std::uint64_t round) {
    const auto all = joined(parts);
    base::ensure(all.size() == tensors_, "a validation needs every slice's part");
    return hashes_->validate(hash_all(all), round);
}

base::digest slice_functions::keep(tensor_list tensors) {
    const auto state = compose({tensors});
    base::ensure(state.has_value(), "a whole state has every tensor");
    states_.emplace(*state, std::move(tensors));
    return *state;
}

base::digest slice_functions::initial() {
    return keep(first({0, 1}));
}

computed slice_functions::lane(const base::digest& state, std::uint64_t round, std::uint64_t lane) {
    return lane_of({part(states_.at(state), round, lane)}, round, lane);
}

double slice_functions::validate(const base::digest& state, std::uint64_t round) {
    return validation_of({part(states_.at(state), round, lanes())}, round);
}

base::digest slice_functions::apply(const base::digest& state, std::uint64_t,
                                    base::byte_view mean) {
    return keep(apply_slice(states_.at(state), mean));
}

}  // namespace tequio::simulation
