#include "node/io/api_server.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <map>

#include "node/io/files.hpp"

namespace tequio::node {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using local = asio::local::stream_protocol;

/// Requests of so much time may come at once.
constexpr std::chrono::seconds burst{1};

/// What one user has of a socket: connections, and when the next request's turn is.
struct user_share {
    std::size_t connections = 0;
    asio::steady_timer::time_point turn{};
};

/// What the connections of a socket have in common; outlives the server by them.
struct common {
    api_server::handler handle;
    api_limits limits;
    std::map<uid_t, user_share> users;  ///< those that are connected, or whose turn is to come
    std::size_t connections = 0;

    /// Room for one more of that user?
    bool admits(uid_t user) {
        if (connections >= limits.connections_max) return false;
        // Whoever is gone and owes nothing is as good as new.
        const auto new_turn = asio::steady_timer::clock_type::now() - burst;
        std::erase_if(users, [&](const auto& u) {
            return u.second.connections == 0 && u.second.turn <= new_turn;
        });
        const auto found = users.find(user);
        return found == users.end() || found->second.connections < limits.connections_of_user_max;
    }

    /// When the user's next request is answered: now, unless it came too soon after others.
    asio::steady_timer::time_point take_turn(uid_t user) {
        const auto now = asio::steady_timer::clock_type::now();
        if (limits.requests_of_user == 0) return now;
        auto& share = users[user];
        const auto step = std::chrono::nanoseconds(burst) / limits.requests_of_user;
        share.turn = std::max(share.turn, now - burst) + step;
        return std::max(share.turn, now);
    }
};

/// One client connection; keeps itself alive while an operation is pending.
class connection : public std::enable_shared_from_this<connection> {
public:
    connection(local::socket socket, api_peer from, std::shared_ptr<common> shared)
        : stream_(std::move(socket)),
          timer_(stream_.get_executor()),
          from_(from),
          common_(std::move(shared)) {
        ++common_->connections;
        ++common_->users[from_.user].connections;
    }
    ~connection() {
        --common_->connections;
        // Stays until its turn has passed: a new connection buys no new turn.
        --common_->users[from_.user].connections;
    }

    void read() {
        parser_.emplace();
        parser_->header_limit(common_->limits.head_bytes_max);
        parser_->body_limit(common_->limits.body_bytes_max);
        stream_.expires_after(common_->limits.patience);
        http::async_read(stream_, buffer_, *parser_,
                         [self = shared_from_this()](beast::error_code ec, std::size_t) {
                             if (!ec) self->await_turn();
                         });
    }

private:
    void await_turn() {
        const auto turn = common_->take_turn(from_.user);
        if (turn <= asio::steady_timer::clock_type::now()) return answer();
        timer_.expires_at(turn);
        timer_.async_wait([self = shared_from_this()](beast::error_code ec) {
            if (!ec) self->answer();
        });
    }

    void answer() {
        const auto& message = parser_->get();
        const bool keep = message.keep_alive();
        api_request request{std::string(message.method_string()), std::string(message.target()),
                            message.body(), from_};
        common_->handle(std::move(request),
                        [self = shared_from_this(), keep](api_response response) {
                            self->write(std::move(response), keep);
                        });
    }

    void write(api_response response, bool keep) {
        response_.emplace(static_cast<http::status>(response.status), 11);
        response_->set(http::field::content_type, response.content_type);
        response_->keep_alive(keep);
        response_->body() = std::move(response.body);
        response_->prepare_payload();
        stream_.expires_after(common_->limits.patience);
        http::async_write(stream_, *response_,
                          [self = shared_from_this(), keep](beast::error_code ec, std::size_t) {
                              if (!ec && keep) self->read();
                          });
    }

