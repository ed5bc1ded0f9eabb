#include "tests/support/fake_compositor.hpp"

#include <ext-idle-notify-v1-server-protocol.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <wayland-server.h>

#include <cstring>
#include <list>

#include "base/ensure.hpp"

namespace tequio::tests {
namespace {

using clock = std::chrono::steady_clock;

int listen_at(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    base::ensure(path.native().size() < sizeof address.sun_path, "short paths in tests");
    std::strcpy(address.sun_path, path.c_str());
    ::unlink(path.c_str());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    base::ensure(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                     ::listen(fd, 8) == 0,
                 "a test can listen in its folder");
    return fd;
}

/// One notification that a client asked for.
struct notification {
    wl_resource* resource;
    std::chrono::milliseconds timeout;
    bool idle = false;
};

void destroy_resource(wl_client*, wl_resource* resource) {
    wl_resource_destroy(resource);
}

}  // namespace

struct fake_compositor::impl {
    wl_display* display = wl_display_create();
    std::list<notification> notifications;
    clock::time_point last_input = clock::now();

    static void bind_seat(wl_client* client, void*, std::uint32_t version, std::uint32_t id) {
        auto* seat = wl_resource_create(client, &wl_seat_interface, static_cast<int>(version), id);
        wl_resource_set_implementation(seat, nullptr, nullptr, nullptr);
        wl_seat_send_capabilities(seat, 0);
    }

    static void bind_notifier(wl_client* client, void* self, std::uint32_t version,
                              std::uint32_t id) {
        static const struct ext_idle_notifier_v1_interface methods = {destroy_resource, notify};
        auto* notifier = wl_resource_create(client, &ext_idle_notifier_v1_interface,
                                            static_cast<int>(version), id);
        wl_resource_set_implementation(notifier, &methods, self, nullptr);
    }

    static void notify(wl_client* client, wl_resource* notifier, std::uint32_t id,
                       std::uint32_t timeout, wl_resource*) {
        static const struct ext_idle_notification_v1_interface methods = {destroy_resource};
        auto* self = static_cast<impl*>(wl_resource_get_user_data(notifier));
        auto* resource = wl_resource_create(client, &ext_idle_notification_v1_interface, 1, id);
        wl_resource_set_implementation(resource, &methods, self, forget);
        self->notifications.push_back({resource, std::chrono::milliseconds(timeout)});
    }

    static void forget(wl_resource* resource) {
        auto* self = static_cast<impl*>(wl_resource_get_user_data(resource));
        self->notifications.remove_if([=](const auto& n) { return n.resource == resource; });
    }

    void tell() {
        const auto idle = clock::now() - last_input;
        for (auto& n : notifications) {
            const bool now_idle = idle >= n.timeout;
            if (now_idle && !n.idle) ext_idle_notification_v1_send_idled(n.resource);
            if (!now_idle && n.idle) ext_idle_notification_v1_send_resumed(n.resource);
            n.idle = now_idle;
        }
        wl_display_flush_clients(display);
    }
};

fake_compositor::fake_compositor(const std::filesystem::path& socket, kind what)
    : impl_(std::make_unique<impl>()) {
    const int fd = listen_at(socket);
    wl_display_add_socket_fd(impl_->display, fd);
    wl_global_create(impl_->display, &wl_seat_interface, 1, nullptr, impl::bind_seat);
    if (what != kind::plain)
        wl_global_create(impl_->display, &ext_idle_notifier_v1_interface, 1, impl_.get(),
                         impl::bind_notifier);
    if (what != kind::silent) thread_ = std::thread([this] { run(); });
}

fake_compositor::~fake_compositor() {
    ended_ = true;
    if (thread_.joinable()) thread_.join();
    wl_display_destroy_clients(impl_->display);
    wl_display_destroy(impl_->display);
}

void fake_compositor::run() {
    while (!ended_) {
        wl_event_loop_dispatch(wl_display_get_event_loop(impl_->display), 2);
        const int asked = inputs_asked_;
        if (asked != inputs_done_) impl_->last_input = clock::now();
        impl_->tell();
        inputs_done_ = asked;
    }
}

clock::time_point fake_compositor::input() {
    const auto began = clock::now();
    const int mine = ++inputs_asked_;
    while (inputs_done_ < mine) ::poll(nullptr, 0, 1);
    return began;
}

}  // namespace tequio::tests
