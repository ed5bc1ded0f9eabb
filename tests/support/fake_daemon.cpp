#include "tests/support/fake_daemon.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/ensure.hpp"
#include "base/text.hpp"

namespace tequio::tests {
namespace {

constexpr std::string_view request_line = "PUT /api/v1/agent HTTP/1.1\r\n";
constexpr std::string_view length_header = "Content-Length: ";
constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// Takes the first whole request off `text`: its head and its body; empty when it is not whole yet.
std::optional<std::pair<std::string, std::string>> take_request(std::string& text) {
    const auto end = text.find("\r\n\r\n");
    const auto at = text.find(length_header);
    if (end == std::string::npos || at == std::string::npos || at > end) return std::nullopt;
    const auto digits = at + length_header.size();
    const auto length =
        base::parse_u64(std::string_view(text).substr(digits, text.find("\r\n", digits) - digits));
    if (!length || text.size() < end + 4 + *length) return std::nullopt;
    std::pair out{text.substr(0, end + 2), text.substr(end + 4, *length)};
    text.erase(0, end + 4 + *length);
    return out;
}

}  // namespace

fake_daemon::fake_daemon(std::filesystem::path socket) : path_(std::move(socket)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    base::ensure(path_.native().size() < sizeof address.sun_path, "short paths in tests");
    std::strcpy(address.sun_path, path_.c_str());
    ::unlink(path_.c_str());
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    base::ensure(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                     ::listen(listener_, 8) == 0,
                 "a test can listen in its folder");
    thread_ = std::thread([this] { run(); });
}

fake_daemon::~fake_daemon() {
    ended_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    ::unlink(path_.c_str());
}

void fake_daemon::run() {
    while (!ended_) {
        const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0) continue;
        serve(client);
        ::close(client);
    }
}

void fake_daemon::serve(int client) {
    std::string text;
    while (!ended_) {
        pollfd event{client, POLLIN, 0};
        if (::poll(&event, 1, 50) <= 0) continue;
        char buffer[4096];
        const auto size = ::read(client, buffer, sizeof buffer);
        if (size <= 0) return;
        const auto now = std::chrono::steady_clock::now();
        text.append(buffer, static_cast<std::size_t>(size));
        while (const auto request = take_request(text)) {
            const auto report = node::parse_agent_report(request->second);
            {
                const std::lock_guard lock(mutex_);
                if (report && request->first.starts_with(request_line)) {
                    heard_.push_back({now, *report});
                } else {
                    wrong_.push_back(request->first + request->second);
                }
            }
            news_.notify_all();
            if (::send(client, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return;
        }
    }
}

std::optional<fake_daemon::heard> fake_daemon::wait(
    std::size_t& from, std::chrono::milliseconds limit,
    const std::function<bool(const node::agent_report&)>& fits) {
    std::unique_lock lock(mutex_);
    std::optional<heard> found;
    news_.wait_for(lock, limit, [&] {
        for (; !found && from < heard_.size(); ++from) {
            if (fits(heard_[from].report)) found = heard_[from];
        }
        return found.has_value();
    });
    return found;
}

std::size_t fake_daemon::count() {
    const std::lock_guard lock(mutex_);
    return heard_.size();
}

std::vector<std::string> fake_daemon::wrong() {
    const std::lock_guard lock(mutex_);
    return wrong_;
}

}  // namespace tequio::tests
