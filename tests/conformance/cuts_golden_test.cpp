// Golden digests of the rounding at cuts, which came after exact1_kernels.txt was frozen: what it
// gives on every dispatch target, and what its plain reference gives, is written in
// tests/vectors/exact1_cuts.txt. TEQUIO_WRITE_VECTORS=1 writes that file anew, from the reference.

#include <bit>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "base/sha256.hpp"
#include "tests/conformance/golden_digests.hpp"
#include "training/numerics/cut_format.hpp"
#include "training/numerics/philox.hpp"

namespace tequio::tests {
namespace {

namespace numerics = training::numerics;

/// Numbers of either sign from 2^-70 to 2^70, whose lower 16 bits are a tie in every other one; in
/// every fifth row they are small integers and halves, ties of mxint8; one in 64 is subnormal or
/// -0; one in 4,096 is not finite.
std::vector<float> numbers(std::size_t n, std::size_t width) {
    const numerics::draws draws({400, 2}, {});
    std::vector<float> out(n);
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint32_t word = draws.word(2 * i);
        const std::uint32_t kind = draws.word(2 * i + 1);
        const std::uint32_t exponent = 57 + kind % 141;
        std::uint32_t bits = (word & 0x807fffffU) | exponent << 23;
        if ((kind >> 20 & 1) != 0) bits = (bits & 0xffff0000U) | 0x8000U;
        if (kind >> 26 == 0) bits = word & 0x800fffffU;
        if (kind >> 20 == 0xabc) bits = (word & 0x80000000U) | 0x7f800000U;
        out[i] = std::bit_cast<float>(bits);
        if (i / width % 5 == 0) out[i] = static_cast<float>(static_cast<int>(word >> 24) - 128) / 2;
    }
    return out;
}

/// The rounded values and their message, of several widths.
std::string run(const std::string& name) {
    const auto format = numerics::cut_format_of(name);
    training::serial_executor one;
    base::sha256_stream all;
    for (const std::size_t width : {1U, 31U, 32U, 96U, 257U}) {
        constexpr std::size_t rows = 61;
        auto x = numbers(rows * width, width);
        // What is sent as it is has been flushed before.
        for (float& v : x) v = std::abs(v) < 0x1p-48F ? 0.0F : v;
        numerics::cut_round(format, x.data(), rows, width, one);
        std::vector<std::uint8_t> message(numerics::cut_message_bytes(format, rows, width));
        numerics::cut_pack(format, x, width, message);
        all.add({reinterpret_cast<const std::uint8_t*>(x.data()), x.size() * sizeof(float)});
        all.add(message);
    }
    return all.finish().hex();
}

golden_file golden() {
    golden_file out{
        TEQUIO_SOURCE_DIR "/tests/vectors/exact1_cuts.txt",
        "# SHA-256 of what rounding at cuts gives in exact/1, and of its messages; the cases\n"
        "# stand in tests/conformance/cuts_golden_test.cpp. Made by TEQUIO_WRITE_VECTORS=1\n"
        "# conformance_numerics. Frozen: vectors to come stand in a file of their own.\n",
        {}};
    for (const char* name : {"f32", "bf16", "mxint8"}) {
        out.cases.emplace_back(name, [name] { return run(name); });
    }
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cuts_golden)

BOOST_AUTO_TEST_CASE(the_reference_gives_the_golden_digests) {
    check_references(golden());
}

BOOST_AUTO_TEST_CASE(every_target_gives_the_golden_digests) {
    check_every_target(golden());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
