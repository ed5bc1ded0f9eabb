#include "node/io/api_server.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "node/io/files.hpp"

namespace tequio::node {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using local = asio::local::stream_protocol;

constexpr std::uint64_t body_max_bytes = 1024 * 1024;
constexpr std::size_t connections_max = 64;

/// One client connection; keeps itself alive while an operation is pending.
class connection : public std::enable_shared_from_this<connection> {
public:
    connection(local::socket socket, const api_server::handler& handle, std::shared_ptr<int> slot)
        : stream_(std::move(socket)), handle_(handle), slot_(std::move(slot)) {}

    void read() {
        parser_.emplace();
        parser_->body_limit(body_max_bytes);
        stream_.expires_after(std::chrono::minutes(5));
        http::async_read(stream_, buffer_, *parser_,
                         [self = shared_from_this()](beast::error_code ec, std::size_t) {
                             if (!ec) self->answer();
                         });
    }

private:
    void answer() {
        const auto& message = parser_->get();
        const bool keep = message.keep_alive();
        api_request request{std::string(message.method_string()), std::string(message.target()),
                            message.body()};
        handle_(std::move(request), [self = shared_from_this(), keep](api_response response) {
            self->write(std::move(response), keep);
        });
    }

    void write(api_response response, bool keep) {
        response_.emplace(static_cast<http::status>(response.status), 11);
        response_->set(http::field::content_type, response.content_type);
        response_->keep_alive(keep);
        response_->body() = std::move(response.body);
        response_->prepare_payload();
        stream_.expires_after(std::chrono::minutes(5));
        http::async_write(stream_, *response_,
                          [self = shared_from_this(), keep](beast::error_code ec, std::size_t) {
                              if (!ec && keep) self->read();
                          });
    }

    beast::basic_stream<local> stream_;
    beast::flat_buffer buffer_;
    std::optional<http::request_parser<http::string_body>> parser_;
    std::optional<http::response<http::string_body>> response_;
    const api_server::handler& handle_;
    std::shared_ptr<int> slot_;
};

}  // namespace

struct api_server::impl : std::enable_shared_from_this<api_server::impl> {
    impl(asio::io_context& io, handler h) : acceptor(io), handle(std::move(h)) {}

    void accept() {
        acceptor.async_accept([self = shared_from_this()](beast::error_code ec,
                                                          local::socket socket) {
            if (ec == asio::error::operation_aborted) return;
            if (!ec && self->slots.use_count() <= static_cast<long>(connections_max)) {
                std::make_shared<connection>(std::move(socket), self->handle, self->slots)->read();
            }
            if (self->acceptor.is_open()) self->accept();
        });
    }

    local::acceptor acceptor;
    handler handle;
    std::shared_ptr<int> slots = std::make_shared<int>(0);  ///< its use count counts connections
    std::filesystem::path path;
};

api_server::api_server(std::shared_ptr<impl> state) : impl_(std::move(state)) {}
api_server::~api_server() {
    close();
}

base::result<std::unique_ptr<api_server>> api_server::listen(asio::io_context& io,
                                                             const std::filesystem::path& socket,
                                                             handler handle) {
    if (socket.native().size() > 100) {
        return base::fail(base::errc::io_failure,
                          socket.string() +
                              ": longer than the 100 characters a Unix socket may have; choose "
                              "a shorter --data-dir");
    }
    ::unlink(socket.c_str());
    auto self = std::make_shared<impl>(io, std::move(handle));
    self->path = socket;
    beast::error_code ec;
    self->acceptor.open(local(), ec);
    const auto mask = ::umask(0177);
    if (!ec) self->acceptor.bind(local::endpoint(socket.string()), ec);
    ::umask(mask);
    if (!ec) self->acceptor.listen(asio::socket_base::max_listen_connections, ec);
    if (ec)
        return base::fail(base::errc::io_failure,
                          socket.string() + ": cannot listen: " + ec.message());
    self->accept();
    return std::unique_ptr<api_server>(new api_server(std::move(self)));
}

void api_server::close() {
    beast::error_code ec;
    if (impl_->acceptor.is_open()) {
        impl_->acceptor.close(ec);
        ::unlink(impl_->path.c_str());
    }
}

}  // namespace tequio::node
