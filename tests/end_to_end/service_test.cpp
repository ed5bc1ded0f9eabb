// The daemon under a service manager: a socket of ours stands in for systemd's.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "node/io/service_notify.hpp"

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// A folder with a socket in it that hears what a service says.
class manager {
public:
    manager() {
        std::string name = (std::filesystem::temp_directory_path() / "tequio-service.XXXXXX");
        BOOST_REQUIRE(::mkdtemp(name.data()) != nullptr);
        folder_ = name;
        sockaddr_un where{};
        where.sun_family = AF_UNIX;
        BOOST_REQUIRE(path().size() < sizeof where.sun_path);
        std::memcpy(where.sun_path, path().data(), path().size());
        socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        BOOST_REQUIRE(::bind(socket_, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0);
    }
    ~manager() {
        ::close(socket_);
        std::filesystem::remove_all(folder_);
    }
    const std::string& folder() const { return folder_; }
    std::string path() const { return folder_ + "/notify"; }

    /// The next message; "" after `patience`.
    std::string hear(milliseconds patience = std::chrono::seconds(20)) {
        pollfd waiting{socket_, POLLIN, 0};
        if (::poll(&waiting, 1, static_cast<int>(patience.count())) <= 0) return "";
        std::array<char, 4096> buffer;
        const auto size = ::recv(socket_, buffer.data(), buffer.size(), 0);
        return size > 0 ? std::string(buffer.data(), static_cast<std::size_t>(size)) : "";
    }
    /// Hears on until a message begins with `start`.
    std::string hear_until(std::string_view start) {
        for (auto text = hear(); !text.empty(); text = hear()) {
            if (text.starts_with(start)) return text;
        }
        return "";
    }

private:
    std::string folder_;
    int socket_ = -1;
};

/// The real daemon, started as a manager starts it.
class daemon_process {
public:
    explicit daemon_process(const manager& m, bool with_watchdog = true) {
        std::vector<std::string> words{TEQUIO_PROGRAM, "node", "--always", "--data-dir",
                                       m.folder() + "/data"};
        std::vector<std::string> settings{"NOTIFY_SOCKET=" + m.path(), "HOME=" + m.folder(),
                                          "PATH=/usr/bin:/bin"};
        if (with_watchdog) settings.emplace_back("WATCHDOG_USEC=2000000");
        auto arguments = pointers(words), environment = pointers(settings);
        BOOST_REQUIRE(::posix_spawn(&process_, TEQUIO_PROGRAM, nullptr, nullptr, arguments.data(),
                                    environment.data()) == 0);
    }
    ~daemon_process() {
        if (process_ <= 0) return;
        ::kill(process_, SIGKILL);
        ::waitpid(process_, nullptr, 0);
    }
    void signal(int number) const { ::kill(process_, number); }
    /// Exit code; 1000 + signal; -1 if it lives on after `patience`.
    int end(milliseconds patience) {
        const auto deadline = steady_clock::now() + patience;
        int status = 0;
        while (::waitpid(process_, &status, WNOHANG) == 0) {
            if (steady_clock::now() > deadline) return -1;
            ::poll(nullptr, 0, 5);
        }
        process_ = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    }

private:
    static std::vector<char*> pointers(std::vector<std::string>& texts) {
        std::vector<char*> out;
        for (auto& text : texts) out.push_back(text.data());
        out.push_back(nullptr);
        return out;
    }
    pid_t process_ = 0;
};

/// The environment is what sd_notify reads.
struct notified_environment {
    explicit notified_environment(const manager& m) {
        ::setenv("NOTIFY_SOCKET", m.path().c_str(), 1);
        ::unsetenv("WATCHDOG_USEC");
        ::unsetenv("WATCHDOG_PID");
    }
    ~notified_environment() {
        for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
            ::unsetenv(name);
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(service)

BOOST_AUTO_TEST_CASE(manager_hears_ready_status_life_and_end) {
    manager m;
    daemon_process d(m);
    const auto ready = m.hear_until("READY=1");
    BOOST_TEST(ready == "READY=1\nSTATUS=no job is here");
    // The next sign is due within 1 s; after 2 s a manager would act.
    for (int i = 0; i < 3; ++i) {
        const auto before = steady_clock::now();
        BOOST_TEST(m.hear() == "WATCHDOG=1");
        BOOST_TEST((steady_clock::now() - before < milliseconds(2000)));
    }
    d.signal(SIGTERM);
    BOOST_TEST(m.hear_until("STOPPING=1").starts_with("STOPPING=1\nSTATUS="));
    BOOST_TEST(d.end(std::chrono::seconds(10)) == 0);
}

BOOST_AUTO_TEST_CASE(hung_loop_gives_no_sign_of_life) {
    manager m;
    daemon_process d(m);
    BOOST_TEST(!m.hear_until("WATCHDOG=1").empty());
    d.signal(SIGSTOP);
    while (!m.hear(milliseconds(100)).empty()) {
    }
    BOOST_TEST(m.hear(milliseconds(2500)).empty());
    d.signal(SIGCONT);
    BOOST_TEST(!m.hear_until("WATCHDOG=1").empty());
    // Ctrl-C ends it too.
    d.signal(SIGINT);
    BOOST_TEST(d.end(std::chrono::seconds(10)) == 0);
}

BOOST_AUTO_TEST_CASE(without_watchdog_there_is_only_status) {
    manager m;
    daemon_process d(m, false);
    BOOST_TEST(!m.hear_until("READY=1").empty());
    // Nothing changes, so nothing is said.
    BOOST_TEST(m.hear(milliseconds(2500)) == "");
    d.signal(SIGTERM);
    d.signal(SIGTERM);
    BOOST_TEST(d.end(std::chrono::seconds(10)) == 0);
}

// Whoever can open it commands the node: nothing behind it asks for more.
BOOST_AUTO_TEST_CASE(owners_socket_is_private) {
    manager m;
    const daemon_process d(m, false);
    BOOST_TEST(!m.hear_until("READY=1").empty());
    struct stat info {};
    BOOST_REQUIRE(::stat((m.folder() + "/data/api.sock").c_str(), &info) == 0);
    BOOST_TEST(S_ISSOCK(info.st_mode));
    BOOST_TEST((info.st_mode & 0777) == 0600u);
}

BOOST_AUTO_TEST_CASE(reload_carries_the_time_and_values_stay_on_one_line) {
    manager m;
    const notified_environment environment(m);
    boost::asio::io_context io;
    std::string state = "one\nWATCHDOG=trigger";
    tequio::node::service_notify notify(io, [&] { return state; });
    notify.ready();
    BOOST_TEST(m.hear() == "READY=1\nSTATUS=one WATCHDOG=trigger");
    const auto before = std::chrono::duration_cast<std::chrono::microseconds>(
        steady_clock::now().time_since_epoch());
    notify.reloading();
    const auto text = m.hear();
    const std::string start = "RELOADING=1\nMONOTONIC_USEC=";
    BOOST_REQUIRE(text.starts_with(start));
    const auto told = std::stoll(text.substr(start.size()));
    BOOST_TEST(told >= before.count());
    BOOST_TEST(told < before.count() + 10'000'000);
    state = "two";
    notify.ready();
    BOOST_TEST(m.hear() == "READY=1\nSTATUS=two");
    state = "three";
    io.run_for(milliseconds(1500));
    BOOST_TEST(m.hear() == "STATUS=three");
    notify.stopping();
    BOOST_TEST(m.hear() == "STOPPING=1\nSTATUS=three");
}

BOOST_AUTO_TEST_CASE(watchdog_of_another_process_is_not_fed) {
    manager m;
    const notified_environment environment(m);
    ::setenv("WATCHDOG_USEC", "200000", 1);
    ::setenv("WATCHDOG_PID", "1", 1);
    boost::asio::io_context io;
    tequio::node::service_notify notify(io, [] { return std::string("calm"); });
    notify.ready();
    BOOST_TEST(m.hear() == "READY=1\nSTATUS=calm");
    io.run_for(milliseconds(500));
    BOOST_TEST(m.hear(milliseconds(50)) == "");
}

BOOST_AUTO_TEST_CASE(without_a_manager_nothing_happens) {
    ::unsetenv("NOTIFY_SOCKET");
    boost::asio::io_context io;
    int asked = 0;
    tequio::node::service_notify notify(io, [&] {
        ++asked;
        return std::string("calm");
    });
    notify.ready();
    notify.reloading();
    notify.stopping();
    BOOST_TEST(io.run_for(milliseconds(50)) == 0u);
    BOOST_TEST(asked == 2);
}

BOOST_AUTO_TEST_SUITE_END()
