// The session agent under X11: Xvfb with input by xdotool, cookies, full screen, and servers that
// hang in every way they can.

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xcb/xcb.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "base/text.hpp"
#include "tests/support/agent_run.hpp"
#include "tests/support/fake_compositor.hpp"
#include "tests/support/working_node.hpp"

using namespace tequio;
using namespace std::chrono_literals;
using std::chrono::milliseconds;
using tests::agent_run;
using tests::becomes;

namespace {

using clock = std::chrono::steady_clock;

/// An X server without a screen.
class x_server {
public:
    /// `display`: a number; by itself one that is free and of this process alone, for servers that
    /// look for one at the same moment take it from one another. `more`: arguments.
    x_server(const std::filesystem::path& folder, const std::string& display = free_display(),
             const std::vector<std::string>& more = {})
        : process_(command(display, more), {}, folder / "xvfb.log") {
        // It prints its number once it listens.
        const auto number = [this] {
            return process_.output().substr(0, process_.output().find('\n'));
        };
        BOOST_REQUIRE_MESSAGE(becomes(20s, [&] { return base::parse_u64(number()).has_value(); }),
                              process_.output());
        display_ = number();
    }
    std::string number() const { return display_; }
    std::string name() const { return ":" + display_; }
    pid_t pid() const { return process_.pid(); }
    static std::string free_display() {
        int number = 1000 + ::getpid() % 3000;
        while (std::filesystem::exists("/tmp/.X11-unix/X" + std::to_string(number))) ++number;
        return std::to_string(number);
    }

private:
    static std::vector<std::string> command(const std::string& display,
                                            const std::vector<std::string>& more) {
        std::vector<std::string> out = {"Xvfb", ":" + display};
        for (const auto* word : {"-displayfd", "1", "-nolisten", "tcp", "-noreset"}) {
            out.emplace_back(word);
        }
        out.insert(out.end(), more.begin(), more.end());
        return out;
    }

    tests::child_process process_;
    std::string display_;
};

struct with_x {
    with_x() {
        tests::skip_without("Xvfb", "xvfb");
        tests::skip_without("xdotool", "xdotool");
    }
    tests::test_folder folder;
};

/// Presses a key; returns when it began to.
clock::time_point press(const std::string& display) {
    const auto began = clock::now();
    BOOST_REQUIRE(tests::run_command({"xdotool", "key", "a"}, {"DISPLAY=" + display}));
    return began;
}

milliseconds after(clock::time_point began, const tests::fake_daemon::heard& h) {
    return std::chrono::duration_cast<milliseconds>(h.at - began);
}

/// A socket where an X server would listen, and nobody who answers.
class stale_socket {
public:
    /// `full`: not even a connection is accepted.
    explicit stale_socket(bool full) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::filesystem::create_directories("/tmp/.X11-unix");
        for (int number = 5000 + ::getpid() % 1000; fd_ < 0 && number < 7000; ++number) {
            path_ = "/tmp/.X11-unix/X" + std::to_string(number);
            display_ = ":" + std::to_string(number);
            std::strcpy(address.sun_path, path_.c_str());
            const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
                fd_ = fd;
            } else {
                ::close(fd);
            }
        }
        BOOST_REQUIRE(fd_ >= 0);
        BOOST_REQUIRE(::listen(fd_, full ? 0 : 16) == 0);
        for (bool room = full; room;) {
            const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            room = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
            waiting_.push_back(fd);
        }
    }
    ~stale_socket() {
        for (const int fd : waiting_) ::close(fd);
        ::close(fd_);
        ::unlink(path_.c_str());
    }
    const std::string& display() const { return display_; }

private:
    int fd_ = -1;
    std::string path_, display_;
    std::vector<int> waiting_;
};

/// An agent beside a working compositor and an X server that hangs: Wayland's word comes as if
/// nothing were wrong.
void check_unhindered(const std::filesystem::path& folder, const std::string& display,
                      const std::string& says) {
    tests::fake_compositor compositor(folder / "wayland-7");
    agent_run run(folder, {"WAYLAND_DISPLAY=wayland-7", "XDG_RUNTIME_DIR=" + folder.string(),
                           "XDG_SESSION_TYPE=x11", "DISPLAY=" + display});
    run.wait_source("wayland", 2s);
    run.wait_idle(1200ms);
    compositor.input();
    run.wait_input(250ms);
    run.ends_well();
    // Alone: said, with the reason, and still ended at once.
    agent_run alone(folder, {"DISPLAY=" + display});
    BOOST_TEST(alone.says(says), alone.agent.output());
    BOOST_TEST(alone.agent.cpu_time().count() < 300);
    alone.ends_well();
}

