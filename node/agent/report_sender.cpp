#include "node/agent/report_sender.hpp"

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "base/ensure.hpp"
#include "node/governor/probes/waiting.hpp"

namespace tequio::node {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using local = asio::local::stream_protocol;
using std::chrono::milliseconds;

constexpr milliseconds report_pause_min{250}, report_pause_max{5000};
constexpr std::chrono::seconds exchange_limit{3};
/// So often the sockets before the one in use are tried again.
constexpr std::chrono::seconds earlier_pause{5};
constexpr std::uint64_t report_answer_max_bytes = 16 * 1024;

}  // namespace

struct report_sender::impl : std::enable_shared_from_this<report_sender::impl> {
    impl(asio::io_context& io, std::vector<std::filesystem::path> paths, callbacks c)
        : sockets(std::move(paths)), calls(std::move(c)), stream(io), timer(io) {}

    void send(std::string body) {
        busy = true;
        request = {http::verb::put, "/api/v1/agent", 11};
        request.set(http::field::host, "tequio");
        request.set(http::field::content_type, "application/json");
        request.keep_alive(true);
        request.body() = std::move(body);
        request.prepare_payload();
        if (at > 0 && probe_now() >= again_at) close();
        fresh = !stream.socket().is_open();
        stream.expires_after(exchange_limit);
        if (!fresh) return write();
        again_at = probe_now() + earlier_pause;
        troubles.clear();
        connect(0);
    }

    /// The first socket from number `from` on that lets itself be opened.
    void connect(std::size_t from) {
        if (from == sockets.size()) return failed(troubles);
        at = from;
        const auto next = [self = shared_from_this(), from](const std::string& why) {
            if (self->gone) return;
            self->troubles +=
                (self->troubles.empty() ? "" : "; ") + self->sockets[from].native() + ": " + why;
            self->close();
            self->connect(from + 1);
        };
        if (sockets[from].native().size() > 100) {
            return next("longer than a Unix socket's name may be");
        }
        stream.expires_after(exchange_limit);
        stream.async_connect(local::endpoint(sockets[from].native()),
                             [self = shared_from_this(), next](beast::error_code ec) {
                                 if (ec) return next(ec.message());
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
        parser->body_limit(report_answer_max_bytes);
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
            return failed(where() + "it answered " + std::to_string(answer.result_int()) +
                          (answer.result_int() == 404 ? ": too old for an agent" : ""));
        }
        if (trouble || (heard_at && heard_at != at)) {
            tell("the daemon hears the agent (" + sockets[at].native() + ")");
        }
        heard_at = at;
        trouble = false;
        pause = report_pause_min;
        finished(true);
    }

    /// A connection that was kept may have been closed by the daemon in between: then once more, at
    /// once, on a new one.
    void broken(beast::error_code ec) {
        close();
        if (gone) return;
        if (!fresh && ec != beast::error::timeout) return send(std::move(request.body()));
        failed(where() + ec.message());
    }

    std::string where() const { return sockets[at].native() + ": "; }

    void failed(const std::string& why) {
        close();
        if (gone) return;
        if (!trouble) {
            tell("the daemon does not hear the agent (" + why + "); trying again");
        }
        trouble = true;
        timer.expires_after(pause);
        pause = std::min(pause * 2, report_pause_max);
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

    std::vector<std::filesystem::path> sockets;
    std::size_t at = 0;                   ///< the one that is connected to
    std::optional<std::size_t> heard_at;  ///< the one that took a report last
    base::time_point again_at{};          ///< then the earlier ones are tried
    std::string troubles;                 ///< of the sockets that could not be opened
    callbacks calls;
    beast::basic_stream<local> stream;
    asio::steady_timer timer;
    beast::flat_buffer buffer;
    http::request<http::string_body> request;
    std::optional<http::response_parser<http::string_body>> parser;
    milliseconds pause = report_pause_min;
    bool busy = false, gone = false;
    bool fresh = false;    ///< the connection was made for this report
    bool trouble = false;  ///< said already
};

report_sender::report_sender(asio::io_context& io, std::vector<std::filesystem::path> sockets,
                             callbacks calls)
    : impl_(std::make_shared<impl>(io, std::move(sockets), std::move(calls))) {}

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
