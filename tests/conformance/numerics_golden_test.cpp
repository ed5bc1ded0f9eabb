// Golden digests of the exact kernels: what they give on every dispatch target, and what their
// plain references give, is written in tests/vectors/exact1_kernels.txt. TEQUIO_WRITE_VECTORS=1
// writes that file anew, from the references; a changed digest means a changed profile.

#include <bit>
#include <boost/test/unit_test.hpp>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/sha256.hpp"
#include "tests/conformance/golden_digests.hpp"
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
#include "training/numerics/math64.hpp"
#include "training/numerics/mxint8.hpp"
#include "training/numerics/philox.hpp"
#include "training/numerics/reduce.hpp"
#include "training/numerics/relu.hpp"
#include "training/numerics/rmsnorm.hpp"
#include "training/numerics/rope.hpp"
#include "training/numerics/swiglu.hpp"
#include "training/numerics/target.hpp"

namespace tequio::tests {
namespace {

namespace numerics = training::numerics;

/// Inputs: the same on every machine, for they are integers scaled by powers of two.
class inputs {
public:
    explicit inputs(std::uint32_t stream) : draws_({stream, 1}, {}) {}
    /// `n` numbers with `spread` binary orders of magnitude below 1, some of them -0 and subnormal.
    std::vector<float> numbers(std::size_t n, unsigned spread) {
        std::vector<float> out(n);
        for (float& x : out) {
            const std::uint32_t mantissa = draws_.word(next_++);
            const std::uint32_t kind = draws_.word(next_++);
            const float unit = static_cast<float>(mantissa >> 8) * 0x1p-23F - 1.0F;
            const auto exponent = 127 - kind % (spread + 1);
            x = unit * std::bit_cast<float>(exponent << 23);
            if (spread > 20 && kind >> 28 == 0) x = std::bit_cast<float>(mantissa & 0x800fffff);
        }
        return out;
    }
    std::uint32_t below(std::uint32_t bound) { return draws_.below(next_++, bound); }

private:
    numerics::draws draws_;
    std::uint64_t next_ = 0;
};

/// Collects results and digests their little-endian bytes.
class results {
public:
    void add(std::span<const float> x) {
        base::byte_writer out(bytes_);
        for (const float value : x) out.u32(std::bit_cast<std::uint32_t>(value));
    }
    void add(double x) { base::byte_writer(bytes_).f64(x); }
    void add(std::uint64_t x) { base::byte_writer(bytes_).u64(x); }
    void add_bytes(const void* data, std::size_t n) {
        const auto* first = static_cast<const std::uint8_t*>(data);
        bytes_.insert(bytes_.end(), first, first + n);
    }
    std::string digest() const { return base::to_hex(base::sha256(bytes_).bytes); }

private:
    base::byte_vector bytes_;
};

std::string run_gemm(numerics::gemm_form form, numerics::gemm_shape shape, unsigned spread) {
    inputs in(static_cast<std::uint32_t>(form) + 10);
    results out;
    const auto a = in.numbers(shape.m * shape.k, spread);
    const auto b = in.numbers(shape.n * shape.k, spread);
    const auto bias = in.numbers(shape.n, spread);
    std::vector<float> c(shape.m * shape.n);
    std::vector<std::byte> workspace(numerics::gemm_workspace_bytes(shape, 1));
    training::serial_executor one;
    const numerics::matrix_in left{a.data(), form == numerics::gemm_form::tn ? shape.m : shape.k};
    const numerics::matrix_in right{b.data(), form == numerics::gemm_form::nt ? shape.k : shape.n};
    numerics::gemm({.form = form}, shape, left, right, {c.data(), shape.n}, workspace, one);
    out.add(c);
    numerics::gemm({.form = form, .accumulate = true, .flush = true, .bias = bias.data()}, shape,
                   left, right, {c.data(), shape.n}, workspace, one);
    out.add(c);
    return out.digest();
}

std::string run_functions() {
    inputs in(20);
    results out;
    auto x = in.numbers(4000, 30);
    for (float& value : x) value = value * 90.0F;
    std::vector<float> y(x.size());
    numerics::exp(x, y);
    out.add(y);
    numerics::tanh(x, y);
    out.add(y);
    for (float& value : x) value = value < 0.0F ? 0.0F - value : value;
    numerics::log(x, y);
    out.add(y);
    for (float& value : x) value = 0.0F - value;
    numerics::softmax_exp(x, y);
    out.add(y);
    return out.digest();
}

std::string run_functions64() {
    results out;
    for (int i = 1; i < 1000; ++i) {
        const double x = i / 1000.0;
        out.add(numerics::exp64(1400.0 * x - 700.0));
        out.add(numerics::log64(x * x * x));
        out.add(numerics::cos_pi64(x));
        out.add(numerics::inverse_normal64(x));
        out.add(numerics::inverse_normal64(x * 0x1p-20));
    }
    out.add(numerics::power64(0.95, 1000));
    return out.digest();
}

std::string run_elementwise() {
    inputs in(30);
    results out;
    training::serial_executor one;
    const std::size_t rows = 7, columns = 77, n = rows * columns;
    const auto x = in.numbers(n, 60);
    const auto y = in.numbers(n, 60);
    const auto bias = in.numbers(columns, 60);
    std::vector<float> z(n), pre(n);
    numerics::add(x.data(), y.data(), z.data(), n, one);
    out.add(z);
    numerics::add_bias_residual(x.data(), bias.data(), y.data(), z.data(), rows, columns, one);
    out.add(z);
    numerics::scale(x.data(), 0.3F, z.data(), n, one);
    out.add(z);
    numerics::add_bias(x.data(), bias.data(), pre.data(), rows, columns, one);
    numerics::bias_gelu_forward(x.data(), bias.data(), z.data(), rows, columns, one);
    out.add(pre);
    out.add(z);
    numerics::gelu_backward(x.data(), y.data(), z.data(), n, one);
    out.add(z);
    return out.digest();
}

std::string run_layernorm() {
    inputs in(40);
    results out;
    training::serial_executor one;
    const std::size_t rows = 300, width = 70;
    const auto x = in.numbers(rows * width, 10);
    const auto dy = in.numbers(rows * width, 30);
    const auto residual = in.numbers(rows * width, 30);
    const auto gain = in.numbers(width, 3);
    const auto offset = in.numbers(width, 3);
    std::vector<float> y(rows * width), mean(rows), deviation(rows), dgain(width), doffset(width);
    numerics::layernorm_forward(x.data(), gain.data(), offset.data(), y.data(), mean.data(),
                                deviation.data(), rows, width, one);
    out.add(y);
    out.add(mean);
    out.add(deviation);
    numerics::layernorm_backward(x.data(), gain.data(), mean.data(), deviation.data(), dy.data(),
                                 residual.data(), y.data(), rows, width, one);
    out.add(y);
    numerics::layernorm_parameter_gradients(x.data(), mean.data(), deviation.data(), dy.data(),
                                            dgain.data(), doffset.data(), rows, width, false, one);
    out.add(dgain);
    out.add(doffset);
    return out.digest();
}

std::string run_reductions() {
    inputs in(50);
    results out;
    training::serial_executor one;
    const auto x = in.numbers(70'000, 60);
    const auto y = in.numbers(70'000, 60);
    for (const std::size_t n : {0U, 1U, 31U, 33U, 1000U, 70'000U}) {
        const std::span<const float> a(x.data(), n);
        out.add(std::array{numerics::sum(a), numerics::dot(a, {y.data(), n})});
        out.add(numerics::square_sum(a, one));
        out.add(numerics::wide_sum(a));
    }
    std::vector<float> sums(70);
    numerics::column_sums({x.data(), 70}, 1000, 70, false, sums.data(), one);
    out.add(sums);
    return out.digest();
}

std::string run_embedding() {
    inputs in(60);
    results out;
    training::serial_executor one;
    const std::size_t width = 33, time = 10;
    std::vector<std::uint32_t> tokens(40);
    for (auto& token : tokens) token = in.below(9);
    const auto table = in.numbers(9 * width, 60);
    const auto positions = in.numbers(time * width, 60);
    const auto dx = in.numbers(tokens.size() * width, 60);
    std::vector<float> y(tokens.size() * width), dtable(9 * width), dpositions(time * width);
    numerics::embed(tokens, time, table.data(), positions.data(), y.data(), width, one);
    numerics::embed_backward(tokens, dx.data(), dtable.data(), width, one);
    numerics::position_backward(dx.data(), tokens.size(), time, dpositions.data(), width, one);
    out.add(y);
    out.add(dtable);
    out.add(dpositions);
    return out.digest();
}

std::string run_attention(const numerics::attention_shape& shape) {
    inputs in(70);
    results out;
    training::serial_executor one;
    const std::size_t width = shape.heads * shape.head_width;
    const std::size_t shared = width / shape.group;
    const std::size_t tokens = shape.sequences * shape.time;
    const std::size_t stride = width + 2 * shared;
    auto qkv = in.numbers(tokens * stride, 4);
    auto dy = in.numbers(tokens * width, 8);
    for (float& x : qkv) x = numerics::flush(x * 3.0F);
    for (float& x : dy) x = numerics::flush(x);
    const numerics::attention_inputs read{qkv.data(), qkv.data() + width,
                                          qkv.data() + width + shared, stride};
    std::vector<float> y(tokens * width), top(tokens * shape.heads), inverse(tokens * shape.heads);
    std::vector<float> g(tokens * stride);
    std::vector<std::byte> workspace(numerics::attention_workspace_bytes(shape, 1));
    numerics::attention_forward(shape, read, y.data(), {top.data(), inverse.data()}, workspace,
                                one);
    numerics::attention_backward(shape, read, y.data(), dy.data(), {top.data(), inverse.data()},
                                 {g.data(), g.data() + width, g.data() + width + shared, stride},
                                 workspace, one);
    out.add(y);
    out.add(top);
    out.add(inverse);
    out.add(g);
    return out.digest();
}

std::string run_cross_entropy() {
    inputs in(80);
    results out;
    training::serial_executor one;
    const std::size_t rows = 20, vocabulary = 259;
    auto logits = in.numbers(rows * vocabulary, 12);
    for (float& x : logits) x = x * 30.0F;
    std::vector<std::uint32_t> targets(rows);
    for (auto& target : targets) target = in.below(vocabulary);
    targets[3] = numerics::ignored_target;
    std::vector<float> losses(rows);
    numerics::cross_entropy(logits.data(), vocabulary, targets, vocabulary, 0x1p-4F, losses.data(),
                            true, one);
    out.add(logits);
    out.add(losses);
    return out.digest();
}

std::string run_adamw() {
    inputs in(90);
    results out;
    training::serial_executor one;
    const std::size_t n = 1003;
    auto weight = in.numbers(n, 10);
    std::vector<float> first(n), second(n);
    for (std::uint64_t t = 1; t <= 5; ++t) {
        const auto gradient = in.numbers(n, 60);
        const double norm = 3.0 * static_cast<double>(t);
        const auto scalars = numerics::adamw_step({}, 4e-4 * static_cast<double>(t), t,
                                                  numerics::clip_scale(norm, 5.0));
        numerics::adamw_update(scalars, t % 2 == 0, weight.data(), gradient.data(), first.data(),
                               second.data(), n, one);
    }
    out.add(weight);
    out.add(first);
    out.add(second);
    return out.digest();
}

std::string run_philox() {
    results out;
    base::digest data;
    for (std::size_t i = 0; i < 32; ++i) data.bytes[i] = static_cast<std::uint8_t>(3 * i);
    for (const auto stream :
         {numerics::stream_initialisation, numerics::stream_data_order, numerics::stream_dropout}) {
        const numerics::draws draws(numerics::derive_key(stream, 42, data),
                                    {.round = 5, .lane = 6, .step = 7});
        std::vector<float> normals(1000);
        draws.fill_normal(3, 0.02, normals);
        out.add(normals);
        for (std::uint64_t i = 0; i < 100; ++i) out.add(std::uint64_t{draws.below(i << 40, 1000)});
    }
    return out.digest();
}

std::string run_mxint8() {
    inputs in(100);
    results out;
    for (const int window : {-46, -40, -20}) {
        const std::size_t n = 5003;
        const auto x = in.numbers(n, 60);
        std::vector<std::uint8_t> scales(numerics::mx_block_count(n));
        std::vector<std::int8_t> codes(scales.size() * numerics::mx_block);
        numerics::codec_counts counts;
        BOOST_REQUIRE(numerics::mxint8_encode(x, window, scales, codes, counts));
        out.add_bytes(scales.data(), scales.size());
        out.add_bytes(codes.data(), codes.size());
        out.add(counts.saturated);
        out.add(counts.flushed);
        std::vector<float> values(n);
        numerics::mxint8_decode(scales, codes, window, values);
        out.add(values);
    }
    return out.digest();
}

std::string run_sin_cos64() {
    results out;
    for (int i = 0; i < 3000; ++i) {
        const double x = i / 7.0;
        for (const double angle : {x, x * x, x * 1024.0}) {
            const auto found = numerics::sin_cos64(angle);
            out.add(found.sine);
            out.add(found.cosine);
        }
    }
    return out.digest();
}

std::string run_rmsnorm() {
    inputs in(110);
    results out;
    training::serial_executor one;
    const std::size_t rows = 300, width = 70;
    const auto x = in.numbers(rows * width, 10);
    const auto dy = in.numbers(rows * width, 30);
    const auto residual = in.numbers(rows * width, 30);
    const auto gain = in.numbers(width, 3);
    std::vector<float> y(rows * width), sum(rows * width), r(rows), dgain(width);
    numerics::rmsnorm_forward(x.data(), gain.data(), 1e-6F, y.data(), r.data(), rows, width, one);
    out.add(y);
    out.add(r);
    std::vector<std::byte> workspace(numerics::rmsnorm_workspace_bytes(rows, width));
    numerics::rmsnorm_backward({x.data(), gain.data(), r.data(), dy.data(), nullptr, rows, width},
                               y.data(), dgain.data(), false, workspace, one);
    out.add(dgain);
    numerics::residual_rmsnorm_forward(x.data(), residual.data(), sum.data(), gain.data(), 1e-5F,
                                       y.data(), r.data(), rows, width, one);
    out.add(sum);
    out.add(y);
    out.add(r);
    numerics::rmsnorm_backward(
        {sum.data(), gain.data(), r.data(), dy.data(), residual.data(), rows, width}, y.data(),
        dgain.data(), false, workspace, one);
    out.add(y);
    return out.digest();
}

std::string run_rope() {
    inputs in(120);
    results out;
    training::serial_executor one;
    const std::size_t time = 40, heads = 3, width = 70, stride = heads * width + 5;
    std::vector<float> cosine(time * width / 2), sine(time * width / 2);
    numerics::fill_rope_table(time, width, 500000.0, cosine.data(), sine.data());
    out.add(cosine);
    out.add(sine);
    for (const auto turn : {numerics::rope_turn::forward, numerics::rope_turn::backward}) {
        auto x = in.numbers(2 * time * stride, 60);
        numerics::rope({x.data(), stride, 2 * time, time, heads, width},
                       {cosine.data(), sine.data()}, turn, one);
        out.add(x);
    }
    return out.digest();
}

std::string run_swiglu() {
    inputs in(130);
    results out;
    training::serial_executor one;
    const std::size_t n = 5003;
    auto gate = in.numbers(n, 60);
    for (std::size_t i = 0; i < n; i += 2) gate[i] = gate[i] * 100.0F;
    const auto up = in.numbers(n, 60);
    const auto dy = in.numbers(n, 60);
    std::vector<float> y(n), dg(n), du(n);
    numerics::swiglu_forward(gate.data(), up.data(), y.data(), n, one);
    numerics::swiglu_backward(gate.data(), up.data(), dy.data(), dg.data(), du.data(), n, one);
    out.add(y);
    out.add(dg);
    out.add(du);
    return out.digest();
}

std::string run_relu() {
    inputs in(110);
    results out;
    training::serial_executor one;
    const std::size_t rows = 7, columns = 77, n = rows * columns;
    const auto x = in.numbers(n, 60);
    const auto dy = in.numbers(n, 60);
    const auto bias = in.numbers(columns, 60);
    std::vector<float> y(n), dx(n);
    numerics::bias_relu_forward(x.data(), bias.data(), y.data(), rows, columns, one);
    numerics::relu_backward(y.data(), dy.data(), dx.data(), n, one);
    out.add(y);
    out.add(dx);
    return out.digest();
}

/// In the order of the file.
std::vector<golden_case> all_cases() {
    using enum numerics::gemm_form;
    return {
        {"gemm_nn",
         [] {
             return run_gemm(nn, {61, 67, 300}, 8);
         }},
        {"gemm_nt",
         [] {
             return run_gemm(nt, {61, 67, 300}, 8);
         }},
        {"gemm_tn",
         [] {
             return run_gemm(tn, {61, 67, 300}, 8);
         }},
        {"gemm_hostile",
         [] {
             return run_gemm(nn, {30, 50, 513}, 80);
         }},
        {"gemm_row",
         [] {
             return run_gemm(nt, {1, 200, 600}, 20);
         }},
        {"functions", run_functions},
        {"functions64", run_functions64},
        {"elementwise", run_elementwise},
        {"layernorm", run_layernorm},
        {"reductions", run_reductions},
        {"embedding", run_embedding},
        {"attention",
         [] {
             return run_attention({2, 70, 2, 24});
         }},
        {"attention_long",
         [] {
             return run_attention({1, 300, 1, 32});
         }},
        {"cross_entropy", run_cross_entropy},
        {"adamw", run_adamw},
        {"philox", run_philox},
        {"mxint8", run_mxint8},
        {"attention_grouped",
         [] {
             return run_attention({2, 70, 6, 24, 3});
         }},
        {"sin_cos64", run_sin_cos64},
        {"rmsnorm", run_rmsnorm},
        {"rope", run_rope},
        {"swiglu", run_swiglu},
        {"relu", run_relu},
    };
}

golden_file golden() {
    return {TEQUIO_SOURCE_DIR "/tests/vectors/exact1_kernels.txt",
            "# SHA-256 of what each kernel of exact/1 gives; the cases stand in\n"
            "# tests/conformance/numerics_golden_test.cpp. Made by TEQUIO_WRITE_VECTORS=1\n"
            "# conformance_numerics. Frozen: vectors to come stand in a file of their own.\n",
            all_cases()};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(numerics_golden)

BOOST_AUTO_TEST_CASE(references_give_the_golden_digests) {
    check_references(golden());
}

BOOST_AUTO_TEST_CASE(every_target_gives_the_golden_digests) {
    check_every_target(golden());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