/// A window and the properties by which a window manager says what is active.
class window_manager {
public:
    explicit window_manager(const std::string& display)
        : connection_(xcb_connect(display.c_str(), nullptr)) {
        BOOST_REQUIRE(!xcb_connection_has_error(connection_));
        root_ = xcb_setup_roots_iterator(xcb_get_setup(connection_)).data->root;
        window_ = xcb_generate_id(connection_);
        xcb_create_window(connection_, XCB_COPY_FROM_PARENT, window_, root_, 0, 0, 10, 10, 0,
                          XCB_WINDOW_CLASS_INPUT_OUTPUT, XCB_COPY_FROM_PARENT, 0, nullptr);
        xcb_flush(connection_);
    }
    ~window_manager() { xcb_disconnect(connection_); }

    void activate(bool window) {
        set(root_, "_NET_ACTIVE_WINDOW", XCB_ATOM_WINDOW, {window ? window_ : 0});
    }
    void full_screen(bool value) {
        std::vector<std::uint32_t> states = {atom("_NET_WM_STATE_ABOVE")};
        if (value) states.push_back(atom("_NET_WM_STATE_FULLSCREEN"));
        set(window_, "_NET_WM_STATE", XCB_ATOM_ATOM, states);
    }
    void destroy_window() {
        xcb_destroy_window(connection_, window_);
        xcb_flush(connection_);
    }

private:
    xcb_atom_t atom(const std::string& name) {
        auto* reply = xcb_intern_atom_reply(
            connection_,
            xcb_intern_atom(connection_, 0, static_cast<std::uint16_t>(name.size()), name.c_str()),
            nullptr);
        const auto out = reply->atom;
        std::free(reply);
        return out;
    }
    void set(xcb_window_t window, const std::string& name, xcb_atom_t type,
             const std::vector<std::uint32_t>& values) {
        xcb_change_property(connection_, XCB_PROP_MODE_REPLACE, window, atom(name), type, 32,
                            static_cast<std::uint32_t>(values.size()), values.data());
        xcb_flush(connection_);
    }

    xcb_connection_t* connection_;
    xcb_window_t root_ = 0, window_ = 0;
};

