#include "base/bytes.hpp"

#include <sodium.h>

#include <bit>

namespace tequio::base {

std::string to_hex(byte_view bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string out;
    out.reserve(bytes.size() * 2);
    for (const auto b : bytes) {
        out.push_back(digits[b >> 4]);
        out.push_back(digits[b & 15]);
    }
    return out;
}

result<byte_vector> from_hex(std::string_view hex) {
    const auto value = [](char c) -> int {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        return -1;
    };
    if (hex.size() % 2 != 0) return fail(errc::bad_encoding, "an odd number of hexadecimal digits");
    byte_vector out;
    out.reserve(hex.size() / 2);
    for (std::size_t i = 0; i < hex.size(); i += 2) {
        const int high = value(hex[i]);
        const int low = value(hex[i + 1]);
        if (high < 0 || low < 0) {
            return fail(errc::bad_encoding, "not lower-case hexadecimal: " + std::string(hex));
        }
        out.push_back(static_cast<std::uint8_t>(high * 16 + low));
    }
    return out;
}

std::string to_base64(byte_view bytes) {
    std::string out(sodium_base64_encoded_len(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
    sodium_bin2base64(out.data(), out.size(), bytes.data(), bytes.size(),
                      sodium_base64_VARIANT_ORIGINAL);
    out.pop_back();  // sodium counts the terminating zero
    return out;
}

result<byte_vector> from_base64(std::string_view text) {
    byte_vector out(text.size() / 4 * 3 + 3);
    std::size_t size = 0;
    const char* end = nullptr;
    const int rc = sodium_base642bin(out.data(), out.size(), text.data(), text.size(), nullptr,
                                     &size, &end, sodium_base64_VARIANT_ORIGINAL);
    if (rc != 0 || end != text.data() + text.size()) {
        return fail(errc::bad_encoding, "not base64");
    }
    out.resize(size);
    if (to_base64(out) != text) return fail(errc::bad_encoding, "base64 not in canonical form");
    return out;
}

void byte_writer::raw(byte_view bytes) {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
}

void byte_writer::f64(double v) {
    u64(std::bit_cast<std::uint64_t>(v));
}

double byte_reader::f64() {
    return std::bit_cast<double>(u64());
}

byte_view byte_reader::raw(std::size_t n) {
    if (n > in_.size()) {
        failed_ = true;
        in_ = {};
        return {};
    }
    const auto out = in_.first(n);
    in_ = in_.subspan(n);
    return out;
}

std::uint64_t byte_reader::integer(std::size_t width) {
    const auto bytes = raw(width);
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) v |= std::uint64_t{bytes[i]} << (8 * i);
    return v;
}

}  // namespace tequio::base
