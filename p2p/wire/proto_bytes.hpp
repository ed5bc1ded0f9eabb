#pragma once

/// Between protobuf's strings and our bytes, and what is said of bytes that are wrong. Included by
/// the .cpp files of this folder only.

#include <string>
#include <utility>

#include "base/bytes.hpp"
#include "p2p/error.hpp"

namespace tequio::p2p::wire {

inline base::error bad(std::string what) {
    return fail(errc::bad_message, std::move(what));
}

inline std::string text_of(base::byte_view bytes) {
    return std::string(base::as_text(bytes));
}

inline base::byte_vector bytes_of(const std::string& text) {
    const auto bytes = base::as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

template <class Message>
base::byte_vector serialised(const Message& in) {
    base::byte_vector out(in.ByteSizeLong());
    in.SerializeWithCachedSizesToArray(out.data());
    return out;
}

template <class Message>
bool parsed(Message& in_out, base::byte_view bytes) {
    return in_out.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace tequio::p2p::wire
