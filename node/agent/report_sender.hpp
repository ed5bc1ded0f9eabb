#pragma once

/// Carries reports to the daemon: `PUT /api/v1/agent` over its Unix socket, one at a time, on a
/// connection that is kept. While the daemon is away it tries again after 0.25 s, 0.5 s, ... 5 s; a
/// report that failed is dropped, for a newer one says more.
///
/// Of several sockets the first that lets itself be opened counts. While a later one does, the
/// earlier ones are tried again every 5 s: a user's own daemon may be started at any time.

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tequio::node {

class report_sender {
public:
    struct callbacks {
        std::function<void(bool taken)> done;         ///< after each report; `ready` is true again
        std::function<void(const std::string&)> say;  ///< when the daemon goes or comes
    };
    /// All on the thread of `io`; callbacks come from it, and none after the destructor.
    report_sender(boost::asio::io_context& io, std::vector<std::filesystem::path> sockets,
                  callbacks calls);
    ~report_sender();

    /// A report may be handed over: none is under way, and no pause is.
    bool ready() const;
    /// Begins to send one; only when `ready`. Ends within 3 s for each socket, and the pause.
    void send(std::string body);

private:
    struct impl;
    std::shared_ptr<impl> impl_;
};

}  // namespace tequio::node
