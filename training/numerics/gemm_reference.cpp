#include <algorithm>

#include "training/numerics/float_bits.hpp"
#include "training/numerics/gemm.hpp"

namespace tequio::training::numerics {

void gemm_reference(const gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b,
                    matrix_out c) {
    const auto a_at = [&](std::size_t i, std::size_t p) {
        return options.form == gemm_form::tn ? a.data[p * a.stride + i] : a.data[i * a.stride + p];
    };
    const auto b_at = [&](std::size_t p, std::size_t j) {
        return options.form == gemm_form::nt ? b.data[j * b.stride + p] : b.data[p * b.stride + j];
    };
    for (std::size_t i = 0; i < shape.m; ++i) {
        for (std::size_t j = 0; j < shape.n; ++j) {
            float& out = c.data[i * c.stride + j];
            float total = options.accumulate ? out : 0.0F;
            for (std::size_t panel = 0; panel < shape.k; panel += panel_length) {
                const std::size_t end = std::min(shape.k, panel + panel_length);
                float acc = 0.0F;
                for (std::size_t p = panel; p < end; ++p) acc = fused(a_at(i, p), b_at(p, j), acc);
                total = total + acc;
            }
            if (options.bias != nullptr) total = total + options.bias[j];
            out = options.flush ? flush(total) : total;
        }
    }
}

}  // namespace tequio::training::numerics
