#include "base/sha256.hpp"

#include <openssl/evp.h>

#include "base/ensure.hpp"

namespace tequio::base {

struct sha256_stream::state {
    EVP_MD_CTX* context = nullptr;
};

sha256_stream::sha256_stream() : state_(std::make_unique<state>()) {
    // Fetched once: a fetch takes locks and costs more than hashing a small message.
    static EVP_MD* const method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    state_->context = EVP_MD_CTX_new();
    ensure(method && state_->context && EVP_DigestInit_ex(state_->context, method, nullptr) == 1,
           "OpenSSL gives SHA-256");
}

sha256_stream::~sha256_stream() {
    EVP_MD_CTX_free(state_->context);
}

sha256_stream& sha256_stream::add(byte_view bytes) {
    ensure(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1, "SHA-256 update");
    return *this;
}

digest sha256_stream::finish() {
    digest out;
    ensure(EVP_DigestFinal_ex(state_->context, out.bytes.data(), nullptr) == 1, "SHA-256 final");
    return out;
}

digest sha256(byte_view bytes) {
    return sha256_stream().add(bytes).finish();
}

}  // namespace tequio::base
