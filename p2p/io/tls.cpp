#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "p2p/io/session.hpp"

namespace tequio::p2p {
namespace {

using key_handle = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using certificate_handle = std::unique_ptr<X509, decltype(&X509_free)>;

// Nobody reads this certificate; TLS wants one. Valid for as long as anything can be.
certificate_handle self_signed(EVP_PKEY* key) {
    certificate_handle certificate(X509_new(), &X509_free);
    if (!certificate) return certificate;
    X509_set_version(certificate.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    ASN1_TIME_set_string(X509_getm_notBefore(certificate.get()), "20200101000000Z");
    ASN1_TIME_set_string(X509_getm_notAfter(certificate.get()), "99991231235959Z");
    X509_set_pubkey(certificate.get(), key);
    auto* name = X509_get_subject_name(certificate.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("tequio"), -1, -1, 0);
    X509_set_issuer_name(certificate.get(), name);
    if (X509_sign(certificate.get(), key, nullptr) == 0) certificate.reset();
    return certificate;
}

}  // namespace

std::shared_ptr<SSL_CTX> make_tls_context() {
    std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_method()), &SSL_CTX_free);
    key_handle key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), &EVP_PKEY_free);
    if (!context || !key) return nullptr;
    const auto certificate = self_signed(key.get());
    const bool ok = certificate && SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) &&
                    SSL_CTX_set_max_proto_version(context.get(), TLS1_3_VERSION) &&
                    SSL_CTX_use_certificate(context.get(), certificate.get()) == 1 &&
                    SSL_CTX_use_PrivateKey(context.get(), key.get()) == 1 &&
                    SSL_CTX_set_num_tickets(context.get(), 0) == 1 &&
                    SSL_CTX_set_max_early_data(context.get(), 0) == 1;
    if (!ok) return nullptr;
    SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
    // What asio::ssl::context sets too: partial writes from a buffer that may move.
    SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS);
    return context;
}

}  // namespace tequio::p2p