    beast::basic_stream<local> stream_;
    asio::steady_timer timer_;
    beast::flat_buffer buffer_;
    std::optional<http::request_parser<http::string_body>> parser_;
    std::optional<http::response<http::string_body>> response_;
    api_peer from_;
    std::shared_ptr<common> common_;
};

/// Who connected; empty when the kernel does not say.
std::optional<api_peer> peer_of(local::socket& socket) {
    ucred found{};
    socklen_t size = sizeof found;
    if (::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &found, &size) != 0)
        return {};
    return api_peer{found.uid, found.pid};
}

base::error cannot_listen(const std::filesystem::path& socket, const std::string& why) {
    return base::fail(base::errc::io_failure, socket.string() + ": cannot listen: " + why);
}

/// Does anybody listen there? Waits for nothing.
bool is_alive(const std::filesystem::path& socket) {
    const local::endpoint where(socket.string());
    const unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    return ::connect(fd.get(), where.data(), static_cast<socklen_t>(where.size())) == 0 ||
           errno != ECONNREFUSED;
}

/// Removes what a dead daemon left, and nothing else.
base::result<void> clear(const std::filesystem::path& socket, bool locked) {
    std::error_code none;
    const auto found = std::filesystem::symlink_status(socket, none);
    if (!std::filesystem::exists(found)) return {};
    if (!std::filesystem::is_socket(found)) return cannot_listen(socket, "it is not a socket");
    if (!locked && is_alive(socket)) return cannot_listen(socket, "another daemon does");
    ::unlink(socket.c_str());
    return {};
}

}  // namespace

struct api_server::impl : std::enable_shared_from_this<api_server::impl> {
    explicit impl(asio::io_context& io) : acceptor(io), pause(io) {}

    void accept() {
        acceptor.async_accept(
            [self = shared_from_this()](beast::error_code ec, local::socket socket) {
                if (ec == asio::error::operation_aborted) return;
                if (!ec) self->take_in(std::move(socket));
                if (self->shared->limits.accept_pause.count() == 0) return self->accept_on();
                self->pause.expires_after(self->shared->limits.accept_pause);
                self->pause.async_wait([self](beast::error_code) { self->accept_on(); });
            });
    }

    void accept_on() {
        if (acceptor.is_open()) accept();
    }

    void take_in(local::socket socket) {
        const auto from = peer_of(socket);
        if (!from || !shared->admits(from->user)) return;
        std::make_shared<connection>(std::move(socket), *from, shared)->read();
    }

    local::acceptor acceptor;
    asio::steady_timer pause;
    std::shared_ptr<common> shared = std::make_shared<common>();
    std::filesystem::path path;
};

api_server::api_server(std::shared_ptr<impl> state) : impl_(std::move(state)) {}
api_server::~api_server() {
    close();
}

base::result<std::unique_ptr<api_server>> api_server::listen(asio::io_context& io,
                                                             const std::filesystem::path& socket,
                                                             handler handle,
                                                             const api_limits& limits) {
    if (socket.native().size() > 100) {
        return base::fail(base::errc::io_failure,
                          socket.string() +
                              ": longer than the 100 characters a Unix socket may have; choose "
                              "a shorter --data-dir");
    }
    TEQUIO_CHECK(clear(socket, limits.locked));
    auto self = std::make_shared<impl>(io);
    self->shared->handle = std::move(handle);
    self->shared->limits = limits;
    self->path = socket;
    beast::error_code ec;
    self->acceptor.open(local(), ec);
    // Never open to more than in the end, not even for a moment.
    const auto mask = ::umask(0777 & ~limits.mode);
    if (!ec) self->acceptor.bind(local::endpoint(socket.string()), ec);
    ::umask(mask);
    if (!ec) self->acceptor.listen(asio::socket_base::max_listen_connections, ec);
    if (ec) return cannot_listen(socket, ec.message());
    self->accept();
    return std::unique_ptr<api_server>(new api_server(std::move(self)));
}

void api_server::close() {
    beast::error_code ec;
    if (impl_->acceptor.is_open()) {
        impl_->acceptor.close(ec);
        impl_->pause.cancel();
        ::unlink(impl_->path.c_str());
    }
}

}  // namespace tequio::node
