#pragma once

/// SHA-256 (FIPS 180-4), by OpenSSL because it uses the processor's SHA instructions (libsodium's
/// does not).

#include <memory>

#include "base/bytes.hpp"
#include "base/ids.hpp"

namespace tequio::base {

/// SHA-256 of `bytes`.
digest sha256(byte_view bytes);
inline digest sha256(std::string_view text) {
    return sha256(as_bytes(text));
}

/// The same digest as another kind of id (a task id is the SHA-256 of the task's text).
template <class Id>
Id id_of(byte_view bytes) {
    return Id{sha256(bytes).bytes};
}

/// SHA-256 over pieces.
class sha256_stream {
public:
    sha256_stream();
    ~sha256_stream();
    sha256_stream(const sha256_stream&) = delete;
    sha256_stream& operator=(const sha256_stream&) = delete;
    sha256_stream& add(byte_view bytes);
    sha256_stream& add(std::string_view text) { return add(as_bytes(text)); }
    /// The digest of everything added; the object may not be used afterwards.
    digest finish();

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace tequio::base
