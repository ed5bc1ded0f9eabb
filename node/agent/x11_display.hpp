#pragma once

/// A connection to an X server that may hang at any time. xcb's own functions wait for ever; these
/// end at a deadline.

#include <xcb/screensaver.h>
#include <xcb/xcb.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "node/governor/probes/waiting.hpp"

namespace tequio::node {

struct free_deleter {
    void operator()(void* memory) const { std::free(memory); }
};
template <class Reply>
using xcb_owned = std::unique_ptr<Reply, free_deleter>;

class x11_display {
public:
    /// Connects to the display named by `display` (":0", ":1.0", "unix:0") and reads what is asked
    /// once: the root window, whether it has a screen saver extension, the names of properties.
    /// Errors: `base::errc::io_failure` with a sentence, also for a display of another machine,
    /// whose input is not this machine's, and for Xwayland, which sees its own windows' input only.
    static base::result<x11_display> open(const std::string& display, base::duration limit,
                                          const stop_signal& stop);

    /// The answer to a request, which was sent before; empty: an error of that request alone.
    /// Errors: the connection broke, or there was no answer within `limit`.
    template <class Reply>
    base::result<xcb_owned<Reply>> reply(unsigned sequence, base::duration limit,
                                         const stop_signal& stop) {
        TEQUIO_TRY(void* raw, raw_reply(sequence, limit, stop));
        return xcb_owned<Reply>(static_cast<Reply*>(raw));
    }

    xcb_connection_t* get() const { return connection_.get(); }
    int fd() const { return xcb_get_file_descriptor(connection_.get()); }
    bool broken() const { return xcb_connection_has_error(connection_.get()) != 0; }

    xcb_window_t root = 0;
    xcb_atom_t active_window = 0, window_state = 0, full_screen = 0;  ///< EWMH's names

private:
    struct disconnect {
        void operator()(xcb_connection_t* c) const { xcb_disconnect(c); }
    };
    x11_display() = default;
    base::result<void*> raw_reply(unsigned sequence, base::duration limit, const stop_signal& stop);
    base::result<void> set_up();

    std::unique_ptr<xcb_connection_t, disconnect> connection_;
};

}  // namespace tequio::node
