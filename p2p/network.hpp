#pragma once

/// The pure core that finds, keeps and hears peers and moves blobs: events in, effects out. The
/// shell carries links (p2p/transport.hpp).
///
/// Rules: (1) nothing a peer sends is believed unless it is signed by its owner or verified by
/// hash; (2) nobody can declare another node dead: each side loses links for itself; (3) every
/// table has a limit; at the limit the new thing is refused, unless said otherwise; (4) a peer that
/// breaks rules gets strikes, and is shut out for a while at `strikes_max`; (5) same seed and same
/// events give the same effects.

#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "base/blob.hpp"
#include "base/rng.hpp"
#include "p2p/identity.hpp"
#include "p2p/link.hpp"

namespace tequio::p2p {

/// Every default that is not explained is a guess.
struct network_config {
    /// Wall time at the `now` of the first event; for the expiry of peer records only.
    base::unix_time wall_at_start;

    std::size_t links_target = 8;        ///< dial while fewer links; Bitcoin's 8 outbound
    std::size_t links_inbound_max = 32;  ///< strangers beyond it are refused; loopback is exempt
    std::size_t links_max = 256;         ///< beyond it only wanted nodes come, in others' place
    std::size_t dials_max = 8;           ///< at a time
    std::size_t wanted_max = 1024;       ///< nodes kept by `want_peer`
    base::duration dial_retry_min = std::chrono::seconds(1);
    base::duration dial_retry_max = std::chrono::minutes(5);
    base::duration seed_retry_max = std::chrono::minutes(1);  ///< seeds are retried for ever

    std::size_t records_max = 2048;         ///< peer records kept
    std::size_t records_per_netgroup = 64;  ///< local groups are exempt
    std::size_t seeds_max = 64;
    base::duration record_lifetime = std::chrono::hours(24);
    base::duration record_refresh = std::chrono::hours(1);
    base::duration exchange_every = std::chrono::seconds(30);  ///< with one random peer

    std::size_t notes_max = 4096;  ///< notes kept; a new one is refused at the limit
    std::size_t notes_bytes_max = 64 << 20;
    std::size_t notes_pending_max = 256;      ///< received, not judged yet
    std::size_t notes_forgotten_max = 16384;  ///< ids of notes refused; the oldest is dropped
    double notes_per_second = 50;             ///< asked of one peer, with a burst of 500
    base::duration note_timeout = std::chrono::seconds(5);

    std::size_t fetches_max = 4096;
    std::size_t pieces_per_peer = 4;  ///< asked of one peer at a time
    std::size_t pieces_total = 64;    ///< asked of all together: 16 MiB in flight
    std::size_t reads_per_peer = 8;   ///< served to one peer at a time
    std::size_t reads_total = 64;
    base::duration piece_timeout = std::chrono::seconds(20);  ///< since the peer's last answer

    std::size_t streams_max = 256;  ///< open at a time, with all peers together
    /// Bytes of a stream on their way, not acknowledged: 2 MiB are 100 Mbit/s at 160 ms.
    std::size_t stream_window = 2 << 20;
    base::duration stream_linger = std::chrono::minutes(2);  ///< for what was sent before its end

