#pragma once

/// HTTP on a Unix socket: the owner's API in the data dir (mode 0600: whoever can open it is the
/// owner), and the door for session agents of other users. HTTP by Boost.Beast; what a request
/// means is decided by the handler.

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/blob.hpp"

namespace tequio::node {

/// Who is at the other end, by the kernel's word (SO_PEERCRED), as of when it connected.
struct api_peer {
    uid_t user = 0;
    pid_t process = 0;
};

struct api_request {
    std::string method;  ///< "GET", "PUT", "POST"
    std::string target;  ///< path and query, at most 4 KiB
    std::string body;    ///< at most `api_limits::body_bytes_max`
    api_peer from;
};

struct api_response {
    int status = 200;
    std::string body;
    std::string content_type = "application/json";
};

/// What one socket takes. The defaults are those of the owner's.
struct api_limits {
    mode_t mode = 0600;  ///< who may connect
    bool locked = true;  ///< a lock that is held says that nobody else listens there
    std::size_t connections_max = 64;
    std::size_t connections_of_user_max = 64;
    std::uint32_t head_bytes_max = 8 * 1024;
    std::uint64_t body_bytes_max = 1024 * 1024;
    std::chrono::seconds patience{300};  ///< for a whole request, and for an answer to be taken
    /// Requests a second of one user; what comes sooner is answered later. 0: no limit.
    unsigned requests_of_user = 0;
    /// Time between two connections that are taken in: whoever does nothing but connect costs
    /// little.
    std::chrono::milliseconds accept_pause{0};
};

class api_server {
public:
    /// Called on the network thread; `respond` may be called later, once, from the same thread.
    using handler = std::function<void(api_request, std::function<void(api_response)> respond)>;

    /// Listens at `socket`; a left-over socket file of a dead daemon is replaced. Errors:
    /// `errc::io_failure`, also when somebody listens there or the file is not a socket.
    static base::result<std::unique_ptr<api_server>> listen(boost::asio::io_context& io,
                                                            const std::filesystem::path& socket,
                                                            handler handle,
                                                            const api_limits& limits = {});
    ~api_server();
    void close();

private:
    struct impl;
    explicit api_server(std::shared_ptr<impl> state);
    std::shared_ptr<impl> impl_;
};

}  // namespace tequio::node
