#pragma once

/// A blocking HTTP client over the daemon's Unix socket, for the command line.

#include <boost/json/value.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "base/result.hpp"

namespace tequio::node {

/// What can go wrong between the command line and the daemon.
enum class client_errc {
    not_reachable = 1,  ///< no daemon behind the socket (exit code 3)
    refused,            ///< the daemon answered with an error; the sentence is its own
    not_found,          ///< the daemon does not know the thing asked for (exit code 4)
    forbidden,          ///< refused by policy or permission (exit code 5)
    broken,             ///< the connection ended in the middle
};
boost::system::error_code make_error_code(client_errc e);

class api_client {
public:
    /// Connects to `data_dir`/api.sock. Errors: `not_reachable`, naming the data dir and the
    /// command that starts a daemon.
    static base::result<api_client> connect(const std::filesystem::path& data_dir);
    api_client(api_client&&) noexcept;
    api_client& operator=(api_client&&) noexcept;
    ~api_client();

    /// The body of a 200 answer. A daemon's error becomes the matching `client_errc` with its
    /// sentence.
    base::result<std::string> request(const std::string& method, const std::string& target,
                                      std::string body = {});
    /// The same, parsed.
    base::result<boost::json::value> request_json(const std::string& method,
                                                  const std::string& target, std::string body = {});

private:
    struct impl;
    explicit api_client(std::unique_ptr<impl> state);
    std::unique_ptr<impl> impl_;
};

}  // namespace tequio::node
