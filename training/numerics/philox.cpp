#include "training/numerics/philox.hpp"

#include "base/bytes.hpp"
#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/math64.hpp"

namespace tequio::training::numerics {

philox_counter philox4x32(philox_counter c, philox_key key) {
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t product0 = std::uint64_t{0xD2511F53} * c[0];
        const std::uint64_t product1 = std::uint64_t{0xCD9E8D57} * c[2];
        c = {static_cast<std::uint32_t>(product1 >> 32) ^ c[1] ^ key[0],
             static_cast<std::uint32_t>(product1),
             static_cast<std::uint32_t>(product0 >> 32) ^ c[3] ^ key[1],
             static_cast<std::uint32_t>(product0)};
        key[0] += 0x9E3779B9;
        key[1] += 0xBB67AE85;
    }
    return c;
}

philox_key derive_key(std::string_view stream, std::uint64_t seed, const base::digest& data) {
    base::byte_vector text;
    base::byte_writer out(text);
    out.raw(base::as_bytes(stream));
    out.u8(0);
    out.u64(seed);
    out.raw(data.bytes);
    const base::digest hash = base::sha256(text);
    base::byte_reader in(hash.bytes);
    const std::uint32_t low = in.u32();
    return {low, in.u32()};
}

draws::draws(philox_key key, draw_place place) : key_(key) {
    base::ensure(place.round < (1U << 24) && place.lane < (1U << 16) && place.step < (1U << 24),
                 "a recipe's round, lane and step fit the random counter");
    const std::uint64_t high = place.step | (place.lane << 24) | (place.round << 40);
    low_ = static_cast<std::uint32_t>(high);
    high_ = static_cast<std::uint32_t>(high >> 32);
}

philox_counter draws::block(std::uint64_t index) const {
    return philox4x32(
        {static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32), low_, high_},
        key_);
}

std::uint32_t draws::word(std::uint64_t i) const {
    return block(i / 4)[i % 4];
}

std::uint32_t draws::below(std::uint64_t i, std::uint64_t bound) const {
    base::ensure(bound >= 1 && bound <= (std::uint64_t{1} << 32), "a bound is in [1, 2^32]");
    return static_cast<std::uint32_t>((word(i) * bound) >> 32);
}

namespace {

float normal_of(std::uint32_t word, double deviation) {
    const double p = (static_cast<double>(word) + 0.5) * 0x1p-32;
    return flush(static_cast<float>(deviation * inverse_normal64(p)));
}

}  // namespace

float draws::normal(std::uint64_t i, double deviation) const {
    return normal_of(word(i), deviation);
}

void draws::fill_normal(std::uint64_t first, double deviation, std::span<float> out) const {
    std::size_t i = 0;
    while (i < out.size()) {
        const std::uint64_t element = first + i;
        const philox_counter words = block(element / 4);
        for (std::size_t j = element % 4; j < 4 && i < out.size(); ++j, ++i) {
            out[i] = normal_of(words[j], deviation);
        }
    }
}

}  // namespace tequio::training::numerics
