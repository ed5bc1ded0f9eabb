#pragma once

/// Bytes and their text forms. Everything here is pure.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace tequio::base {

using byte_vector = std::vector<std::uint8_t>;
using byte_view = std::span<const std::uint8_t>;

/// The characters of `text` as bytes; the view lives as long as `text`.
inline byte_view as_bytes(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// The bytes as characters; the view lives as long as `bytes`.
inline std::string_view as_text(byte_view bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Lower-case hexadecimal, two digits a byte.
std::string to_hex(byte_view bytes);
/// Errors: `errc::bad_encoding` unless `hex` is an even number of lower-case digits.
result<byte_vector> from_hex(std::string_view hex);

/// Standard base64 with padding (RFC 4648 section 4).
std::string to_base64(byte_view bytes);
/// Errors: `errc::bad_encoding` unless `text` is canonical: standard alphabet, padded, no spaces.
result<byte_vector> from_base64(std::string_view text);

/// Appends fixed-width little-endian integers and raw bytes: the layout of everything we hash or
/// store in binary.
class byte_writer {
public:
    explicit byte_writer(byte_vector& out) : out_(out) {}
    void u8(std::uint8_t v) { out_.push_back(v); }
    void u16(std::uint16_t v) { integer(v, 2); }
    void u32(std::uint32_t v) { integer(v, 4); }
    void u64(std::uint64_t v) { integer(v, 8); }
    void f64(double v);
    void raw(byte_view bytes);  // out of line: GCC 12 warns falsely when it is inlined

private:
    void integer(std::uint64_t v, int width) {
        for (int i = 0; i < width; ++i) out_.push_back(static_cast<std::uint8_t>(v >> (8 * i)));
    }
    byte_vector& out_;
};

/// Reads what `byte_writer` wrote. A read past the end gives zero and sets `failed()`; check it
/// once, at the end.
class byte_reader {
public:
    explicit byte_reader(byte_view in) : in_(in) {}
    std::uint8_t u8() { return static_cast<std::uint8_t>(integer(1)); }
    std::uint16_t u16() { return static_cast<std::uint16_t>(integer(2)); }
    std::uint32_t u32() { return static_cast<std::uint32_t>(integer(4)); }
    std::uint64_t u64() { return integer(8); }
    double f64();
    /// The next `n` bytes as a view into the input; empty when there are fewer.
    byte_view raw(std::size_t n);
    bool failed() const { return failed_; }
    bool at_end() const { return in_.empty(); }

private:
    std::uint64_t integer(std::size_t width);
    byte_view in_;
    bool failed_ = false;
};

}  // namespace tequio::base
