#pragma once

/// Fetches blobs piece by piece from several holders at once, and serves pieces to others.
///
/// A piece is stored only after its Merkle path led to the root, so any holder will do and none is
/// believed. A holder that sends a false piece is never asked for that blob again. One that says
/// "not found" is asked again after a wait, a few times (it may be fetching the blob itself). One
/// that falls silent loses its requests to others; its answers are taken all the same when they
/// come. One that answers what it was not asked, or twice, gets a strike. Earlier fetches go first.
///
/// A fetch is of a blob or of a run of its pieces, and is asked of its own holders: who has one run
/// need not have another, and each "not found" would put off what it has. Fetches of one blob share
/// its pieces, so where they meet nothing is asked for twice.

#include <map>
#include <set>

#include "base/rng.hpp"
#include "p2p/core/part_effects.hpp"

namespace tequio::p2p {

class blob_transfer {
public:
    blob_transfer(const network_config& config, const base::node_id& self, base::rng rng);

    void peer_up(base::time_point now, const base::node_id& node, part_effects& out);
    /// The node's link is gone, or was exchanged for another: what was under way on it is lost.
    void link_lost(base::time_point now, const base::node_id& node, bool still_linked,
                   part_effects& out);

    /// Errors: `errc::too_large`, `errc::full`.
    base::result<void> fetch(base::time_point now, const fetch_blob& command, part_effects& out);
    void cancel(const cancel_fetch& command, part_effects& out);
    void limit(base::time_point now, std::uint64_t bytes_per_second, part_effects& out);

    void answered(base::time_point now, const base::node_id& from, wire::piece_answer&& m,
                  part_effects& out);
    void asked(const base::node_id& from, const wire::piece_request& m, part_effects& out);
    void read(const piece_read& e, part_effects& out);

    void tick(base::time_point now, part_effects& out);
    base::time_point next_deadline() const;

    std::vector<transfer_view> views() const;
    void check() const;

private:
    enum class piece : std::uint8_t { unwanted, missing, asked, done };
    struct holder {
        base::time_point not_before;
        std::uint32_t misses = 0;
        bool given_up = false;
    };
    struct transfer {
        base::blob_ref ref;
        base::piece_run pieces;    ///< as in the command
        base::piece_run run;       ///< the same, counted
        std::uint64_t left = 0;    ///< pieces of it that are not done
        std::uint64_t cursor = 0;  ///< pieces before it, from the start point, were asked
        std::uint64_t start = 0;   ///< chosen by chance, so that fetchers can help each other
        std::map<base::node_id, holder> holders;

        bool covers(std::uint64_t index) const {
            return index >= run.first && index - run.first < run.count;
        }
    };
    using transfer_number = std::uint64_t;
    /// What the fetches of one blob have in common.
    struct shared_blob {
        std::map<base::piece_run, transfer_number> transfers;
        std::vector<piece> pieces;      ///< `unwanted`: in the run of no transfer
        std::set<std::uint64_t> again;  ///< missing pieces that were asked once
        std::set<base::node_id> liars;
    };
    struct request_key {
        base::node_id node;
        transfer_number transfer;
        std::uint64_t index;
        auto operator<=>(const request_key&) const = default;
    };
    struct peer {
        std::size_t asked = 0;
        base::time_point silent_since;  ///< later of: first request under way, last answer
        base::time_point not_before;    ///< after a time-out
        std::size_t reads = 0;
        /// Requests that it has not answered, however long ago and whatever became of the fetch.
        std::map<std::pair<base::blob_ref, std::uint64_t>, std::size_t> owed;
        /// From when on it is to blame for an answer that it does not owe: what it was asked over
        /// an earlier link may come over this one.
        base::time_point judged_from;
    };
    struct reading {
        base::node_id node;
        base::blob_ref ref;
        std::uint64_t index = 0;
    };

    static base::result<void> well_formed(const fetch_blob& command);
    base::result<transfer_number> begin(const fetch_blob& command);
    /// Of a blob, by number: ending one does not disturb whoever goes through them.
    std::vector<transfer_number> transfers_of(const base::blob_ref& ref) const;
    static std::optional<std::uint64_t> next_piece(shared_blob& b, transfer& t);
    void ask(base::time_point now, const base::node_id& node, part_effects& out);
    void ask_all(base::time_point now, part_effects& out);
    bool limit_reached(base::time_point now) const;
    base::duration time_of(std::uint64_t bytes) const;
    void charge(base::time_point now, std::uint64_t bytes);
    void take_back(std::uint64_t bytes);
    bool take_owed(base::time_point now, const base::node_id& from, const wire::piece_answer& m,
                   part_effects& out);
    void release(const request_key& key);
    void release_all_of(const base::node_id& node);
    void give_up(transfer& t, const base::node_id& node, part_effects& out);
    void finish(transfer_number number, part_effects& out);
    void complete(transfer_number number, part_effects& out);
    bool fail_if_hopeless(transfer_number number, part_effects& out);
    void take_piece(base::time_point now, const base::node_id& from, wire::piece_answer&& m,
                    part_effects& out);
    void take_lie(base::time_point now, const base::node_id& from, const base::blob_ref& ref,
                  part_effects& out);
    void missed(base::time_point now, transfer_number number, const base::node_id& from,
                wire::piece_status status, part_effects& out);

    network_config config_;
    base::node_id self_;
    base::rng rng_;
    transfer_number next_number_ = 1;
    std::map<transfer_number, transfer> transfers_;
    std::map<base::blob_ref, shared_blob> blobs_;  ///< of all transfers
    std::map<base::node_id, std::set<transfer_number>> by_holder_;
    std::set<request_key> requests_;
    std::map<base::node_id, peer> peers_;  ///< linked ones
    base::time_point ticked_;              ///< waits that ended before it were seen to
    std::uint64_t bytes_per_second_ = 0;   ///< 0: no limit
    base::time_point paid_until_;  ///< all that was asked for has come by then, at that rate
    bool limited_ = false;         ///< something could be asked for if it were not for that
    std::uint64_t next_reading_ = 1;
    std::map<std::uint64_t, reading> readings_;
};

}  // namespace tequio::p2p
