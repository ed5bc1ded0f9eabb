#include "node/worker/channel.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/ensure.hpp"
#include "node/worker/protocol.hpp"

namespace tequio::node {
namespace {

base::error channel_error(const char* what) {
    return base::fail(base::errc::io_failure,
                      std::string("worker channel: cannot ") + what + ": " + std::strerror(errno));
}

/// Room for the descriptors of one message, aligned as the kernel wants it.
struct control_buffer {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * channel_descriptors_max)> bytes{};
};

std::vector<unique_fd> take_descriptors(msghdr& header) {
    std::vector<unique_fd> out;
    for (auto* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        const auto count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
            out.emplace_back(fd);
        }
    }
    return out;
}

}  // namespace

base::result<channel_sent> channel::send(base::byte_view bytes, std::span<const int> descriptors,
                                         channel_wait wait) {
    base::ensure(!bytes.empty() && bytes.size() <= worker_message_size_max &&
                     descriptors.size() <= channel_descriptors_max,
                 "a worker message keeps its caps");
    iovec part{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    control_buffer control;
    if (!descriptors.empty()) {
        const auto size = descriptors.size() * sizeof(int);
        header.msg_control = control.bytes.data();
        header.msg_controllen = CMSG_SPACE(size);
        auto* rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(size);
        std::memcpy(CMSG_DATA(rights), descriptors.data(), size);
    }
    const int flags = MSG_NOSIGNAL | (wait == channel_wait::no ? MSG_DONTWAIT : 0);
    while (true) {
        if (::sendmsg(fd(), &header, flags) >= 0) return channel_sent::whole;
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return channel_sent::full;
        if (errno == EPIPE || errno == ECONNRESET) return channel_sent::closed;
        return channel_error("send");
    }
}

base::result<std::optional<channel_message>> channel::receive(channel_wait wait) {
    buffer_.resize(worker_message_size_max);
    iovec part{buffer_.data(), buffer_.size()};
    control_buffer control;
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.bytes.data();
    header.msg_controllen = control.bytes.size();
    const int flags = MSG_CMSG_CLOEXEC | (wait == channel_wait::no ? MSG_DONTWAIT : 0);
    ssize_t size = 0;
    do {
        size = ::recvmsg(fd(), &header, flags);
    } while (size < 0 && errno == EINTR);
    if (size < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) return std::optional<channel_message>();
        if (errno != ECONNRESET) return channel_error("receive");
        size = 0;
    }
    if (size == 0) {
        closed_ = true;
        return std::optional<channel_message>();
    }
    channel_message message;
    message.descriptors = take_descriptors(header);
    if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        return base::fail(base::errc::bad_encoding, "worker channel: a message above its caps");
    }
    message.bytes.assign(buffer_.begin(), buffer_.begin() + size);
    return std::optional<channel_message>(std::move(message));
}

base::result<std::pair<unique_fd, unique_fd>> make_channel_pair() {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return channel_error("make a socket pair");
    }
    return std::pair(unique_fd(ends[0]), unique_fd(ends[1]));
}

}  // namespace tequio::node