    std::size_t strikes_max = 10;
    base::duration shut_out = std::chrono::minutes(10);
};

inline constexpr std::size_t note_bytes_max = 64 * 1024;
inline constexpr std::size_t app_bytes_max = 256 * 1024;
inline constexpr std::size_t blob_holders_max = 256;
/// Longest message of a stream, and of a part of it.
inline constexpr std::uint64_t stream_message_max = (std::uint64_t{1} << 30) + 64;
inline constexpr std::size_t stream_chunk_max = 128 * 1024;
/// Messages of a stream that were sent and not taken yet; one more is refused.
inline constexpr std::uint64_t stream_untaken_max = 2;

/// Bytes that somebody keeps as long as `owner` is held.
struct shared_bytes {
    std::shared_ptr<const void> owner;
    base::byte_view bytes;
};

/// Names a note: SHA-256 of "tequio/note/v1" 0x00, kind, bytes (with its signature lines).
base::digest note_id_of(std::uint8_t kind, base::byte_view bytes);

// Events: what the shell saw.

/// A handshake succeeded. `address`: for an outbound link exactly the address dialled; for an
/// inbound one the remote host with the port that the peer listens on. `own`: this host as it looks
/// from this link, with the port we listen on; nothing when we do not listen.
struct link_up {
    link_id link;
    base::node_id node;
    p2p::address address;
    std::optional<p2p::address> own;
    bool outbound = false;
};
struct link_message {
    link_id link;
    base::byte_vector bytes;
};
/// A link that was up ended; also the answer to `close_link`.
struct link_down {
    link_id link;
    link_ending ending;
};
/// The one answer to a `dial` that gave no `link_up`.
struct dial_failed {
    p2p::address address;
    std::optional<base::node_id> expected;
    link_ending ending;
};
/// An inbound connection that never became a link. Only for people: the core ignores it.
struct accept_failed {
    p2p::address address;  ///< where it came from
    link_ending ending;
};
/// The answer to `read_piece`; nothing when the blob, or this piece of it, is not here.
struct piece_read {
    std::uint64_t request = 0;
    std::optional<base::blob_piece> piece;
};
/// Time has passed; due by `next_deadline`.
struct tick {};
/// The wall clock, when the shell has reason to think that it moved (after a suspend).
struct wall_time {
    base::unix_time now;
};

// Commands: what the application wants.

/// Addresses this node can be reached at, for its peer record; replaces those given before.
struct set_own_addresses {
    std::vector<address> addresses;
};
/// An address to try for ever: from the configuration, the command line, or an invite.
struct add_address {
    p2p::address address;
};
/// Keep a link to this node as well as we can, until `unwant_peer`. Counted: pairs must match.
/// Errors: `errc::full`.
struct want_peer {
    base::node_id node;
};
struct unwant_peer {
    base::node_id node;
};
/// To one linked peer. Lossy: a message in flight when a link ends is gone, and none is repeated.
/// Errors: `errc::not_found` without a link, `errc::too_large`.
struct send_app {
    base::node_id to;
    std::uint8_t topic = 0;
    base::byte_vector bytes;
};
/// Spreads our own note; judged as accepted. Again: no effect. Errors: `errc::too_large`,
/// `errc::full`.
struct publish_note {
    std::uint8_t kind = 0;
    base::byte_vector bytes;
};
enum class note_verdict : std::uint8_t {
    accept,  ///< keep it and pass it on
    reject,  ///< forbidden or false: remember the id, strike whoever sent it
    ignore,  ///< not for us: remember the id, blame nobody
};
/// The application's answer to `note_received`; unknown ids are no error (the note may be gone).
struct judge_note {
    base::digest id;
    note_verdict verdict = note_verdict::ignore;
    std::string reason;
};
/// Stops keeping a note; its id is remembered, so it does not come back.
struct withdraw_note {
    base::digest id;
};
/// Fetches a blob, or a run of its pieces, from `holders` (never this node), each of whom has all
/// of that. Several runs of one blob are several fetches, each asked of its own holders; for a
/// fetch under way: adds holders. `have`: pieces already stored, empty or one flag a piece. Ends in
/// `blob_complete`, `blob_failed`, or by `cancel_fetch`; there is no deadline. Errors:
/// `errc::too_large` (a run beyond the blob's end too), `errc::full`.
struct fetch_blob {
    base::blob_ref ref;
    std::vector<base::node_id> holders;
    std::vector<bool> have;
    base::piece_run pieces = {};
};
struct cancel_fetch {
    base::blob_ref ref;
    std::optional<base::piece_run> pieces = {};  ///< none: every fetch of that blob
};
/// Pieces are asked for at this rate at most from now on, on average over a few of them: what is
/// not asked for does not come. 0: no limit.
struct set_download_limit {
    std::uint64_t bytes_per_second = 0;
};

/// Speak with `node` under this name, and listen: messages in order, none lost while both ends keep
/// it open, whatever becomes of links. Nothing is sent before both have opened it. Errors:
/// `errc::full`; nothing changes when it is open.
struct open_stream {
    base::node_id node;
    base::digest name;
    std::uint64_t message_bytes_max = 0;  ///< longer ones of theirs are a fault
};
/// One message, `head` and `body` together; `body` is kept until the other side has it. Errors:
/// `errc::not_found` for a stream that is not open, `errc::too_large`, `errc::full` when
/// stream_untaken_max are not taken.
struct stream_send {
    base::node_id to;
    base::digest name;
    base::byte_vector head;
    shared_bytes body;
};
/// The application is done with the oldest message that came and was not taken yet.
struct stream_take {
    base::node_id from;
    base::digest name;
};
/// Ends a stream here: what was sent still goes out, what comes is let go. With a reason: at once,
/// and the other side is told. No error for one that is not open.
struct close_stream {
    base::node_id node;
    base::digest name;
    std::string reason;  ///< cut to 512 bytes
};
/// What a peer said in an application's name broke the application's rules.
struct blame_peer {
    base::node_id node;
    std::uint64_t strikes = 1;
    std::string why;
};

using network_event = std::variant<link_up, link_message, link_down, dial_failed, accept_failed,
                                   piece_read, tick, wall_time, set_own_addresses, add_address,
                                   want_peer, unwant_peer, send_app, publish_note, judge_note,
                                   withdraw_note, fetch_blob, cancel_fetch, set_download_limit,
                                   open_stream, stream_send, stream_take, close_stream, blame_peer>;

// Effects: what the shell must do, in this order.

/// What goes first on a link. Within a class messages keep their order.
enum class send_class : std::uint8_t {
    control,  ///< first of all
    stream,   ///< of a stream: before pieces of blobs, which yet get one message in five
    bulk,     ///< a piece of a blob
};
struct link_send {
    link_id link;
    base::byte_vector bytes;
    send_class what = send_class::control;
};
struct dial {
    p2p::address address;
    std::optional<base::node_id> expected;
};
struct close_link {
    link_id link;
    link_ending ending;
};
/// Read one piece for a peer and answer with `piece_read`. Who may read what is the shell's choice.
struct read_piece {
    std::uint64_t request = 0;
    base::blob_ref ref;
    std::uint64_t index = 0;
    base::node_id from;
};
/// A verified piece to store.
struct store_piece {
    base::blob_ref ref;
    base::blob_piece piece;
};
/// All pieces of a fetch were verified and handed over in earlier `store_piece` effects.
struct blob_complete {
    base::blob_ref ref;
    base::piece_run pieces = {};  ///< as in `fetch_blob`
};
/// Every holder we know of lacks it or lied. Fetch again with other holders.
struct blob_failed {
    base::blob_ref ref;
    std::string reason;
    base::piece_run pieces = {};  ///< as in `fetch_blob`
};
/// A node has its first link, or one in place of another: what was sent before may be lost.
struct peer_up {
    base::node_id node;
    p2p::address address;
};
struct peer_down {
    base::node_id node;
    link_ending ending;
};
struct app_message {
    base::node_id from;
    std::uint8_t topic = 0;
    base::byte_vector bytes;
};
/// A whole message of a stream.
struct stream_message {
    base::node_id from;
    base::digest name;
    base::byte_vector bytes;
};
/// The other side has taken the oldest message that it had not taken.
struct stream_taken {
    base::node_id by;
    base::digest name;
};
/// A part of a message came.
struct stream_moved {
    base::node_id from;
    base::digest name;
};
/// The other side gave the stream up; here it stays open until `close_stream`.
struct stream_closed {
    base::node_id by;
    base::digest name;
    std::string reason;
};
/// A note to judge (`judge_note`). Its bytes are as the author signed them; nothing was checked.
struct note_received {
    std::uint8_t kind = 0;
    base::digest id;
    base::byte_vector bytes;
    base::node_id from;
};
/// The address book to keep for the next start (`network` takes it back); at most one a minute.
struct store_peers {
    base::byte_vector bytes;
};

using network_effect =
    std::variant<link_send, dial, close_link, read_piece, store_piece, blob_complete, blob_failed,
                 peer_up, peer_down, app_message, note_received, store_peers, stream_message,
                 stream_taken, stream_moved, stream_closed>;
using network_effects = std::vector<network_effect>;

/// A linked node.
struct peer_view {
    base::node_id node;
    p2p::address address;
    link_id link;
    bool outbound = false;
    std::uint64_t strikes = 0;
};
/// A fetch under way.
struct transfer_view {
    base::blob_ref ref;
    base::piece_run pieces = {};     ///< as in `fetch_blob`
    std::uint64_t pieces_done = 0;   ///< of those, as all that follows
    std::uint64_t pieces_asked = 0;  ///< under way now
    std::uint64_t holders = 0;       ///< known and not given up
};
/// A stream that is open here.
struct stream_view {
    base::node_id node;
    base::digest name;
    bool ready = false;           ///< the other side has opened it too
    std::uint64_t sent = 0;       ///< messages handed in here
    std::uint64_t received = 0;   ///< whole messages that came
    std::uint64_t dropped = 0;    ///< parts that were not due
    std::uint64_t in_flight = 0;  ///< bytes on their way, not acknowledged
};
/// A note kept.
struct note_view {
    std::uint8_t kind = 0;
    base::digest id;
    base::byte_vector bytes;
};

/// The core. Not copied, not thread-safe. `self` must outlive it. Deterministic: `rng` is the only
/// source of chance.
class network {
public:
    /// `saved_peers`: what `store_peers` gave last, or nothing. Damaged bytes are no error: what
    /// does not verify is left out.
    network(const network_config& config, const identity& self, base::rng rng,
            base::byte_view saved_peers = {});
    ~network();
    network(network&&) noexcept;

    /// Applies one event at `now` and appends effects. Errors only for commands, as listed at each;
    /// the state is then unchanged. What a peer does wrong is dealt with in effects.
    base::result<void> handle(base::time_point now, network_event event, network_effects& out);
    /// `handle(now, tick{}, out)` is due by then.
    base::time_point next_deadline() const;
    /// Aborts if an invariant is broken. Cost: one pass over every table.
    void check() const;

    /// Linked peers, by node id.
    std::vector<peer_view> peers() const;
    bool linked(const base::node_id& node) const;
    /// Nodes whose signed record we hold, by id, without this one.
    std::vector<base::node_id> known_nodes() const;
    std::vector<transfer_view> transfers() const;
    /// By node and name.
    std::vector<stream_view> streams() const;
    /// Notes accepted and kept, by id.
    std::vector<note_view> notes() const;

private:
    struct parts;
    std::unique_ptr<parts> parts_;
};

}  // namespace tequio::p2p
