#pragma once

/// Ordered messages between two linked nodes, with flow control: what members of a team say to one
/// another while they compute.
///
/// Rules: (1) nothing is sent before both ends have opened the stream, so a peer can make us keep
/// nothing that we did not ask for; (2) no more than `stream_window` bytes are on their way, and no
/// more than `stream_untaken_max` messages wait at the other end, whatever their size; (3) a link
/// may end at any time: each end says anew what it has, and the rest is sent again under a new
/// epoch, so late parts of the old one are told from faults; (4) memory for a message grows with
/// the bytes that came, never with the size announced.

#include <deque>
#include <map>

#include "p2p/core/part_effects.hpp"

namespace tequio::p2p {

class stream_table {
public:
    explicit stream_table(const network_config& config) : config_(config) {}

    /// The node has a link, or another one in place of the one it had.
    void peer_up(const base::node_id& node, part_effects& out);
    void peer_down(const base::node_id& node);

    /// Errors: as at the commands.
    base::result<void> open(const open_stream& command, bool linked, part_effects& out);
    base::result<void> send(const stream_send& command, part_effects& out);
    void take(const stream_take& command, part_effects& out);
    void close(base::time_point now, const close_stream& command, part_effects& out);

    void opened(const base::node_id& from, const wire::stream_open& m, part_effects& out);
    void came(const base::node_id& from, wire::stream_chunk&& m, part_effects& out);
    void acknowledged(const base::node_id& from, const wire::stream_ack& m, part_effects& out);
    void closed(const base::node_id& from, const wire::stream_close& m, part_effects& out);

    void tick(base::time_point now);
    base::time_point next_deadline() const;

    std::vector<stream_view> views() const;
    void check() const;

private:
    using key = std::pair<base::node_id, base::digest>;
    struct outgoing {
        base::byte_vector head;
        shared_bytes body;
        std::uint64_t size() const { return head.size() + body.bytes.size(); }
    };
    struct stream {
        std::uint64_t message_bytes_max = 0;
        /// Set when it was closed here: it only empties itself until then.
        base::time_point linger_until = base::time_point::max();
        bool closing() const { return linger_until != base::time_point::max(); }

        // What goes out.
        std::uint64_t their_epoch = 0;  ///< 0: they have not opened it, as far as we know
        std::uint64_t their_latest = 0;
        std::uint32_t openings = 0;  ///< by them
        std::deque<outgoing> queue;  ///< not wholly received by them; the first is number `first`
        std::uint64_t first = 0;
        std::uint64_t next = 0;    ///< message whose parts are being sent
        std::uint64_t offset = 0;  ///< in it
        std::uint64_t sent_bytes = 0, acknowledged_bytes = 0;  ///< in their epoch
        std::uint64_t their_taken = 0;
        std::uint64_t end() const { return first + queue.size(); }

        // What comes in.
        std::uint64_t epoch = 0;  ///< from 1 with the first announcement
        std::uint64_t received = 0, taken = 0;
        std::uint64_t received_bytes = 0;  ///< in this epoch
        bool partial = false;              ///< `buffer` is the start of a message of `size` bytes
        std::uint64_t size = 0;
        base::byte_vector buffer;
        std::uint64_t dropped = 0;
    };

    static void announce(const key& at, stream& s, bool answer, part_effects& out);
    static wire::message acknowledgement(const key& at, const stream& s);
    static base::byte_vector part_of(const outgoing& message, std::uint64_t offset,
                                     std::size_t size);
    void push(const key& at, stream& s, part_effects& out) const;
    void drop(const key& at, stream& s, const char* why, part_effects& out) const;
    void deliver(const key& at, stream& s, part_effects& out);
    void forget(std::map<key, stream>::iterator it);
    void forget_if_empty(const key& at);

    network_config config_;
    std::map<key, stream> streams_;
    std::deque<key> forgotten_;  ///< the latest ones: what still comes for them is no fault
};

}  // namespace tequio::p2p
