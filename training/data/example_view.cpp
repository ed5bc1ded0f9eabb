// What a dataset_view does with the examples of an mlp; the layout stands at `data_config`.

#include <bit>
#include <cstring>

#include "base/ensure.hpp"
#include "training/dataset.hpp"
#include "training/errc.hpp"
#include "training/numerics/float_bits.hpp"

namespace tequio::training {
namespace {

using numerics::flush_subnormal;

constexpr std::size_t label_size_bytes = sizeof(std::uint32_t);

static_assert(std::endian::native == std::endian::little, "values are taken straight from memory");

/// A word at any alignment.
template <class Word>
Word load(const std::uint8_t* at) {
    Word word;
    std::memcpy(&word, at, sizeof word);
    return word;
}

/// `value` is not subnormal. The product is made in float64, where it is exact and normal: a
/// float32 product that underflows costs a hundred times as much, and data may be made of them.
float scaled(float value, float shift, float factor) {
    constexpr double smallest = numerics::smallest_operand;
    const double product =
        static_cast<double>(flush_subnormal(value - shift)) * static_cast<double>(factor);
    return product > -smallest && product < smallest ? 0.0F : static_cast<float>(product);
}

base::error not_finite(const std::string& what) {
    return fail(errc::bad_data,
                "data: " + what + " is not a finite number, or is none once shifted and scaled");
}

}  // namespace

example_scales example_scales_of(base::byte_view blob, std::uint64_t inputs) {
    base::ensure(blob.size() / (2 * sizeof(float)) >= inputs, "a blob of examples has its scales");
    example_scales out;
    const auto* at = blob.data();
    for (auto* scales : {&out.shifts, &out.factors}) {
        scales->reserve(inputs);
        for (std::uint64_t j = 0; j < inputs; ++j, at += sizeof(float)) {
            scales->push_back(flush_subnormal(load<float>(at)));
        }
    }
    return out;
}

base::byte_view dataset_view::example(std::uint64_t index) const {
    const auto inputs = scales_.shifts.size();
    const auto stride = label_size_bytes + inputs * config_.token_bytes;
    return blob_.subspan(2 * sizeof(float) * inputs + index * stride, stride);
}

base::result<void> dataset_view::open_examples(const model_config& model) {
    const auto inputs = model.inputs;
    scales_ = example_scales_of(blob_, inputs);
    const auto& [shifts, factors] = scales_;
    for (std::uint64_t j = 0; j < inputs; ++j) {
        // Rounding keeps order, so a byte's values between the two ends are finite too.
        const float low = scaled(0, shifts[j], factors[j]);
        const float high = scaled(255, shifts[j], factors[j]);
        const bool usable =
            numerics::finite(shifts[j]) && numerics::finite(factors[j]) &&
            (config_.token_bytes != 1 || (numerics::finite(low) && numerics::finite(high)));
        if (!usable) return not_finite("the scale of value " + std::to_string(j));
    }
    std::vector<float> values(inputs);
    for (std::uint64_t i = 0; i < config_.token_count; ++i) {
        const auto label = load<std::uint32_t>(example(i).data());
        if (label >= model.vocabulary) {
            return fail(errc::bad_data, "data: the label of example " + std::to_string(i) + " is " +
                                            std::to_string(label) + ", the model has " +
                                            std::to_string(model.vocabulary) + " classes");
        }
        if (config_.token_bytes == 1) continue;
        (void)read_example(i, values);
        for (std::uint64_t j = 0; j < inputs; ++j) {
            if (numerics::finite(values[j])) continue;
            return not_finite("value " + std::to_string(j) + " of example " + std::to_string(i));
        }
    }
    return {};
}

std::uint32_t dataset_view::read_example(std::uint64_t index, std::span<float> values) const {
    base::ensure(
        index < config_.token_count && !values.empty() && values.size() == scales_.shifts.size(),
        "this example exists");
    const auto* at = example(index).data();
    const auto* from = at + label_size_bytes;
    const float* shift = scales_.shifts.data();
    const float* factor = scales_.factors.data();
    if (config_.token_bytes == 1) {
        for (std::size_t j = 0; j < values.size(); ++j) {
            values[j] = scaled(static_cast<float>(from[j]), shift[j], factor[j]);
        }
    } else {
        for (std::size_t j = 0; j < values.size(); ++j) {
            const float value = flush_subnormal(load<float>(from + j * sizeof(float)));
            values[j] = scaled(value, shift[j], factor[j]);
        }
    }
    return load<std::uint32_t>(at);
}

}  // namespace tequio::training
