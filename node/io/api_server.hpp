#pragma once

/// The local HTTP API on a Unix socket in the data dir (mode 0600: whoever can open it is the
/// owner). HTTP by Boost.Beast; what a request means is decided by the handler.

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/blob.hpp"

namespace tequio::node {

struct api_request {
    std::string method;  ///< "GET", "PUT", "POST"
    std::string target;  ///< path and query, at most 4 KiB
    std::string body;    ///< at most 1 MiB
};

struct api_response {
    int status = 200;
    std::string body;
    std::string content_type = "application/json";
};

class api_server {
public:
    /// Called on the network thread; `respond` may be called later, once, from the same thread.
    using handler = std::function<void(api_request, std::function<void(api_response)> respond)>;

    /// Listens at `socket`; a left-over socket file of a dead daemon is replaced (the data dir's
    /// lock is held by us).
    static base::result<std::unique_ptr<api_server>> listen(boost::asio::io_context& io,
                                                            const std::filesystem::path& socket,
                                                            handler handle);
    ~api_server();
    void close();

private:
    struct impl;
    explicit api_server(std::shared_ptr<impl> state);
    std::shared_ptr<impl> impl_;
};

}  // namespace tequio::node
