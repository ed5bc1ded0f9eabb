#include "p2p/io/session.hpp"

#include <netinet/tcp.h>

#include <boost/asio/detail/socket_option.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <deque>

namespace tequio::p2p {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using clock = std::chrono::steady_clock;

using unsent_max = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_NOTSENT_LOWAT>;

constexpr std::size_t read_size = 64 * 1024;
// How long a refused peer may take to read why.
constexpr auto linger = std::chrono::seconds(2);
// Blobs get every fifth frame beside streams: a lane's contribution leaves while the next computes.
constexpr std::size_t streams_before_bulk = 4;
constexpr char exporter_label[] = "EXPORTER-tequio-session-v1";

// asio::ssl::context owns its handle; a reference more keeps the shared one alive.
SSL_CTX* another_reference(SSL_CTX* context) {
    SSL_CTX_up_ref(context);
    return context;
}

class tls_session final : public session {
public:
    tls_session(tcp::socket socket, std::shared_ptr<SSL_CTX> tls, session_side side,
                handshake_config config, const transport_config& timing, session_events events)
        : context_(another_reference(tls.get())),
          stream_(std::move(socket), context_),
          timer_(stream_.get_executor()),
          throttle_(stream_.get_executor()),
          side_(side),
          config_(std::move(config)),
          handshake_timeout_(timing.handshake_timeout),
          ping_every_(timing.ping_every),
          idle_timeout_(timing.idle_timeout),
          queue_bytes_max_(timing.queue_bytes_max),
          events_(std::move(events)) {}

    void start() override {
        error_code ignored;
        stream_.next_layer().set_option(tcp::no_delay(true), ignored);
        // Little waits in the kernel, where a small message could not pass a blob piece any more.
        stream_.next_layer().set_option(unsent_max(128 * 1024), ignored);
        timer_.expires_after(handshake_timeout_);
        timer_.async_wait([self = self()](error_code code) {
            if (!code && self->stage_ != stage::up) {
                self->end({link_end::handshake_slow, false, ""});
            }
        });
        const auto type = side_ == session_side::initiator ? asio::ssl::stream_base::client
                                                           : asio::ssl::stream_base::server;
        stream_.async_handshake(type, [self = self()](error_code code) { self->on_tls(code); });
    }

    void send(base::byte_vector bytes, send_class what) override {
        if (stage_ == stage::up) queue(wire::encode(wire::data{std::move(bytes)}), what);
    }

    void end(link_ending ending) override {
        if (stage_ == stage::over) return;
        // Only a peer that found its way through TLS can read a refusal.
        const bool tell = stage_ != stage::tls && !ending.by_peer &&
                          ending.reason != link_end::connection_lost &&
                          ending.reason != link_end::truncated;
        const auto reason = static_cast<std::uint32_t>(ending.reason);
        finish(std::move(ending));
        if (!tell) return drop_socket();
        for (auto& waiting : waiting_) waiting.clear();
        queued_ = 0;
        waiting(send_class::control)
            .push_back(wire::framed(wire::encode(wire::refusal{reason, ""})));
        linger_and_close();
    }

    void drop() override {
        stage_ = stage::over;
        drop_socket();
    }

    bool is_up() const override { return stage_ == stage::up; }

    link_statistics statistics() const override {
        link_statistics s;
        s.bytes_sent = bytes_sent_;
        s.bytes_received = bytes_received_;
        s.bytes_queued = queued_;
        s.rtt = rtt_;
        return s;
    }

private:
    enum class stage { tls, handshake, up, over };

    std::shared_ptr<tls_session> self() {
        return std::static_pointer_cast<tls_session>(shared_from_this());
    }

    void on_tls(error_code code) {
        if (stage_ == stage::over) return;
        if (code) {
            const bool ended = code == asio::error::eof || code == asio::error::connection_reset ||
                               code == asio::ssl::error::stream_truncated;
            return end({ended ? link_end::truncated : link_end::tls_failed, false, code.message()});
        }
        std::array<std::uint8_t, exporter_size> exporter{};
        if (SSL_export_keying_material(stream_.native_handle(), exporter.data(), exporter.size(),
                                       exporter_label, sizeof exporter_label - 1, nullptr, 0,
                                       0) != 1) {
            return end({link_end::tls_failed, false, "no exporter"});
        }
        stage_ = stage::handshake;
        handshake_.emplace(side_, std::move(config_), exporter);
        std::vector<base::byte_vector> frames;
        handshake_->start(frames);
        for (auto& f : frames) queue(std::move(f), send_class::control);
        read();
    }

