#pragma once

/// Where a node can be reached: an IP address or a host name, and a TCP port.

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "p2p/error.hpp"

namespace tequio::p2p {

/// `host` is an IPv4 or IPv6 literal in canonical text (no brackets), or a host name in lower case.
struct address {
    std::string host;
    std::uint16_t port = 0;

    auto operator<=>(const address&) const = default;
    /// "127.0.0.1:47100", "[::1]:47100", "example.org:47100".
    std::string text() const;
    /// True for IPv4 and IPv6 literals. What peers tell us must be literals: a name would make our
    /// resolver ask whatever a stranger likes.
    bool is_literal() const;
    /// 127.0.0.0/8, ::1, and the name "localhost" (the transport checks again after resolving).
    bool is_loopback() const;
    /// Loopback, private (RFC 1918, RFC 4193) or link-local: limits per group of addresses spare
    /// these, or a cluster in one subnet could not form.
    bool is_local() const;
    /// The group of addresses that one party can easily own many of: IPv4 /16, IPv6 /32, a name's
    /// last two labels. Source: Bitcoin Core's netgroups.
    std::string netgroup() const;
};

/// Longest text `parse_address` reads (a DNS name has at most 253 characters).
inline constexpr std::size_t address_text_max = 261;

/// Reads "host:port", IPv6 in brackets. Port 0 is allowed (to listen on any). Errors:
/// `errc::bad_address`, saying what form is expected.
base::result<address> parse_address(std::string_view text);

}  // namespace tequio::p2p
