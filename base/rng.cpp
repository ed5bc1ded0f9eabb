#include "base/rng.hpp"

#include <bit>

#include "base/ensure.hpp"
#include "base/sha256.hpp"

namespace tequio::base {

rng::rng(const digest& seed) : seed_(seed) {
    byte_reader in(seed_.view());
    for (auto& word : s_) word = in.u64();
    if ((s_[0] | s_[1] | s_[2] | s_[3]) == 0) s_[0] = 1;  // the all-zero state is a fixed point
}

rng::rng(std::uint64_t seed)
    : rng([&] {
          byte_vector bytes;
          byte_writer(bytes).u64(seed);
          return sha256(bytes);
      }()) {}

rng rng::split(std::string_view name) const {
    return rng(sha256_stream().add(seed_.view()).add(name).finish());
}

std::uint64_t rng::next() {
    const std::uint64_t out = std::rotl(s_[1] * 5, 7) * 9;
    const std::uint64_t t = s_[1] << 17;
    s_[2] ^= s_[0];
    s_[3] ^= s_[1];
    s_[1] ^= s_[2];
    s_[0] ^= s_[3];
    s_[2] ^= t;
    s_[3] = std::rotl(s_[3], 45);
    return out;
}

std::uint64_t rng::below(std::uint64_t bound) {
    ensure(bound > 0, "a draw needs a positive bound");
    // Rejection keeps every value equally likely.
    const std::uint64_t limit = bound * (~std::uint64_t{0} / bound);
    std::uint64_t x = next();
    while (x >= limit) x = next();
    return x % bound;
}

bool rng::chance(double p) {
    return static_cast<double>(next() >> 11) < p * 9007199254740992.0;
}

duration rng::between(duration low, duration high) {
    ensure(low <= high, "a range of times is not reversed");
    return low + duration(static_cast<std::int64_t>(
                     below(static_cast<std::uint64_t>((high - low).count()) + 1)));
}

}  // namespace tequio::base
