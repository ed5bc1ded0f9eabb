#include "node/io/log_format.hpp"

#include <spdlog/formatter.h>
#include <spdlog/spdlog.h>

#include <boost/json.hpp>
#include <chrono>

#include "base/text.hpp"
#include "base/time.hpp"

namespace tequio::node {
namespace {

class json_formatter final : public spdlog::formatter {
public:
    void format(const spdlog::details::log_msg& line, spdlog::memory_buf_t& out) override {
        const auto at =
            std::chrono::duration_cast<std::chrono::milliseconds>(line.time.time_since_epoch());
        const auto level = spdlog::level::to_string_view(line.level);
        const auto text = json_log_line(at.count(), {level.data(), level.size()},
                                        {line.payload.data(), line.payload.size()}) +
                          "\n";
        out.append(text.data(), text.data() + text.size());
    }
    std::unique_ptr<spdlog::formatter> clone() const override {
        return std::make_unique<json_formatter>();
    }
};

}  // namespace

std::string as_utf8(std::string_view bytes) {
    std::string out;
    while (!bytes.empty()) {
        const auto length = base::utf8_length(bytes);
        out += length == 0 ? std::string_view("\xef\xbf\xbd") : bytes.substr(0, length);
        bytes.remove_prefix(length == 0 ? 1 : length);
    }
    return out;
}

std::string json_log_line(std::int64_t unix_milliseconds, std::string_view level,
                          std::string_view message) {
    auto time = base::to_rfc3339({unix_milliseconds / 1000});
    const auto rest = std::to_string(unix_milliseconds % 1000);
    time.insert(time.size() - 1, "." + std::string(3 - rest.size(), '0') + rest);
    return boost::json::serialize(
        boost::json::object{{"time", time}, {"level", level}, {"message", as_utf8(message)}});
}

void set_log_format(const std::string& format) {
    if (format == "json") {
        spdlog::set_formatter(std::make_unique<json_formatter>());
    } else {
        spdlog::set_pattern("%Y-%m-%dT%H:%M:%S%z %l %v");
    }
}

}  // namespace tequio::node
