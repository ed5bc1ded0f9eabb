#include "node/agent/x11_display.hpp"

#include <X11/Xauth.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xcb/xcbext.h>

#include <array>
#include <cstring>
#include <future>

#include "base/text.hpp"

namespace tequio::node {
namespace {

base::error failed(std::string why) {
    return base::fail(base::errc::io_failure, std::move(why));
}

/// The number of a local display, as text; empty for one of another machine or no display at all.
std::string local_number(std::string_view display) {
    const auto colon = display.rfind(':');
    if (colon == std::string_view::npos) return "";
    const auto host = display.substr(0, colon);
    auto number = display.substr(colon + 1);
    number = number.substr(0, number.find('.'));
    if (!host.empty() && host != "unix") return "";
    return base::parse_u64(number) ? std::string(number) : "";
}

struct authority_closer {
    void operator()(Xauth* x) const { XauDisposeAuth(x); }
};
using authority = std::unique_ptr<Xauth, authority_closer>;

/// The cookie of this user for the display, from XAUTHORITY or ~/.Xauthority; empty when there is
/// none, as with servers that ask for none.
authority cookie_of(const std::string& number) {
    std::array<char, 256> host{};
    if (::gethostname(host.data(), host.size() - 1) != 0) return nullptr;
    static char name[] = "MIT-MAGIC-COOKIE-1";
    char* names[] = {name};
    const int lengths[] = {static_cast<int>(std::strlen(name))};
    return authority(XauGetBestAuthByAddr(
        FamilyLocal, static_cast<unsigned short>(std::strlen(host.data())), host.data(),
        static_cast<unsigned short>(number.size()), number.c_str(), 1, names, lengths));
}

base::result<unique_fd> connect_server(const std::string& number, base::time_point until,
                                       const stop_signal& stop) {
    const auto path = "/tmp/.X11-unix/X" + number;
    auto socket = connect_unix(path, until, stop);
    if (socket) return socket;
    // In a sandbox without the host's /tmp the abstract name still reaches the server.
    auto abstract = connect_unix("@" + path, until, stop);
    if (abstract) return abstract;
    return socket;
}

xcb_atom_t intern(xcb_connection_t* c, const char* name) {
    const auto cookie = xcb_intern_atom(c, 0, static_cast<std::uint16_t>(std::strlen(name)), name);
    const xcb_owned<xcb_intern_atom_reply_t> reply(xcb_intern_atom_reply(c, cookie, nullptr));
    return reply ? reply->atom : static_cast<xcb_atom_t>(XCB_ATOM_NONE);
}

/// Whether the server says itself that it is Xwayland (version 23.1 and later do).
bool is_xwayland(xcb_connection_t* c) {
    constexpr const char* name = "XWAYLAND";
    const auto cookie = xcb_query_extension(c, static_cast<std::uint16_t>(std::strlen(name)), name);
    const xcb_owned<xcb_query_extension_reply_t> reply(
        xcb_query_extension_reply(c, cookie, nullptr));
    return reply && reply->present;
}

}  // namespace

base::result<void> x11_display::set_up() {
    auto* c = connection_.get();
    if (const int wrong = xcb_connection_has_error(c); wrong != 0) {
        return failed(wrong == XCB_CONN_CLOSED_PARSE_ERR ? "the X server refused"
                                                         : "the X server broke off or refused");
    }
    const auto* saver = xcb_get_extension_data(c, &xcb_screensaver_id);
    if (!saver || !saver->present)
        return failed("the X server lacks the MIT-SCREEN-SAVER extension");
    if (is_xwayland(c)) return failed("Xwayland sees the input of its own windows only");
    const auto screens = xcb_setup_roots_iterator(xcb_get_setup(c));
    if (screens.rem < 1) return failed("the X server has no screen");
    root = screens.data->root;
    active_window = intern(c, "_NET_ACTIVE_WINDOW");
    window_state = intern(c, "_NET_WM_STATE");
    full_screen = intern(c, "_NET_WM_STATE_FULLSCREEN");
    const std::uint32_t mask = XCB_EVENT_MASK_PROPERTY_CHANGE;
    xcb_change_window_attributes(c, root, XCB_CW_EVENT_MASK, &mask);
    if (xcb_flush(c) <= 0) return failed("the X server broke off");
    return {};
}

base::result<x11_display> x11_display::open(const std::string& display, base::duration limit,
                                            const stop_signal& stop) {
    const auto number = local_number(display);
    if (number.empty()) {
        return failed("DISPLAY \"" + display + "\" is not a display of this machine");
    }
    const auto until = probe_now() + limit;
    TEQUIO_TRY(auto socket, connect_server(number, until, stop));
    // xcb greets with blocking calls. They run on a thread of their own, and when the time is up
    // the socket is shut down under them, which ends them at once. The copy keeps the number valid.
    const unique_fd copy(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 3));
    if (!copy) return failed(std::strerror(errno));
    x11_display out;
    unique_fd finished_read, finished_write;
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failed(std::strerror(errno));
    finished_read = unique_fd(ends[0]);
    finished_write = unique_fd(ends[1]);
    const auto cookie = cookie_of(number);
    auto greeting = std::async(std::launch::async, [&]() -> base::result<void> {
        xcb_auth_info_t auth{};
        if (cookie) {
            auth = {cookie->name_length, cookie->name, cookie->data_length, cookie->data};
        }
        out.connection_.reset(xcb_connect_to_fd(socket.release(), cookie ? &auth : nullptr));
        auto ready = out.set_up();
        finished_write = unique_fd();  // the other end becomes readable
        return ready;
    });
    const auto how = wait_for(finished_read.get(), POLLIN, until, stop);
    if (how != waited::ready) ::shutdown(copy.get(), SHUT_RDWR);
    const auto ready = greeting.get();
    if (how == waited::timed_out) return failed("the X server accepted and does not answer");
    if (how == waited::stopped) return failed("told to stop");
    if (!ready) return ready.error();
    return out;
}

base::result<void*> x11_display::raw_reply(unsigned sequence, base::duration limit,
                                           const stop_signal& stop) {
    const auto until = probe_now() + limit;
    for (;;) {
        void* answer = nullptr;
        xcb_generic_error_t* wrong = nullptr;
        if (xcb_poll_for_reply(get(), sequence, &answer, &wrong) != 0) {
            std::free(wrong);
            if (!answer && broken()) return failed("the X server went away");
            return answer;
        }
        if (broken()) return failed("the X server went away");
        const auto how = wait_for(fd(), POLLIN, until, stop);
        if (how == waited::timed_out) return failed("the X server does not answer any more");
        if (how == waited::stopped) return failed("told to stop");
    }
}

}  // namespace tequio::node