/// A file of X cookies with one entry, for display `number` of this machine.
void write_cookie(const std::filesystem::path& path, const std::string& number) {
    char host[256] = {};
    ::gethostname(host, sizeof host - 1);
    std::string out("\x01\x00", 2);  // FamilyLocal
    const auto field = [&](const std::string& text) {
        out += static_cast<char>(text.size() >> 8);
        out += static_cast<char>(text.size() & 0xff);
        out += text;
    };
    field(host);
    field(number);
    field("MIT-MAGIC-COOKIE-1");
    field("0123456789abcdef");
    std::ofstream(path, std::ios::binary) << out;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(agent_x11, with_x)

BOOST_AUTO_TEST_CASE(reports_input_within_250_ms_and_growing_idleness) {
    const x_server server(folder.path());
    agent_run run(folder.path(), {"DISPLAY=" + server.name()});
    run.wait_source("x11");
    BOOST_TEST(run.says("idle source: x11"));
    // For a measurement: TEQUIO_AGENT_EVENTS=100, with --log_level=message.
    const char* wanted = std::getenv("TEQUIO_AGENT_EVENTS");
    const auto events = wanted ? base::parse_u64(wanted).value_or(2) : 2;
    std::vector<milliseconds> took;
    for (std::uint64_t i = 0; i < events; ++i) {
        const auto idle = run.wait_idle(1000ms);
        if (i == 0) {
            const auto more = run.wait_idle(idle.report.idle + 1s);
            const auto grown = more.report.idle - idle.report.idle;
            BOOST_TEST((std::chrono::abs(grown - (more.at - idle.at)) < 250ms));
        }
        const auto began = press(server.name());
        took.push_back(after(began, run.wait_input(250ms)));
    }
    std::ranges::sort(took);
    BOOST_TEST_MESSAGE("input to report, " << events << " events: median "
                                           << took[took.size() / 2].count() << " ms, p99 "
                                           << took[took.size() * 99 / 100].count() << " ms, max "
                                           << took.back().count() << " ms");
    run.ends_well();
}

BOOST_AUTO_TEST_CASE(a_key_pressed_takes_the_machine_back_from_a_node_at_work) {
    const x_server server(folder.path());
    tests::check_input_takes_the_machine_back(folder.path(), {"DISPLAY=" + server.name()}, "x11",
                                              [&] { return press(server.name()); });
}

BOOST_AUTO_TEST_CASE(costs_next_to_nothing_while_idle) {
    const x_server server(folder.path());
    agent_run run(folder.path(), {"DISPLAY=" + server.name()});
    run.wait_idle(1500ms);
    const auto before = run.agent.cpu_time();
    run.wait_idle(10s);
    const auto used = run.agent.cpu_time() - before;
    BOOST_TEST_MESSAGE("CPU in about 8 s of idleness: " << used.count() << " ms");
    BOOST_TEST(used.count() <= 80);
    run.ends_well();
}

BOOST_AUTO_TEST_CASE(reports_full_screen_when_it_changes) {
    const x_server server(folder.path());
    agent_run run(folder.path(), {"DISPLAY=" + server.name()});
    BOOST_TEST(!run.wait_source("x11").report.full_screen.has_value());
    window_manager manager(server.name());
    const auto becomes_known = [&](std::optional<bool> value) {
        run.wait(250ms, [=](const auto& r) { return r.full_screen == value; });
    };
    manager.activate(false);
    becomes_known(false);
    manager.full_screen(true);
    manager.activate(true);
    becomes_known(true);
    manager.full_screen(false);
    becomes_known(false);
    manager.full_screen(true);
    becomes_known(true);
    // A window that is gone before it is asked about.
    manager.activate(false);
    becomes_known(false);
    manager.destroy_window();
    manager.activate(true);
    run.wait_idle(1000ms);
    press(server.name());
    BOOST_TEST((run.wait_input(250ms).report.full_screen == std::optional(false)));
    run.ends_well();
}

BOOST_AUTO_TEST_CASE(shows_its_cookie_to_a_server_that_wants_one) {
    const auto cookies = folder.path() / "cookies";
    write_cookie(cookies, "");
    const x_server server(folder.path(), x_server::free_display(), {"-auth", cookies.string()});
    agent_run run(folder.path(), {"DISPLAY=" + server.name(), "XAUTHORITY=" + cookies.string()});
    run.wait_source("x11");
    run.ends_well();
    agent_run without(folder.path(),
                      {"DISPLAY=" + server.name(), "XAUTHORITY=" + folder.path().string() + "/no"});
    BOOST_TEST(without.says("idle source: none"), without.agent.output());
    BOOST_TEST(without.says("refused"), without.agent.output());
    without.ends_well();
}

BOOST_AUTO_TEST_CASE(says_when_the_server_goes_and_finds_the_next_one) {
    auto server = std::make_unique<x_server>(folder.path());
    const auto number = server->number();
    agent_run run(folder.path(), {"DISPLAY=" + server->name()});
    run.wait_source("x11");
    server.reset();
    BOOST_TEST(run.says("x11: the X server went away"), run.agent.output());
    server = std::make_unique<x_server>(folder.path(), number);
    run.wait_source("x11", 10s);
    run.ends_well();
}

BOOST_AUTO_TEST_CASE(a_server_that_stops_is_noticed_and_heard_again) {
    const x_server server(folder.path());
    agent_run run(folder.path(), {"DISPLAY=" + server.name()});
    run.wait_source("x11");
    ::kill(server.pid(), SIGSTOP);
    BOOST_TEST(run.says("does not answer"), run.agent.output());
    ::kill(server.pid(), SIGCONT);
    const auto before = run.daemon.count();
    BOOST_TEST(becomes(15s, [&] { return run.daemon.count() > before; }));
    ::kill(server.pid(), SIGSTOP);
    run.ends_well();
    ::kill(server.pid(), SIGCONT);
}

BOOST_AUTO_TEST_CASE(a_stale_socket_stalls_nothing) {
    const stale_socket stale(false);
    check_unhindered(folder.path(), stale.display(), "the X server accepted and does not answer");
}

BOOST_AUTO_TEST_CASE(a_stale_socket_with_a_full_backlog_stalls_nothing) {
    const stale_socket stale(true);
    check_unhindered(folder.path(), stale.display(), "did not accept in time");
}

BOOST_AUTO_TEST_CASE(does_not_trust_an_x_server_inside_wayland_or_elsewhere) {
    const x_server server(folder.path());
    agent_run wayland(folder.path(), {"DISPLAY=" + server.name(), "XDG_SESSION_TYPE=wayland"});
    BOOST_TEST(wayland.says("x11: in a Wayland session"), wayland.agent.output());
    wayland.ends_well();
    agent_run forwarded(folder.path(), {"DISPLAY=localhost:10.0"});
    BOOST_TEST(forwarded.says("is not a display of this machine"), forwarded.agent.output());
    BOOST_TEST(forwarded.daemon.count() == 0U);
    forwarded.ends_well();
}

BOOST_AUTO_TEST_SUITE_END()
