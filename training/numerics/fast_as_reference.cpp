#include <cstring>

#include "training/numerics/adamw.hpp"
#include "training/numerics/attention.hpp"
#include "training/numerics/cross_entropy.hpp"
#include "training/numerics/elementwise.hpp"
#include "training/numerics/embedding.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/gelu.hpp"
#include "training/numerics/gemm.hpp"
#include "training/numerics/layernorm.hpp"
#include "training/numerics/math.hpp"
#include "training/numerics/mxint8.hpp"
#include "training/numerics/reduce.hpp"

// Kernels that have no vector form yet.
namespace tequio::training::numerics {

bool mxint8_encode(std::span<const float> values, int window, std::span<std::uint8_t> scales,
                   std::span<std::int8_t> codes, mx_counts& counts) {
    return mxint8_encode_reference(values, window, scales, codes, counts);
}
void mxint8_decode(std::span<const std::uint8_t> scales, std::span<const std::int8_t> codes,
                   int window, std::span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        const int b = window + scales[i / mx_block];
        values[i] = static_cast<float>(codes[i]) *
                    std::bit_cast<float>(static_cast<std::uint32_t>(b + 127) << 23);
    }
}
void mxint8_accumulate(std::span<const std::uint8_t> scales, std::span<const std::int8_t> codes,
                       std::span<std::int64_t> sums) {
    for (std::size_t i = 0; i < sums.size(); ++i) {
        sums[i] += std::int64_t{codes[i]} * (std::int64_t{1} << scales[i / mx_block]);
    }
}

}  // namespace tequio::training::numerics
