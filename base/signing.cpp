#include "base/signing.hpp"

#include <sodium.h>

#include "base/ensure.hpp"
#include "base/sha256.hpp"

namespace tequio::base {
namespace {

void need_sodium() {
    static const bool ready = sodium_init() >= 0;
    ensure(ready, "libsodium starts");
}

}  // namespace

signing_key signing_key::from_seed(std::span<const std::uint8_t, 32> seed) {
    need_sodium();
    signing_key key;
    crypto_sign_seed_keypair(key.public_.bytes.data(), key.secret_.data(), seed.data());
    return key;
}

signing_key signing_key::generate() {
    need_sodium();
    std::array<std::uint8_t, 32> seed;
    randombytes_buf(seed.data(), seed.size());
    auto key = from_seed(seed);
    sodium_memzero(seed.data(), seed.size());
    return key;
}

signing_key::signing_key(signing_key&& other) noexcept {
    *this = std::move(other);
}

signing_key& signing_key::operator=(signing_key&& other) noexcept {
    if (this != &other) {
        secret_ = other.secret_;
        public_ = other.public_;
        sodium_memzero(other.secret_.data(), other.secret_.size());
    }
    return *this;
}

signing_key::~signing_key() {
    sodium_memzero(secret_.data(), secret_.size());
}

std::span<const std::uint8_t, 32> signing_key::seed() const {
    // libsodium keeps seed || public key.
    return std::span<const std::uint8_t, 32>(secret_.data(), 32);
}

signature signing_key::sign(byte_view message) const {
    signature out;
    crypto_sign_detached(out.data(), nullptr, message.data(), message.size(), secret_.data());
    return out;
}

signing_key signing_key::derive(std::string_view role) const {
    static constexpr std::uint8_t zero = 0;
    auto child = sha256_stream()
                     .add("tequio/role/v1")
                     .add(byte_view(&zero, 1))
                     .add(role)
                     .add(byte_view(&zero, 1))
                     .add(seed())
                     .finish();
    auto key = from_seed(child.bytes);
    sodium_memzero(child.bytes.data(), child.bytes.size());
    return key;
}

bool signature_verifies(const public_key& key, byte_view message, const signature& s) {
    need_sodium();
    return crypto_sign_verify_detached(s.data(), message.data(), message.size(),
                                       key.bytes.data()) == 0;
}

result<signature> signature_from_bytes(byte_view bytes) {
    signature out;
    if (bytes.size() != out.size()) {
        return fail(errc::bad_encoding,
                    "a signature has 64 bytes, found " + std::to_string(bytes.size()));
    }
    std::copy(bytes.begin(), bytes.end(), out.begin());
    return out;
}

}  // namespace tequio::base