    void read() {
        stream_.async_read_some(
            asio::buffer(buffer_),
            [self = self()](error_code code, std::size_t n) { self->on_read(code, n); });
    }

    void on_read(error_code code, std::size_t n) {
        bytes_received_ += n;
        if (events_.received) events_.received(n);
        if (stage_ == stage::over) {
            // Only waiting for the peer to take our last words.
            if (code) return drop_socket();
            return read();
        }
        if (code) return on_read_failed(code);
        last_heard_ = clock::now();
        reader_.feed(base::byte_view(buffer_).first(n));
        base::byte_vector payload;
        while (stage_ != stage::over) {
            const auto state = reader_.next(payload);
            if (state == wire::frame_reader::state::need_more) break;
            if (state == wire::frame_reader::state::too_large) {
                end({link_end::frame_too_large, false, ""});
            } else if (state == wire::frame_reader::state::empty_frame) {
                end({link_end::bad_frame, false, "an empty frame"});
            } else {
                on_frame(payload);
            }
        }
        read();
    }

    void on_read_failed(error_code code) {
        const bool whole = reader_.between_frames() && stage_ == stage::up;
        end({whole ? link_end::connection_lost : link_end::truncated, false, code.message()});
    }

    void on_frame(const base::byte_vector& payload) {
        if (stage_ == stage::handshake) return on_handshake_frame(payload);
        auto frame = wire::decode_session_frame(payload);
        if (!frame) return end({link_end::bad_frame, false, frame.error().message()});
        if (auto* data = std::get_if<wire::data>(&*frame)) {
            events_.message(std::move(data->bytes));
        } else if (const auto* ping = std::get_if<wire::ping>(&*frame)) {
            queue(wire::encode(wire::pong{ping->token}), send_class::control);
        } else if (const auto* pong = std::get_if<wire::pong>(&*frame)) {
            if (ping_token_ != 0 && pong->token == ping_token_) {
                rtt_ = clock::now() - ping_sent_;
                ping_token_ = 0;
            }
        } else if (const auto* refusal = std::get_if<wire::refusal>(&*frame)) {
            end(ending_of(*refusal));
        } else {
            end({link_end::bad_frame, false, "a handshake frame after the handshake"});
        }
    }

    void on_handshake_frame(const base::byte_vector& payload) {
        std::vector<base::byte_vector> frames;
        const auto progress = handshake_->step(payload, frames);
        if (progress == handshake::progress::failed) return end(handshake_->ending());
        for (auto& f : frames) queue(std::move(f), send_class::control);
        if (progress == handshake::progress::more) return;
        stage_ = stage::up;
        last_heard_ = clock::now();
        const auto outcome = handshake_->outcome();
        handshake_.reset();
        ping_later();
        events_.up(outcome);
    }

    void ping_later() {
        const auto due = clock::now() + ping_every_;
        timer_.expires_at(due);
        timer_.async_wait([self = self(), due](error_code code) {
            if (!code && self->stage_ == stage::up) self->ping(due);
        });
    }

    void ping(clock::time_point due) {
        const auto now = clock::now();
        // If we slept ourselves (a suspend, a starved processor), the silence says nothing of the
        // peer. Source: Lifeguard's local health (Dadgar et al. 2017).
        if (now - due > ping_every_) last_heard_ = now;
        if (now - last_heard_ >= idle_timeout_) return end({link_end::idle, false, ""});
        if (ping_token_ == 0) {
            ping_token_ = ++pings_;
            ping_sent_ = now;
            queue(wire::encode(wire::ping{ping_token_}), send_class::control);
            if (stage_ != stage::up) return;
        }
        ping_later();
    }

    using frame_queue = std::deque<base::byte_vector>;
    frame_queue& waiting(send_class what) { return waiting_[static_cast<std::size_t>(what)]; }

    void queue(base::byte_vector payload, send_class what) {
        auto frame = wire::framed(payload);
        queued_ += frame.size();
        waiting(what).push_back(std::move(frame));
        if (queued_ > queue_bytes_max_) return end({link_end::slow_peer, false, ""});
        write();
    }

    /// Frames that are not of class control.
    bool bulk_waits() {
        return !waiting(send_class::stream).empty() || !waiting(send_class::bulk).empty();
    }

