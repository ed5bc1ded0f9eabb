#include "p2p/address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "base/bytes.hpp"
#include "base/text.hpp"

namespace tequio::p2p {
namespace {

using v4_bytes = std::array<std::uint8_t, 4>;
using v6_bytes = std::array<std::uint8_t, 16>;

// inet_pton and inet_ntop touch no socket and no clock; they are functions of their arguments.
std::optional<v4_bytes> as_v4(const std::string& host) {
    v4_bytes out;
    if (inet_pton(AF_INET, host.c_str(), out.data()) != 1) return std::nullopt;
    return out;
}

std::optional<v6_bytes> as_v6(const std::string& host) {
    v6_bytes out;
    if (inet_pton(AF_INET6, host.c_str(), out.data()) != 1) return std::nullopt;
    return out;
}

// ::ffff:a.b.c.d is the IPv4 address a.b.c.d in disguise: limits and the loopback rule must see it.
std::optional<v4_bytes> v4_inside(const v6_bytes& v6) {
    static constexpr std::array<std::uint8_t, 12> prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (!std::equal(prefix.begin(), prefix.end(), v6.begin())) return std::nullopt;
    v4_bytes out;
    std::copy(v6.begin() + 12, v6.end(), out.begin());
    return out;
}

std::string text_of(const v4_bytes& v4) {
    std::array<char, INET_ADDRSTRLEN> buffer{};
    inet_ntop(AF_INET, v4.data(), buffer.data(), buffer.size());
    return buffer.data();
}

std::string text_of(const v6_bytes& v6) {
    std::array<char, INET6_ADDRSTRLEN> buffer{};
    inet_ntop(AF_INET6, v6.data(), buffer.data(), buffer.size());
    return buffer.data();
}

bool host_name_is_valid(std::string_view host) {
    if (host.empty() || host.size() > 253) return false;
    for (const auto label : base::split(host, '.')) {
        if (label.empty() || label.size() > 63 || label.front() == '-') return false;
        for (const char c : label) {
            const bool ok =
                (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
            if (!ok) return false;
        }
    }
    // All digits and dots is a mistyped IPv4 address, not a name.
    return host.find_first_not_of("0123456789.") != std::string_view::npos;
}

base::error bad(std::string_view text) {
    return fail(errc::bad_address, "not an address: \"" + std::string(text.substr(0, 300)) +
                                       "\" (expected host:port, for example 127.0.0.1:47100, "
                                       "[::1]:47100 or example.org:47100)");
}

bool v4_is_local(const v4_bytes& a) {
    return a[0] == 127 || a[0] == 10 || (a[0] == 172 && (a[1] & 0xf0) == 16) ||
           (a[0] == 192 && a[1] == 168) || (a[0] == 169 && a[1] == 254);
}

}  // namespace

std::string address::text() const {
    const bool v6 = host.find(':') != std::string::npos;
    return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

bool address::is_literal() const {
    return as_v4(host) || as_v6(host);
}

bool address::is_loopback() const {
    if (const auto v4 = as_v4(host)) return (*v4)[0] == 127;
    if (const auto v6 = as_v6(host)) {
        v6_bytes one{};
        one[15] = 1;
        return *v6 == one;
    }
    return host == "localhost";
}

bool address::is_local() const {
    if (is_loopback()) return true;
    if (const auto v4 = as_v4(host)) return v4_is_local(*v4);
    if (const auto v6 = as_v6(host)) {
        return ((*v6)[0] & 0xfe) == 0xfc || ((*v6)[0] == 0xfe && ((*v6)[1] & 0xc0) == 0x80);
    }
    return false;
}

std::string address::netgroup() const {
    if (const auto v4 = as_v4(host)) {
        return std::to_string((*v4)[0]) + "." + std::to_string((*v4)[1]);
    }
    if (const auto v6 = as_v6(host)) return base::to_hex(base::byte_view(*v6).first(4));
    const auto labels = base::split(host, '.');
    if (labels.size() < 2) return host;
    return std::string(labels[labels.size() - 2]) + "." + std::string(labels.back());
}

base::result<address> parse_address(std::string_view text) {
    const auto colon = text.rfind(':');
    if (text.size() > address_text_max || colon == std::string_view::npos) return bad(text);
    const auto port = base::parse_u64(text.substr(colon + 1));
    if (!port || *port > 65535) return bad(text);

    auto host_text = text.substr(0, colon);
    const bool bracketed =
        host_text.size() > 2 && host_text.front() == '[' && host_text.back() == ']';
    if (bracketed) host_text = host_text.substr(1, host_text.size() - 2);
    std::string host(host_text);
    if (host.find('\0') != std::string::npos) return bad(text);
    std::transform(host.begin(), host.end(), host.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });

    if (const auto v6 = as_v6(host)) {
        if (!bracketed) return bad(text);
        const auto inside = v4_inside(*v6);
        return address{inside ? text_of(*inside) : text_of(*v6), static_cast<std::uint16_t>(*port)};
    }
    if (bracketed) return bad(text);
    if (!as_v4(host) && !host_name_is_valid(host)) return bad(text);
    return address{host, static_cast<std::uint16_t>(*port)};
}

}  // namespace tequio::p2p
