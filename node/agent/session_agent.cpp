#include "node/agent/session_agent.hpp"

#include <systemd/sd-daemon.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <thread>

#include "node/agent/report_sender.hpp"
#include "node/agent/session_view.hpp"
#include "node/agent/sources.hpp"

namespace tequio::node {
namespace {

namespace asio = boost::asio;

/// Sources hang in their own ways; the first choice is announced without those after this long.
constexpr std::chrono::seconds first_choice_limit{4};

/// The agent's loop: one thread that owns the view and the sender. Sources post to it.
class agent_loop {
public:
    explicit agent_loop(const session_agent_options& options)
        : options_(options),
          sender_(io_, options.sockets, {[this](bool taken) { sent(taken); }, options.say}),
          timer_(io_),
          choice_timer_(io_),
          signals_(io_, SIGINT, SIGTERM) {}

    void run() {
        signals_.async_wait([this](boost::system::error_code, int) { io_.stop(); });
        choice_timer_.expires_after(first_choice_limit);
        choice_timer_.async_wait([this](boost::system::error_code) { announce(true); });
        const source_events tell{[this](source_kind kind, input_fact fact) {
                                     asio::post(io_,
                                                [this, kind, fact = std::move(fact)]() mutable {
                                                    view_.set_input(kind, std::move(fact));
                                                    changed();
                                                });
                                 },
                                 [this](lock_kind kind, std::optional<bool> locked) {
                                     asio::post(io_, [this, kind, locked] {
                                         view_.set_lock(kind, locked);
                                         changed();
                                     });
                                 },
                                 [this](std::optional<bool> value) {
                                     asio::post(io_, [this, value] {
                                         view_.set_full_screen(value);
                                         changed();
                                     });
                                 }};
        stop_signal stop;
        std::vector<std::thread> threads;
        for (const auto watch : {watch_wayland, watch_x11, watch_session_bus, watch_logind_lock}) {
            threads.emplace_back([&tell, &stop, watch] { watch(tell, stop); });
        }
        sd_notify(0, "READY=1");
        io_.run();
        sd_notify(0, "STOPPING=1");
        stop.raise();
        for (auto& thread : threads) thread.join();
    }

private:
    void changed() {
        announce(view_.all_heard());
        pump();
    }

    /// Says which source counts: once enough is known, and when it changes.
    void announce(bool enough) {
        if (!enough && !announced_) return;
        const auto source = view_.source();
        const std::string name = source ? source_name(*source) : "none";
        if (announced_ == name) return;
        announced_ = name;
        const auto detail = view_.describe();
        options_.source_changed(name, detail);
        sd_notifyf(0, "STATUS=idle source: %s", detail.c_str());
    }

    /// Sends what is due; otherwise sleeps until something is, or a source speaks.
    void pump() {
        if (!sender_.ready()) return;
        const auto now = probe_now();
        if (const auto report = view_.due(now)) {
            in_hand_ = *report;
            sending_since_ = now;
            return sender_.send(agent_report_text(*report));
        }
        const auto next = view_.next_deadline();
        if (!next) return;
        timer_.expires_after(*next - now);
        timer_.async_wait([this](boost::system::error_code ec) {
            if (!ec) pump();
        });
    }

    void sent(bool taken) {
        if (taken) view_.sent(sending_since_, in_hand_);
        pump();
    }

    const session_agent_options& options_;
    asio::io_context io_{1};
    session_view view_;
    report_sender sender_;
    asio::steady_timer timer_, choice_timer_;
    asio::signal_set signals_;
    agent_report in_hand_;
    base::time_point sending_since_;
    std::optional<std::string> announced_;
};

}  // namespace

void run_session_agent(const session_agent_options& options) {
    agent_loop(options).run();
}

}  // namespace tequio::node
