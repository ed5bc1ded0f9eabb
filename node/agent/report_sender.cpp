#include "node/agent/report_sender.hpp"

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "base/ensure.hpp"

namespace tequio::node {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using local = asio::local::stream_protocol;
using std::chrono::milliseconds;

constexpr milliseconds pause_min{250}, pause_max{5000};
constexpr std::chrono::seconds exchange_limit{3};
constexpr std::uint64_t answer_max_bytes = 16 * 1024;

}  // namespace

struct report_sender::impl : std::enable_shared_from_this<report_sender::impl> {
    impl(asio::io_context& io, std::filesystem::path path, callbacks c)
        : socket(std::move(path)), calls(std::move(c)), stream(io), timer(io) {}

    void send(std::string body) {
        busy = true;
        request = {http::verb::put, "/api/v1/agent", 11};
        request.set(http::field::host, "tequio");
        request.set(http::field::content_type, "application/json");
        request.keep_alive(true);
        request.body() = std::move(body);
        request.prepare_payload();
        stream.expires_after(exchange_limit);
        fresh = !stream.socket().is_open();
        if (!fresh) return write();
        if (socket.native().size() > 100) return failed("longer than a Unix socket's name may be");
        stream.async_connect(local::endpoint(socket.native()),
                             [self = shared_from_this()](beast::error_code ec) {
                                 if (ec) return self->failed(ec.message());
                                 self->write();
                             });
    }

    void write() {
        http::async_write(stream, request,
                          [self = shared_from_this()](beast::error_code ec, std::size_t) {
                              if (ec) return self->broken(ec);
                              self->read();
                          });
    }

    void read() {
        parser.emplace();
        parser->body_limit(answer_max_bytes);
        http::async_read(stream, buffer, *parser,
                         [self = shared_from_this()](beast::error_code ec, std::size_t) {
                             if (ec) return self->broken(ec);
                             self->answered();
                         });
    }

    void answered() {
        const auto& answer = parser->get();
        if (!answer.keep_alive()) close();
        if (answer.result_int() != 200) {
            return failed("it answered " + std::to_string(answer.result_int()) +
                          (answer.result_int() == 404 ? ": too old for an agent" : ""));
        }
        if (trouble) tell("the daemon hears the agent");
        trouble = false;
        pause = pause_min;
        finished(true);
    }

    /// A connection that was kept may have been closed by the daemon in between: then once more, at
    /// once, on a new one.
    void broken(beast::error_code ec) {
        close();
        if (gone) return;
        if (!fresh && ec != beast::error::timeout) return send(std::move(request.body()));
        failed(ec.message());
    }

    void failed(const std::string& why) {
        close();
        if (gone) return;
        if (!trouble) {
            tell("the daemon does not hear the agent (" + socket.native() + ": " + why +
                 "); trying again");
        }
        trouble = true;
        timer.expires_after(pause);
        pause = std::min(pause * 2, pause_max);
        timer.async_wait([self = shared_from_this()](beast::error_code) { self->finished(false); });
    }

    void finished(bool taken) {
        busy = false;
        if (!gone) calls.done(taken);
    }

    void close() {
        beast::error_code ignored;
        stream.socket().close(ignored);
        buffer.clear();
    }

    void tell(const std::string& line) {
        if (!gone) calls.say(line);
    }

    std::filesystem::path socket;
    callbacks calls;
    beast::basic_stream<local> stream;
    asio::steady_timer timer;
    beast::flat_buffer buffer;
    http::request<http::string_body> request;
    std::optional<http::response_parser<http::string_body>> parser;
    milliseconds pause = pause_min;
    bool busy = false, gone = false;
    bool fresh = false;    ///< the connection was made for this report
    bool trouble = false;  ///< said already
};

report_sender::report_sender(asio::io_context& io, std::filesystem::path socket, callbacks calls)
    : impl_(std::make_shared<impl>(io, std::move(socket), std::move(calls))) {}

report_sender::~report_sender() {
    impl_->gone = true;
    impl_->timer.cancel();
    impl_->close();
}

bool report_sender::ready() const {
    return !impl_->busy;
}

void report_sender::send(std::string body) {
    base::ensure(ready(), "reports go one at a time");
    impl_->send(std::move(body));
}

}  // namespace tequio::node
