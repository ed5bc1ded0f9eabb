#include "training/model/family.hpp"

#include <array>
#include <utility>

#include "base/ensure.hpp"
#include "base/text.hpp"

namespace tequio::training {
namespace {

constexpr std::array<const model_family*, 3> families{&gpt2_family, &llama_family, &mlp_family};

tensor_spec spec_of(std::string name, std::vector<std::uint64_t> shape) {
    tensor_spec t;
    t.name = std::move(name);
    t.size = 1;
    for (const auto n : shape) t.size *= n;
    t.decay = shape.size() >= 2;
    t.shape = std::move(shape);
    return t;
}

}  // namespace

void tensor_list::drawn(std::string name, std::vector<std::uint64_t> shape, double deviation) {
    auto t = spec_of(std::move(name), std::move(shape));
    t.initial_deviation = deviation;
    tensors_.push_back(std::move(t));
}

void tensor_list::constant(std::string name, std::uint64_t size, float value) {
    auto t = spec_of(std::move(name), {size});
    t.initial_value = value;
    tensors_.push_back(std::move(t));
}

void tensor_list::norm(const std::string& name, std::uint64_t size) {
    constant(name + ".weight", size, 1.0F);
    constant(name + ".bias", size, 0.0F);
}

std::optional<std::uint64_t> number_after(std::string_view prefix, std::string_view name) {
    if (!name.starts_with(prefix)) return std::nullopt;
    name.remove_prefix(prefix.size());
    return base::parse_u64(name.substr(0, name.find('.')));
}

const model_family* find_family(std::string_view name) {
    for (const auto* family : families) {
        if (family->name == name) return family;
    }
    return nullptr;
}

const model_family& family_of(const model_config& model) {
    const auto* family = find_family(model.family);
    base::ensure(family != nullptr, "a checked recipe has a known family");
    return *family;
}

}  // namespace tequio::training
