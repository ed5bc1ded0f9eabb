// Golden digests of the codecs that came after exact1_kernels.txt was frozen: what mxfp4 and f32
// give on every dispatch target, and what their plain references give, is written in
// tests/vectors/exact1_codecs.txt. TEQUIO_WRITE_VECTORS=1 writes that file anew, from the
// references.

#include <bit>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "base/sha256.hpp"
#include "tests/conformance/golden_digests.hpp"
#include "training/numerics/f32_grid.hpp"
#include "training/numerics/mxfp4.hpp"
#include "training/numerics/philox.hpp"

namespace tequio::tests {
namespace {

namespace numerics = training::numerics;

/// `n` numbers of either sign, over `spread` binary orders of magnitude up to 2^top; one in eight
/// lies in the middle between two multiples of 2^tie, one in sixteen is subnormal or -0.
std::vector<float> numbers(std::uint32_t stream, std::size_t n, int top, unsigned spread, int tie) {
    const numerics::draws draws({stream, 2}, {});
    std::vector<float> out(n);
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint32_t mantissa = draws.word(2 * i);
        const std::uint32_t kind = draws.word(2 * i + 1);
        const float unit = static_cast<float>(mantissa >> 8) * 0x1p-23F - 1.0F;
        out[i] = std::ldexp(unit, top - static_cast<int>(kind % (spread + 1)));
        if (kind >> 29 == 0) {
            const auto odd = 2 * static_cast<int>(mantissa >> 24) - 255;
            out[i] = std::ldexp(static_cast<float>(odd), tie - 1);
        } else if (kind >> 28 == 3) {
            out[i] = std::bit_cast<float>(mantissa & 0x800fffffU);
        }
    }
    return out;
}

/// Collects what a codec gives.
class results {
public:
    template <class T>
    void add(std::span<const T> values) {
        all_.add({reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()});
    }
    void add(const numerics::codec_counts& counts) {
        const std::uint64_t both[] = {counts.saturated, counts.flushed};
        add(std::span<const std::uint64_t>(both));
    }
    std::string digest() { return all_.finish().hex(); }

private:
    base::sha256_stream all_;
};

std::string run_mxfp4() {
    results out;
    constexpr std::size_t n = 5003;
    std::vector<std::int64_t> sums(n);
    std::uint32_t stream = 200;
    for (const int window : {-80, -46, -40, -20, 0}) {
        const auto x = numbers(stream++, n, window + 44, 60, window + 3);
        std::vector<std::uint8_t> scales(numerics::mx_block_count(n));
        std::vector<std::uint8_t> codes(scales.size() * numerics::mxfp4_block_bytes);
        numerics::codec_counts counts;
        BOOST_REQUIRE(numerics::mxfp4_encode(x, window, scales, codes, counts));
        BOOST_REQUIRE(numerics::mxfp4_canonical(scales, codes, n));
        out.add<std::uint8_t>(scales);
        out.add<std::uint8_t>(codes);
        out.add(counts);
        std::vector<float> values(n);
        numerics::mxfp4_decode(scales, codes, window, values);
        out.add<float>(values);
        numerics::mxfp4_accumulate(scales, codes, sums);
        out.add<std::int64_t>(sums);
    }
    return out.digest();
}

std::string run_f32() {
    results out;
    constexpr std::size_t n = 5003;
    std::vector<numerics::grid_sum> sums(n);
    std::uint32_t stream = 300;
    for (const int top : {22, 0, -40, -57, -75}) {
        const auto x = numbers(stream++, n, top, 40, -80);
        std::vector<std::uint8_t> codes(4 * n);
        numerics::codec_counts counts;
        BOOST_REQUIRE(numerics::f32_grid_encode(x, codes, counts));
        BOOST_REQUIRE(numerics::f32_grid_canonical(codes));
        out.add<std::uint8_t>(codes);
        out.add(counts);
        numerics::f32_grid_accumulate(codes, sums);
        out.add<numerics::grid_sum>(sums);
        for (const std::uint64_t lanes : {1U, 3U, 8U, 65536U}) {
            std::vector<float> means(n);
            for (std::size_t i = 0; i < n; ++i) means[i] = numerics::f32_grid_mean(sums[i], lanes);
            out.add<float>(means);
        }
    }
    return out.digest();
}

golden_file golden() {
    return {TEQUIO_SOURCE_DIR "/tests/vectors/exact1_codecs.txt",
            "# SHA-256 of what the codecs mxfp4 and f32 of exact/1 give; the cases stand in\n"
            "# tests/conformance/codecs_golden_test.cpp. Made by TEQUIO_WRITE_VECTORS=1\n"
            "# conformance_numerics. Frozen: vectors to come stand in a file of their own.\n",
            {{"mxfp4", run_mxfp4}, {"f32", run_f32}}};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(codecs_golden)

BOOST_AUTO_TEST_CASE(references_give_the_golden_digests) {
    check_references(golden());
}

BOOST_AUTO_TEST_CASE(every_target_gives_the_golden_digests) {
    check_every_target(golden());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
