#pragma once

/// One end of the socket pair between daemon and worker: whole messages with file descriptors.

#include <optional>
#include <span>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "node/io/files.hpp"

namespace tequio::node {

/// Most descriptors that one message carries.
inline constexpr std::size_t channel_descriptors_max = 3;

/// A message as it arrived; its descriptors belong to the receiver.
struct channel_message {
    base::byte_vector bytes;
    std::vector<unique_fd> descriptors;
};

/// Whether a call may wait.
enum class channel_wait { no, yes };

enum class channel_sent {
    whole,   ///< the message is on its way
    full,    ///< the other end does not read; nothing was sent
    closed,  ///< the other end is gone
};

/// Owns one end. Not thread-safe.
class channel {
public:
    channel() = default;
    explicit channel(unique_fd socket) : socket_(std::move(socket)) {}
    int fd() const { return socket_.get(); }

    /// Sends one message of 1..worker_message_size_max bytes; the descriptors stay the caller's.
    /// Errors: `base::errc::io_failure`.
    base::result<channel_sent> send(base::byte_view bytes, std::span<const int> descriptors,
                                    channel_wait wait);
    /// The next message; nullopt when none is there (`channel_wait::no`) or the other end is gone,
    /// which `closed()` tells apart. Errors: `base::errc::bad_encoding` for a message above its
    /// caps, whose descriptors are closed; `errc::io_failure`.
    base::result<std::optional<channel_message>> receive(channel_wait wait);
    bool closed() const { return closed_; }

private:
    unique_fd socket_;
    base::byte_vector buffer_;  ///< room for one message; made by the first `receive`
    bool closed_ = false;
};

/// A connected pair of sockets, both closed on exec. Errors: `base::errc::io_failure`.
base::result<std::pair<unique_fd, unique_fd>> make_channel_pair();

}  // namespace tequio::node