    /// Who writes next; null when nothing waits.
    frame_queue* next_queue() {
        auto& stream = waiting(send_class::stream);
        auto& bulk = waiting(send_class::bulk);
        if (!waiting(send_class::control).empty()) return &waiting(send_class::control);
        const bool others_turn = streams_in_a_row_ >= streams_before_bulk && !bulk.empty();
        if (!stream.empty() && !others_turn) {
            ++streams_in_a_row_;
            return &stream;
        }
        streams_in_a_row_ = 0;
        return bulk.empty() ? nullptr : &bulk;
    }

    void write() {
        if (writing_) return;
        if (waiting(send_class::control).empty()) {
            if (!bulk_waits()) return;
            const auto wait =
                events_.upload_wait ? events_.upload_wait() : std::chrono::nanoseconds(0);
            if (wait.count() > 0) return write_after(wait);
        }
        writes_bulk_ = waiting(send_class::control).empty();
        auto& from = *next_queue();
        current_ = std::move(from.front());
        from.pop_front();
        writing_ = true;
        asio::async_write(
            stream_, asio::buffer(current_),
            [self = self()](error_code code, std::size_t n) { self->on_written(code, n); });
    }

    void write_after(std::chrono::nanoseconds wait) {
        throttle_.expires_after(wait);
        throttle_.async_wait([self = self()](error_code code) {
            if (!code && self->stage_ == stage::up) self->write();
        });
    }

    void on_written(error_code code, std::size_t n) {
        writing_ = false;
        bytes_sent_ += n;
        if (events_.sent) events_.sent(n);
        if (writes_bulk_ && events_.bulk_sent) events_.bulk_sent(n, bulk_waits());
        if (stage_ == stage::over) {
            if (code) return drop_socket();
            if (!waiting(send_class::control).empty()) return write();
            error_code ignored;
            stream_.next_layer().shutdown(tcp::socket::shutdown_send, ignored);
            return;
        }
        queued_ -= std::min(queued_, current_.size());
        if (code) return end({link_end::connection_lost, false, code.message()});
        write();
    }

    // Says it to the transport, once; from here on the session only empties itself.
    void finish(link_ending ending) {
        stage_ = stage::over;
        throttle_.cancel();
        // Posted: whoever called us may be in the middle of an event of its own. events_ stays as
        // it is, for one of its functions may be running now.
        asio::post(stream_.get_executor(), [self = self(), ending = std::move(ending)]() mutable {
            self->events_.ended(std::move(ending));
        });
    }

    // Closing with unread bytes would reset the connection and lose our last frame on its way, so
    // the peer gets a moment to read it and close.
    void linger_and_close() {
        timer_.expires_after(linger);
        timer_.async_wait([self = self()](error_code code) {
            if (!code) self->drop_socket();
        });
        write();
    }

    void drop_socket() {
        error_code ignored;
        timer_.cancel();
        throttle_.cancel();
        stream_.next_layer().close(ignored);
    }

    asio::ssl::context context_;
    asio::ssl::stream<tcp::socket> stream_;
    asio::steady_timer timer_;  ///< handshake deadline, then pings, then the linger
    asio::steady_timer throttle_;
    session_side side_;
    handshake_config config_;
    std::chrono::nanoseconds handshake_timeout_, ping_every_, idle_timeout_;
    std::size_t queue_bytes_max_;
    session_events events_;
    stage stage_ = stage::tls;
    std::optional<handshake> handshake_;
    wire::frame_reader reader_;
    std::array<std::uint8_t, read_size> buffer_;
    std::array<frame_queue, 3> waiting_;  ///< by send_class
    std::size_t streams_in_a_row_ = 0;
    base::byte_vector current_;
    std::size_t queued_ = 0;
    bool writing_ = false, writes_bulk_ = false;
    std::uint64_t bytes_sent_ = 0, bytes_received_ = 0;
    std::uint64_t pings_ = 0, ping_token_ = 0;
    clock::time_point last_heard_, ping_sent_;
    std::chrono::nanoseconds rtt_{0};
};

}  // namespace

std::shared_ptr<session> session::make(tcp::socket socket, std::shared_ptr<SSL_CTX> tls,
                                       session_side side, handshake_config config,
                                       const transport_config& timing, session_events events) {
    return std::make_shared<tls_session>(std::move(socket), std::move(tls), side, std::move(config),
                                         timing, std::move(events));
}

}  // namespace tequio::p2p
