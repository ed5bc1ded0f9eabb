#pragma once

/// Frames of a connection, decoded: see session.proto and README.md beside this file.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.hpp"
#include "base/ids.hpp"
#include "base/signing.hpp"
#include "p2p/error.hpp"

namespace tequio::p2p::wire {

inline constexpr std::size_t frame_size_max = 1024 * 1024;
inline constexpr std::size_t versions_max = 16;
inline constexpr std::size_t swarm_proofs_max = 16;
inline constexpr std::size_t exactness_max = 128;
inline constexpr std::size_t refusal_detail_max = 256;

struct hello {
    std::vector<std::uint32_t> versions;
    std::vector<base::digest> swarm_proofs;
    base::node_id node;
    base::byte_vector session_certificate;
    std::string exactness;
    std::uint16_t listen_port = 0;
    bool operator==(const hello&) const = default;
};
struct auth {
    base::signature signature{};
    bool operator==(const auth&) const = default;
};
struct refusal {
    std::uint32_t reason = 0;
    std::string detail;
    bool operator==(const refusal&) const = default;
};
struct ping {
    std::uint64_t token = 0;
    bool operator==(const ping&) const = default;
};
struct pong {
    std::uint64_t token = 0;
    bool operator==(const pong&) const = default;
};
struct data {
    base::byte_vector bytes;
    bool operator==(const data&) const = default;
};
using session_frame = std::variant<hello, auth, refusal, ping, pong, data>;

/// The frame's payload, without its length.
base::byte_vector encode(const session_frame& frame);
/// Errors: `errc::bad_message`. Safe on any input.
base::result<session_frame> decode_session_frame(base::byte_view payload);

/// `payload` behind its length: what goes to the socket. At most `frame_size_max` bytes.
base::byte_vector framed(base::byte_view payload);

/// Cuts a stream of bytes into frames. At most one frame is held, and nothing is allocated for
/// bytes that have not come.
class frame_reader {
public:
    enum class state { need_more, frame, too_large, empty_frame };
    /// Adds bytes from the socket.
    void feed(base::byte_view bytes);
    /// Takes the next whole frame into `out`. After `too_large` or `empty_frame` the stream is of
    /// no further use.
    state next(base::byte_vector& out);
    /// True when the stream may end here: no half frame is held.
    bool between_frames() const { return held_.size() == used_; }

private:
    base::byte_vector held_;
    std::size_t used_ = 0;
};

}  // namespace tequio::p2p::wire
