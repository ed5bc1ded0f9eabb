#include "node/cli/api_client.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>

namespace tequio::node {
namespace {

namespace http = boost::beast::http;
using local = boost::asio::local::stream_protocol;

constexpr std::uint64_t answer_max_bytes = 64 * 1024 * 1024;

class client_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "tequio.client"; }
    std::string message(int value) const override {
        switch (static_cast<client_errc>(value)) {
            case client_errc::not_reachable:
                return "no daemon is running";
            case client_errc::refused:
                return "the daemon refused";
            case client_errc::not_found:
                return "not found";
            case client_errc::forbidden:
                return "refused by policy";
            case client_errc::broken:
                return "the connection to the daemon broke";
        }
        return "unknown error";
    }
};
const client_category category;

}  // namespace

boost::system::error_code make_error_code(client_errc e) {
    return {static_cast<int>(e), category};
}

struct api_client::impl {
    boost::asio::io_context io;
    local::socket socket{io};
    boost::beast::flat_buffer buffer;
};

api_client::api_client(std::unique_ptr<impl> state) : impl_(std::move(state)) {}
api_client::api_client(api_client&&) noexcept = default;
api_client& api_client::operator=(api_client&&) noexcept = default;
api_client::~api_client() = default;

base::result<api_client> api_client::connect(const std::filesystem::path& data_dir) {
    auto out = std::make_unique<impl>();
    boost::system::error_code ec;
    const auto path = (data_dir / "api.sock").string();
    if (path.size() <= 100) {
        out->socket.connect(local::endpoint(path), ec);
    } else {
        ec = boost::asio::error::name_too_long;
    }
    if (ec) {
        return base::fail(client_errc::not_reachable,
                          "no daemon answers in " + data_dir.string() + " (" + ec.message() +
                              "); start one with: tequio node --data-dir " + data_dir.string());
    }
    return api_client(std::move(out));
}

base::result<std::string> api_client::request(const std::string& method, const std::string& target,
                                              std::string body) {
    http::request<http::string_body> message(http::string_to_verb(method), target, 11);
    message.set(http::field::host, "tequio");
    message.body() = std::move(body);
    message.prepare_payload();
    boost::system::error_code ec;
    http::write(impl_->socket, message, ec);
    http::response_parser<http::string_body> parser;
    parser.body_limit(answer_max_bytes);
    if (!ec) http::read(impl_->socket, impl_->buffer, parser, ec);
    if (ec) {
        return base::fail(client_errc::broken,
                          "the daemon went away in the middle of an answer (" + ec.message() + ")");
    }
    auto& answer = parser.get();
    if (answer.result_int() == 200) return std::move(answer.body());
    std::string sentence = answer.body();
    boost::system::error_code parse_error;
    const auto value = boost::json::parse(sentence, parse_error);
    if (!parse_error && value.is_object() && value.as_object().contains("error") &&
        value.as_object().at("error").is_string()) {
        sentence = std::string(value.as_object().at("error").as_string());
    }
    switch (answer.result_int()) {
        case 404:
            return base::fail(client_errc::not_found, sentence);
        case 403:
            return base::fail(client_errc::forbidden, sentence);
        default:
            return base::fail(client_errc::refused, sentence);
    }
}

base::result<boost::json::value> api_client::request_json(const std::string& method,
                                                          const std::string& target,
                                                          std::string body) {
    TEQUIO_TRY(const auto text, request(method, target, std::move(body)));
    boost::system::error_code ec;
    auto value = boost::json::parse(text, ec);
    if (ec)
        return base::fail(client_errc::broken, "the daemon's answer is not JSON: " + ec.message());
    return value;
}

}  // namespace tequio::node
