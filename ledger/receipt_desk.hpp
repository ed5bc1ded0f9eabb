#pragma once

/// The desk where two nodes sign one receipt. Pure: no clock, socket, disk or thread inside.
///
/// Rules, and why:
///  1. The checker drafts; the worker countersigns. One direction, so two drafts never cross.
///  2. Store, then sign, then send. A text is claimed in the store before it is signed, and a
///     claimed key is never given to another text. Ed25519 is deterministic, so signing the same
///     text again after a crash makes the same signature: nothing is ever signed twice.
///  3. Both sides append the same note: each ledger can be compared with the other.
///  4. Every message may be lost, repeated or late. Offers are sent again with back-off; an answer
///     to a finished receipt is that receipt again; an answer that comes after the time-out is
///     appended behind the unanswered note.
///  5. The desk knows nothing of the work. Before it countersigns it asks the node (`confirm`),
///     which compares the receipt with what it knows itself.
///  6. Limits: at the limit of drafts the oldest is closed as unanswered; at the limit of
///     offers from others the new one is dropped, for it will be sent again.
/// Messages: ledger/wire/README.md.

#include <memory>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "ledger/write.hpp"

namespace tequio::ledger {

/// Limits and pauses of a desk.
struct desk_config {
    std::size_t drafts_max = 4096;         ///< guess: a round of the largest crew
    std::size_t offers_max = 1024;         ///< from others, being confirmed or stored
    std::size_t offers_per_peer_max = 64;  ///< so that one peer cannot take all of them
    std::size_t keys_max = 4096;           ///< certified keys of others that are kept
    base::duration resend_first = std::chrono::seconds(2);  ///< doubles up to resend_most
    base::duration resend_most = std::chrono::seconds(30);
    base::duration answer_within = std::chrono::minutes(2);  ///< then `unanswered`; guess
};

/// Readings of both clocks at an event.
struct desk_time {
    base::time_point now;
    base::unix_time wall;
};

// Events.
/// Work was checked (or, with verdict `unchecked`, nobody could): write a receipt. `facts.checker`
/// is this node, or, for `unchecked`, `facts.worker` is.
struct draft {
    receipt_facts facts;
    base::byte_vector record;  ///< at most `record_size_max_bytes`; longer ones are left out
};
struct desk_message {
    base::node_id from;
    base::byte_vector bytes;
};
/// The node's answer to `confirm_wanted`.
struct confirm {
    enum class answer {
        agree,
        disagree,
        not_yet  ///< the offer is forgotten; it will be sent again
    };
    std::uint64_t request = 0;
    answer verdict = answer::not_yet;
    std::string reason;  ///< of disagreeing, for people; at most 200 bytes travel
};
/// The store's answer to `write_wanted`.
struct written {
    std::uint64_t request = 0;
    write_outcome outcome;
};
/// A peer can be reached again: what waits for it is sent at once.
struct peer_reachable {
    base::node_id node;
};
struct desk_tick {};
using desk_event = std::variant<draft, desk_message, confirm, written, peer_reachable, desk_tick>;

// Effects.
/// To be sent to a peer; lost without harm.
struct send_desk_message {
    base::node_id to;
    base::byte_vector bytes;
};
/// Does the node agree that this is so? Answer with `confirm` at any later time, once.
struct confirm_wanted {
    std::uint64_t request = 0;
    base::node_id from;
    receipt what;
};
/// To be made durable, then answered with `written`. Writes of one desk are carried out in order.
struct write_wanted {
    std::uint64_t request = 0;
    store_write what;
};
/// An entry stands in this node's ledger now.
struct receipt_recorded {
    base::entry_index index;
    statement what = statement::receipt;
    receipt content;
};
/// For the log: another side refused, or a conflict was found.
struct desk_notice {
    base::node_id node;
    std::string text;
};
using desk_effect =
    std::variant<send_desk_message, confirm_wanted, write_wanted, receipt_recorded, desk_notice>;
using desk_effects = std::vector<desk_effect>;

/// One desk a node. See the rules at the top.
class receipt_desk {
public:
    /// `log_key` signs; `certificate` is its certification by `self`'s root key (ensured).
    /// `offers` are what the store still holds; they are sent again.
    receipt_desk(const desk_config& config, base::node_id self,
                 std::shared_ptr<const base::signing_key> log_key, certified_key certificate,
                 std::vector<open_offer> offers, desk_time time);
    ~receipt_desk();
    receipt_desk(receipt_desk&&) noexcept;
    receipt_desk& operator=(receipt_desk&&) noexcept;

    /// Applies one event; appends what should happen to `out`. Errors: `errc::bad_message` when the
    /// peer sent what no honest node sends; `errc::bad_receipt` for a draft that is not in form.
    /// The state is then unchanged.
    base::result<void> handle(desk_time time, const desk_event& e, desk_effects& out);
    /// Call `handle(..., desk_tick{}, ...)` by then; far away when nothing waits.
    base::time_point next_deadline() const;
    /// Drafts not yet in the ledger. A node that wants to end waits for zero, for a while.
    std::size_t waiting() const;
    /// Aborts if an invariant is broken; tests call it after every event.
    void check() const;

private:
    class state;
    std::unique_ptr<state> state_;
};

}  // namespace tequio::ledger
