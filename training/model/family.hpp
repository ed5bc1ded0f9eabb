#pragma once

/// The families of models, and what each decides: tensors, their number and first values, the
/// network. Adding one means a file of its own and a line in family.cpp.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "training/model/network.hpp"
#include "training/model/network_part.hpp"
#include "training/recipe.hpp"
#include "training/state.hpp"

namespace tequio::training {

/// Gathers the tensors of a model in any order.
class tensor_list {
public:
    /// A tensor drawn from normal(0, deviation), of 2 dimensions.
    void drawn(std::string name, std::vector<std::uint64_t> shape, double deviation);
    /// A vector of `size` values that all start at `value`.
    void constant(std::string name, std::uint64_t size, float value);
    /// name.weight and name.bias of a normalisation: 1 and 0.
    void norm(const std::string& name, std::uint64_t size);

    std::vector<tensor_spec> take() { return std::move(tensors_); }

private:
    std::vector<tensor_spec> tensors_;
};

/// Sequences that a network must take.
struct batch_sizes {
    std::uint64_t at_a_time = 0;  ///< at most
    std::uint64_t step = 0;       ///< in all micro-batches of a step
};

/// One family. `model` is within the bounds of `recipe_limits` wherever it is asked for.
struct model_family {
    std::string_view name;
    /// Number of values in `tensors`, without building the list.
    unsigned __int128 (*parameters)(const model_config& model);
    void (*tensors)(const model_config& model, tensor_list& out);
    /// A network for batches of these sizes. When not training, layers share one
    /// set of buffers and there are no gradients. Sizes saturate.
    std::unique_ptr<network_plan> (*plan)(const model_config& model, const network_part& part,
                                          const batch_sizes& sizes, bool training, unsigned threads,
                                          arena_plan& plan);
    /// The layer whose stage has the tensor called `name` of such a model. A tied embedding goes
    /// with the head. Null: the family is not divided.
    std::uint64_t (*layer_of)(const model_config& model, std::string_view name);
};

/// The number that follows `prefix` at the start of a tensor's name; nullopt without the prefix.
std::optional<std::uint64_t> number_after(std::string_view prefix, std::string_view name);

/// The tensors of a part of a model, laid out as `layout_of` lays out all.
state_layout layout_of_part(const model_config& model, const network_part& part);

/// nullptr when this version has no such family.
const model_family* find_family(std::string_view name);
/// Ensures that there is one: the recipe was checked.
const model_family& family_of(const model_config& model);

/// GPT-2 (training/model/gpt2.hpp).
extern const model_family gpt2_family;
/// Llama (training/model/llama.hpp).
extern const model_family llama_family;
/// A classifier of examples (training/model/mlp.hpp).
extern const model_family mlp_family;

}  // namespace tequio::training
